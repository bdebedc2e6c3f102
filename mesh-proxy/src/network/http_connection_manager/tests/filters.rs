//! HTTP filters between real clients and upstreams; what each answers and changes is compared
//! with Envoy's in `mesh-conform`.

use std::num::NonZeroU64;

use futures_util::StreamExt;
use http::HeaderMap;
use http_body_util::StreamBody;
use hyper::body::Frame;

use super::*;
use crate::config::{
    Buffer, Fault, FaultKind, FilterKind, FilterOverride, Fraction, HttpFilter, HttpProtocol,
    LocalRateLimit, TokenBucket,
};

const ALL: Fraction = Fraction { numerator: 100, denominator: 100 };

fn with(kind: FilterKind) -> config::HttpConnectionManager {
    let filter = HttpFilter { name: "f".into(), disabled: false, kind };
    config::HttpConnectionManager { http_filters: vec![filter], ..manager() }
}

fn to_c() -> config::Route {
    route("/", Action::Forward(Box::new(forward("c"))))
}

async fn echo(request: Request<Incoming>) -> Response<AnyBody> {
    Response::new(request.into_body().map_err(Into::into).boxed())
}

#[tokio::test]
async fn a_fault_is_active_until_its_request_is_over() {
    let fault = Fault {
        delay: Some(FaultKind { fixed: Some(Duration::from_secs(3600)), share: ALL }),
        abort: None,
        rate: None,
        upstream_cluster: None,
        headers: Vec::new(),
        downstream_nodes: Vec::new(),
        max_active: Some(1),
    };
    let upstream = Upstream::named("one").await;
    let manager = with(FilterKind::Fault(Arc::new(fault)));
    let proxy = Proxy::new(manager, vec![cluster("c", &[upstream.address])], vec![to_c()]);
    let mut client = proxy.http1().await;
    let waiting = tokio::spawn(async move { client.send_request(get("/")).await });
    proxy.until("http.test.fault.active_faults", 1).await;
    assert_eq!(proxy.get("/").await.1, "one");
    proxy.until("http.test.fault.faults_overflow", 1).await;
    waiting.abort();
    proxy.until("http.test.fault.active_faults", 0).await;
    proxy.until("http.test.fault.delays_injected", 1).await;
}

#[tokio::test]
async fn a_buffered_request_keeps_its_trailers() {
    let upstream = Upstream::http2(100, echo).await;
    let cluster =
        config::Cluster { protocol: HttpProtocol::Http2, ..cluster("c", &[upstream.address]) };
    let buffer = Buffer { max: NonZeroU64::new(100).unwrap() };
    let proxy = Proxy::new(with(FilterKind::Buffer(buffer)), vec![cluster], vec![to_c()]);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", HeaderValue::from_static("1"));
    let frames =
        [Frame::data(Bytes::from("one ")), Frame::data("two".into()), Frame::trailers(trailers)];
    let frames = futures_util::stream::iter(frames.map(Ok::<_, std::convert::Infallible>));
    let body = StreamBody::new(frames).map_err(|never| match never {}).boxed();
    let request = Request::post("http://a/").body(body).unwrap();
    let response = proxy.http2().await.send_request(request).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-end"], "1");
    assert_eq!(collected.to_bytes(), "one two");
}

#[tokio::test]
async fn a_client_that_stalls_is_not_buffered_for_ever() {
    let upstream = Upstream::http1(echo).await;
    let buffer = Buffer { max: NonZeroU64::new(100).unwrap() };
    let manager = config::HttpConnectionManager {
        stream_idle_timeout: Some(Duration::from_millis(20)),
        ..with(FilterKind::Buffer(buffer))
    };
    let proxy = Proxy::new(manager, vec![cluster("c", &[upstream.address])], vec![to_c()]);
    let first = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(Frame::data(
        Bytes::from("first"),
    ))]);
    let frames = first.chain(futures_util::stream::pending());
    let body = BodyExt::boxed(StreamBody::new(frames).map_err(|never| match never {}));
    let request = Request::post("/").header("host", "a").body(body).unwrap();
    let response = proxy.http1().await.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(upstream.connections(), 0);
    proxy.until("http.test.downstream_rq_idle_timeout", 1).await;
}

#[tokio::test]
async fn the_limit_of_a_route_counts_for_itself() {
    let limit = |max_tokens, stat: &str| {
        let fill_interval = Duration::from_secs(3600);
        let bucket = TokenBucket { max_tokens, tokens_per_fill: 1, fill_interval };
        Arc::new(LocalRateLimit {
            stat_prefix: stat.into(),
            status: StatusCode::TOO_MANY_REQUESTS,
            bucket: Some(bucket),
            enabled: Some(ALL),
            enforced: Some(ALL),
            request_headers: Arc::default(),
            response_headers: Arc::default(),
            x_ratelimit_headers: false,
            resource_exhausted: false,
            retry_after: true,
        })
    };
    let upstream = Upstream::named("one").await;
    let mut own = route("/own", Action::Forward(Box::new(forward("c"))));
    own.filters.push(("f".into(), FilterOverride::LocalRateLimit(limit(1, "own"))));
    let manager = with(FilterKind::LocalRateLimit(limit(2, "all")));
    let proxy = Proxy::new(manager, vec![cluster("c", &[upstream.address])], vec![own, to_c()]);
    let mut statuses = Vec::new();
    for path in ["/own", "/own", "/", "/", "/"] {
        let (head, _) = proxy.get(path).await;
        assert_eq!(head.headers().contains_key("retry-after"), head.status() != StatusCode::OK);
        statuses.push(head.status().as_u16());
    }
    assert_eq!(statuses, [200, 429, 200, 200, 429]);
    proxy.until("own.http_local_rate_limit.enforced", 1).await;
    proxy.until("all.http_local_rate_limit.ok", 2).await;
}
