//! Answers of the proxy's own.

use mesh_testkit::free_address;

use super::*;
use crate::config::Redirect;

#[tokio::test]
async fn redirects_and_direct_responses() {
    let redirect = Redirect {
        code: StatusCode::FOUND,
        host: Some("new.test".into()),
        path: None,
        scheme: None,
        port: None,
        strip_query: false,
    };
    let direct = Action::Direct(StatusCode::IM_A_TEAPOT, "short and stout".into());
    let routes = vec![route("/r", Action::Redirect(redirect)), route("/d", direct)];
    let proxy = Proxy::new(manager(), Vec::new(), routes);
    let (head, _) = proxy.get("/r?q").await;
    assert_eq!(
        (head.status(), head.headers()["location"].as_bytes()),
        (StatusCode::FOUND, &b"http://new.test/r?q"[..])
    );
    let (head, body) = proxy.get("/d").await;
    assert_eq!((head.status(), &*body), (StatusCode::IM_A_TEAPOT, "short and stout"));
    let (head, body) = proxy.get("/x").await;
    assert_eq!((head.status(), &*body), (StatusCode::NOT_FOUND, ""));
    proxy.until("http.test.no_route", 1).await;
}

#[tokio::test]
async fn head_gets_the_head_alone() {
    let direct = Action::Direct(StatusCode::OK, "short and stout".into());
    let empty = Action::Forward(Box::new(forward("empty")));
    let routes = vec![route("/direct", direct), route("/empty", empty)];
    let proxy = Proxy::new(manager(), vec![cluster("empty", &[])], routes);
    let (mut http1, mut http2) = (proxy.http1().await, proxy.http2().await);
    for (path, size) in [("direct", "15"), ("empty", "19")] {
        let head =
            |target: String| Request::head(target).header("host", "a").body(text("")).unwrap();
        http1.ready().await.unwrap();
        let answer = whole(http1.send_request(head(format!("/{path}"))).await.unwrap()).await;
        assert_eq!(answer.0.headers()["content-length"], size);
        let answer = http2.send_request(head(format!("http://a/{path}"))).await.unwrap();
        assert_eq!(answer.headers()["content-length"], size);
        let body = answer.into_body();
        assert!(hyper::body::Body::is_end_stream(&body));
    }
    proxy.until("http.test.downstream_rq_active", 0).await;
    assert_eq!(proxy.stat("http.test.downstream_rq_rx_reset"), 0);
}

#[tokio::test]
async fn failures_are_worded_as_envoys() {
    let routes = ["empty", "refused", "unknown"]
        .map(|name| route(&format!("/{name}"), Action::Forward(Box::new(forward(name)))));
    let clusters = vec![cluster("empty", &[]), cluster("refused", &[free_address()])];
    let proxy = Proxy::new(manager(), clusters, routes.into());
    for (path, expected) in [
        ("/empty", "no healthy upstream"),
        (
            "/refused",
            "upstream connect error or disconnect/reset before headers. reset reason: remote \
             connection failure",
        ),
        ("/unknown", ""),
    ] {
        let (head, body) = proxy.get(path).await;
        assert_eq!((head.status(), &*body), (StatusCode::SERVICE_UNAVAILABLE, expected));
    }
    // It is tried once more.
    proxy.until("cluster.refused.upstream_cx_connect_fail", 2).await;
}

#[tokio::test]
async fn grpc_clients_get_a_grpc_status() {
    let routes = vec![route("/", Action::Forward(Box::new(forward("empty"))))];
    let proxy = Proxy::new(manager(), vec![cluster("empty", &[])], routes);
    let request = Request::post("http://mesh.test/a.B/C")
        .header("content-type", "application/grpc")
        .body(text("x"))
        .unwrap();
    let response = proxy.http2().await.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], "14");
    assert_eq!(response.headers()["grpc-message"], "no healthy upstream");
}

#[tokio::test]
async fn a_limit_refuses_at_once() {
    let slow = Upstream::http1(|_| std::future::pending()).await;
    let mut limited = cluster("c", &[slow.address]);
    limited.breakers.default.max_requests = 1;
    let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
    let proxy = Proxy::new(manager(), vec![limited], routes);
    let mut first = proxy.http1().await;
    let waiting = tokio::spawn(first.send_request(get("/")));
    proxy.until("cluster.c.upstream_rq_active", 1).await;
    let (head, body) = proxy.get("/").await;
    assert_eq!(head.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.ends_with("reset reason: overflow"), "{body}");
    waiting.abort();
}

#[tokio::test]
async fn a_request_takes_no_longer_than_its_route_allows() {
    let slow = Upstream::http1(|request| async move {
        if request.uri() == "/head" {
            std::future::pending::<()>().await;
        }
        let body = http_body_util::StreamBody::new(futures_util::stream::pending());
        Response::new(BodyExt::boxed(body))
    })
    .await;
    let mut forward = forward("c");
    // Long enough for the head that comes in time.
    forward.timeout = Some(Duration::from_millis(500));
    let routes = vec![route("/", Action::Forward(Box::new(forward)))];
    let proxy = Proxy::new(manager(), vec![cluster("c", &[slow.address])], routes);
    let (head, body) = proxy.get("/head").await;
    assert_eq!(head.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(body, "upstream request timeout");
    let response = proxy.http1().await.send_request(get("/body")).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    proxy.until("cluster.c.upstream_rq_timeout", 2).await;
    let mut blamed = 0;
    let cluster = proxy.plane.shared().clusters.get("c").unwrap();
    cluster.visit(&mut |member| {
        let endpoint = &member.endpoint;
        blamed += endpoint.stats.rq_timeout.load(std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(blamed, 2);
    slow.until_open(0).await;
}

#[tokio::test]
async fn a_request_must_arrive_in_time() {
    let slow = Upstream::http1(|request| async move {
        let _ = request.into_body().collect().await;
        Response::new(text("done"))
    })
    .await;
    let limit = Some(Duration::from_millis(50));
    let manager = config::HttpConnectionManager { request_timeout: limit, ..manager() };
    let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
    let proxy = Proxy::new(manager, vec![cluster("c", &[slow.address])], routes);
    let endless = http_body_util::StreamBody::new(futures_util::stream::pending());
    let request = Request::post("/").header("host", "a").body(BodyExt::boxed(endless)).unwrap();
    let (head, body) = proxy.ask(request).await;
    assert_eq!((head.status(), &*body), (StatusCode::REQUEST_TIMEOUT, "request timeout"));
    proxy.until("http.test.downstream_rq_timeout", 1).await;
    // A request that came in time is not under that limit.
    assert_eq!(proxy.get("/").await.1, "done");
}

#[tokio::test]
async fn an_idle_stream_ends() {
    let slow = Upstream::http1(|_| std::future::pending()).await;
    let idle = Some(Duration::from_millis(50));
    let manager = config::HttpConnectionManager { stream_idle_timeout: idle, ..manager() };
    let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
    let proxy = Proxy::new(manager, vec![cluster("c", &[slow.address])], routes);
    let (head, body) = proxy.get("/").await;
    assert_eq!((head.status(), &*body), (StatusCode::GATEWAY_TIMEOUT, "stream timeout"));
}
