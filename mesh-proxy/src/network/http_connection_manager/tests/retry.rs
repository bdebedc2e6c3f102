//! What is tried again, and what is not.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt;
use http_body_util::StreamBody;
use hyper::body::Frame;
use mesh_testkit::free_address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::{HeaderField, HeaderMatch, HeaderValueMatch, RetryOn, RetryPolicy};

/// Answers the first request of each connection, and closes it when the second one comes,
/// as a server does whose idle timeout is over just then.
async fn closing_on_reuse() -> Upstream {
    Upstream::raw(|mut io| async move {
        let mut buffer = [0; 1024];
        let _ = io.read(&mut buffer).await;
        let _ = io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        let _ = io.read(&mut buffer).await;
    })
    .await
}

#[tokio::test]
async fn a_connection_that_closes_under_a_request_is_no_failure() {
    let upstream = closing_on_reuse().await;
    let proxy = Proxy::to(&[upstream.address]);
    for _ in 0..5 {
        let (head, body) = proxy.get("/").await;
        assert_eq!((head.status(), &*body), (StatusCode::OK, "ok"));
    }
    proxy.until("cluster.c.upstream_rq_retry", 4).await;
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_twice() {
    let upstream = closing_on_reuse().await;
    let proxy = Proxy::to(&[upstream.address]);
    proxy.get("/").await;
    let post = Request::post("/").header("host", "a").body(text("")).unwrap();
    let (head, body) = proxy.ask(post).await;
    assert_eq!(head.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.ends_with("reset reason: connection termination"), "{body}");
}

fn policy(on: RetryOn) -> RetryPolicy {
    RetryPolicy {
        on,
        retries: 2,
        per_try_timeout: None,
        omit_canaries: false,
        headers: Vec::new(),
        request_headers: Vec::new(),
        status_codes: Vec::new(),
        rate_limited: None,
        back_off: (Duration::from_millis(1), Duration::from_millis(10)),
    }
}

fn with_policy(on: RetryOn, upstreams: &[SocketAddr]) -> Proxy {
    let forward = Forward { retry: Some(policy(on)), ..forward("c") };
    let routes = vec![route("/", Action::Forward(Box::new(forward)))];
    Proxy::new(manager(), vec![cluster("c", upstreams)], routes)
}

/// Everything to endpoints that are chosen at random.
fn at_random(retry: Option<RetryPolicy>, upstreams: &[SocketAddr]) -> Proxy {
    let mut cluster = cluster("c", upstreams);
    cluster.lb.policy = config::LbPolicy::Random;
    cluster.breakers.default.max_retries = 1024;
    let routes = vec![route("/", Action::Forward(Box::new(Forward { retry, ..forward("c") })))];
    Proxy::new(manager(), vec![cluster], routes)
}

#[tokio::test]
async fn another_host_is_preferred() {
    let upstream = Upstream::named("ok").await;
    let on = RetryOn { connect_failure: true, ..RetryOn::default() };
    let policy = RetryPolicy { retries: 100, ..policy(on) };
    let proxy = at_random(Some(policy), &[free_address(), upstream.address]);
    let mut client = proxy.http1().await;
    for _ in 0..500 {
        client.ready().await.unwrap();
        let response = client.send_request(get("/")).await.unwrap();
        assert_eq!(whole(response).await.0.status(), StatusCode::OK);
    }
    // About 254 when another host is looked for five times, 500 when it is not.
    let retries = proxy.stat("cluster.c.upstream_rq_retry");
    assert!((150..370).contains(&retries), "{retries}");
}

#[tokio::test]
async fn a_refused_connection_is_no_failure_when_there_is_another_host() {
    let upstream = Upstream::named("ok").await;
    let proxy = at_random(None, &[free_address(), upstream.address]);
    let mut client = proxy.http1().await;
    let mut failed = 0;
    for _ in 0..200 {
        client.ready().await.unwrap();
        let post = Request::post("/").header("host", "a").body(text("hello")).unwrap();
        let response = client.send_request(post).await.unwrap();
        failed += u32::from(whole(response).await.0.status() != StatusCode::OK);
    }
    // About 2; 50 when the same host may come again, 100 without another try.
    assert!(failed < 20, "{failed}");
}

#[tokio::test]
async fn a_slow_host_is_avoided_and_blamed() {
    let slow = Upstream::http1(|_| std::future::pending()).await;
    let quick = Upstream::named("ok").await;
    let on = RetryOn { gateway_error: true, ..RetryOn::default() };
    // Long enough for the quick one, which has many to answer at once.
    let limit = Some(Duration::from_secs(3));
    let policy = RetryPolicy { retries: 20, per_try_timeout: limit, ..policy(on) };
    let proxy = at_random(Some(policy), &[slow.address, quick.address]);
    let client = proxy.http2().await;
    let requests = (0..200).map(|_| {
        let mut client = client.clone();
        let get = Request::get("http://a/").body(text("")).unwrap();
        async move { client.send_request(get).await.unwrap().status() }
    });
    let answers = futures_util::future::join_all(requests).await;
    assert!(answers.iter().all(|status| *status == StatusCode::OK), "{answers:?}");
    let mut timeouts = std::collections::HashMap::new();
    let cluster = proxy.plane.shared().clusters.get("c").unwrap();
    cluster.visit(&mut |member| {
        let endpoint = &member.endpoint;
        timeouts.insert(endpoint.address, endpoint.stats.rq_timeout.load(Ordering::Relaxed));
    });
    // About 102 when the other host is looked for, 200 when it is not.
    assert!((50..150).contains(&timeouts[&slow.address]), "{timeouts:?}");
    let all = timeouts.values().sum::<u64>();
    assert_eq!(all, proxy.stat("cluster.c.upstream_rq_per_try_timeout"));
}

#[tokio::test]
async fn a_connection_of_http2_that_breaks_may_have_processed_what_it_took() {
    // Answers one request of each connection, and closes it when the second one is there.
    let upstream = Upstream::raw(|io| async move {
        let mut connection = h2::server::handshake(io).await.unwrap();
        let (_, mut first) = connection.accept().await.unwrap().unwrap();
        first.send_response(Response::new(()), true).unwrap();
        let _ = connection.accept().await;
    })
    .await;
    let mut cluster = cluster("c", &[upstream.address]);
    cluster.protocol = config::HttpProtocol::Http2;
    let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
    let proxy = Proxy::new(manager(), vec![cluster], routes);
    assert_eq!(proxy.get("/").await.0.status(), StatusCode::OK);
    assert_eq!(proxy.get("/").await.0.status(), StatusCode::SERVICE_UNAVAILABLE);
    proxy.until("cluster.c.upstream_rq_total", 2).await;
}

/// Fails twice, then gives back the request's body.
async fn third_time_lucky() -> Upstream {
    let count = Arc::new(AtomicUsize::new(0));
    Upstream::http1(move |request| {
        let count = Arc::clone(&count);
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut response = Response::new(text(body));
            if count.fetch_add(1, Ordering::SeqCst) % 3 < 2 {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            response
        }
    })
    .await
}

#[tokio::test]
async fn a_small_body_is_sent_again() {
    let upstream = third_time_lucky().await;
    let on = RetryOn { gateway_error: true, ..RetryOn::default() };
    let proxy = with_policy(on, &[upstream.address]);
    let post = Request::post("/").header("host", "a").body(text("hello")).unwrap();
    let (head, body) = proxy.ask(post).await;
    assert_eq!((head.status(), &*body), (StatusCode::OK, "hello"));
    proxy.until("cluster.c.upstream_rq_retry_success", 1).await;
}

#[tokio::test]
async fn a_body_above_the_connections_limit_is_not() {
    let upstream = third_time_lucky().await;
    let on = RetryOn { gateway_error: true, ..RetryOn::default() };
    let proxy = with_policy(on, &[upstream.address]);
    for (size, retries, abandoned) in [(1024 * 1024, 2, 0), (1024 * 1024 + 1, 2, 1)] {
        let post = Request::post("/").header("host", "a").body(text(vec![b'x'; size])).unwrap();
        let (head, _) = proxy.ask(post).await;
        assert_eq!(head.status().is_success(), abandoned == 0, "{size}");
        proxy.until("cluster.c.upstream_rq_retry", retries).await;
        proxy.until("cluster.c.retry_or_shadow_abandoned", abandoned).await;
    }
}

/// Answers 503 to its first request as soon as that begins, and goes on reading it. The
/// next one gets its body's length.
async fn busy_early() -> Upstream {
    let count = Arc::new(AtomicUsize::new(0));
    Upstream::raw(move |mut io| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            if number > 0 {
                return upstream::serve_http1(io, |request| async {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    Response::new(text(body.len().to_string()))
                })
                .await;
            }
            let mut buffer = vec![0; 65536];
            let mut heard = Vec::new();
            while !heard.ends_with(b"begin\r\n") {
                let count = io.read(&mut buffer).await.unwrap();
                heard.extend_from_slice(&buffer[..count]);
            }
            let busy = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
            io.write_all(busy).await.unwrap();
            while io.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
        }
    })
    .await
}

#[tokio::test]
async fn a_body_that_goes_on_is_sent_again_from_its_beginning() {
    let upstream = busy_early().await;
    let on = RetryOn { gateway_error: true, ..RetryOn::default() };
    let wait = Duration::from_secs(1);
    let policy = RetryPolicy { back_off: (wait, wait), ..policy(on) };
    let forward = Forward { retry: Some(policy), ..forward("c") };
    let routes = vec![route("/", Action::Forward(Box::new(forward)))];
    let proxy = Proxy::new(manager(), vec![cluster("c", &[upstream.address])], routes);
    let (sender, mut frames) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    let frames = futures_util::stream::poll_fn(move |cx| {
        frames.poll_recv(cx).map(|data| data.map(|data| Ok::<_, Infallible>(Frame::data(data))))
    });
    let body = BodyExt::boxed(StreamBody::new(frames).map_err(|never| match never {}));
    let post = Request::post("/").header("host", "a").body(body).unwrap();
    let mut client = proxy.http1().await;
    let asked = tokio::spawn(client.send_request(post));
    sender.send("begin".into()).unwrap();
    proxy.until("cluster.c.upstream_rq_retry", 1).await;
    // More than is kept; the first try must not take it.
    for _ in 0..20 {
        sender.send(vec![b'x'; 10_000].into()).unwrap();
    }
    drop(sender);
    let (head, body) = whole(asked.await.unwrap().unwrap()).await;
    assert_eq!((head.status(), &*body), (StatusCode::OK, "200005"));
}

#[tokio::test]
async fn a_try_that_was_given_up_ends_at_once() {
    let upstream = busy_early().await;
    let on = RetryOn { gateway_error: true, ..RetryOn::default() };
    let proxy = with_policy(on, &[upstream.address]);
    let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from("begin")))];
    let frames = futures_util::stream::iter(frames).chain(futures_util::stream::pending());
    let body = BodyExt::boxed(StreamBody::new(frames).map_err(|never| match never {}));
    let post = Request::post("/").header("host", "a").body(body).unwrap();
    let mut client = proxy.http1().await;
    let _asked = tokio::spawn(client.send_request(post));
    proxy.until("cluster.c.upstream_cx_http1_total", 2).await;
    proxy.until("cluster.c.upstream_cx_active", 1).await;
}

#[tokio::test]
async fn retries_come_to_an_end() {
    let upstream = Upstream::http1(|_| async {
        let mut response = Response::new(text("busy"));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    })
    .await;
    let on = RetryOn { server_error: true, ..RetryOn::default() };
    let proxy = with_policy(on, &[upstream.address]);
    let (head, body) = proxy.get("/").await;
    assert_eq!((head.status(), &*body), (StatusCode::SERVICE_UNAVAILABLE, "busy"));
    proxy.until("cluster.c.upstream_rq_total", 3).await;
}

#[tokio::test]
async fn a_policy_can_ask_for_headers() {
    let answer = |again: &'static str| {
        let mut response = Response::new(text("x"));
        response.headers_mut().insert("x-again", HeaderValue::from_static(again));
        response
    };
    let upstream = Upstream::http1(move |_| async move { answer("please") }).await;
    let present = |name| HeaderMatch {
        field: HeaderField::Named(HeaderName::from_static(name)),
        value: HeaderValueMatch::Present(true),
        invert: false,
        missing_is_empty: false,
    };
    let on = RetryOn { retriable_headers: true, ..RetryOn::default() };
    let policy = RetryPolicy {
        headers: vec![present("x-none"), present("x-again")],
        request_headers: vec![present("x-may")],
        ..policy(on)
    };
    let forward = Forward { retry: Some(policy), ..forward("c") };
    let routes = vec![route("/", Action::Forward(Box::new(forward)))];
    let proxy = Proxy::new(manager(), vec![cluster("c", &[upstream.address])], routes);
    proxy.get("/").await;
    proxy.until("cluster.c.upstream_rq_total", 1).await;
    let may = Request::get("/").header("host", "a").header("x-may", "").body(text("")).unwrap();
    proxy.ask(may).await;
    proxy.until("cluster.c.upstream_rq_total", 4).await;
}

#[tokio::test]
async fn both_sides_hear_how_often_a_request_was_tried() {
    let upstream = Upstream::http1(|request| async move {
        let told = |name: &str| request.headers().get(name).cloned();
        let mut response = Response::new(text("x"));
        if told("x-envoy-attempt-count").unwrap() == "1" {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        } else {
            let is_timeout = told("x-envoy-is-timeout-retry").unwrap();
            response.headers_mut().insert("x-timeout", is_timeout);
        }
        response
    })
    .await;
    let on = RetryOn { server_error: true, ..RetryOn::default() };
    let forward = Forward { retry: Some(policy(on)), ..forward("c") };
    let mut table = RouteTable::clone(&table(vec![route("/", Action::Forward(Box::new(forward)))]));
    let all = AttemptHeaders { in_request: true, in_response: true, is_timeout: true };
    let mut host = VirtualHost::clone(&table.virtual_hosts[0]);
    host.attempts = all;
    table.virtual_hosts = vec![Arc::new(host)];
    let proxy = Proxy::to(&[upstream.address]);
    proxy.plane.shared().routes.put(Arc::new(table));
    let (head, _) = proxy.get("/").await;
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["x-envoy-attempt-count"], "2");
    assert_eq!(head.headers()["x-timeout"], "false");
}

#[tokio::test]
async fn a_request_can_ask_for_retries_and_time_limits() {
    let upstream = third_time_lucky().await;
    let proxy_to = |upstream: SocketAddr| {
        let manager = config::HttpConnectionManager {
            use_remote_address: true,
            internal_addresses: vec![([127, 0, 0, 0].into(), 8)],
            ..manager()
        };
        let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
        Proxy::new(manager, vec![cluster("c", &[upstream])], routes)
    };
    let proxy = proxy_to(upstream.address);
    let request = |headers: &[(&str, &str)]| {
        let request = Request::get("/").header("host", "a");
        let add = |request: http::request::Builder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        headers.iter().fold(request, add).body(text("")).unwrap()
    };
    let asked = [("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "2")];
    assert_eq!(proxy.ask(request(&asked)).await.0.status(), StatusCode::OK);
    assert_eq!(proxy.ask(request(&[])).await.0.status(), StatusCode::SERVICE_UNAVAILABLE);
    let slow = Upstream::http1(|_| std::future::pending()).await;
    let proxy = proxy_to(slow.address);
    let limit = ("x-envoy-upstream-rq-timeout-ms", "50");
    assert_eq!(proxy.ask(request(&[limit])).await.0.status(), StatusCode::GATEWAY_TIMEOUT);
    let silent = [limit, ("x-envoy-upstream-rq-timeout-alt-response", "1")];
    assert_eq!(proxy.ask(request(&silent)).await.0.status(), StatusCode::NO_CONTENT);
}
