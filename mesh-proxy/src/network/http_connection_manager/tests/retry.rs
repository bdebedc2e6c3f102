//! What is tried again, and what is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::{RetryOn, RetryPolicy};
use upstream::nobody;

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
    assert_eq!(proxy.stat("cluster.c.upstream_rq_retry"), 4);
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
        status_codes: Vec::new(),
        back_off: (Duration::from_millis(1), Duration::from_millis(10)),
    }
}

fn with_policy(on: RetryOn, upstreams: &[SocketAddr]) -> Proxy {
    let forward = Forward { retry: Some(policy(on)), ..forward("c") };
    let routes = vec![route("/", Action::Forward(Box::new(forward)))];
    Proxy::new(manager(), vec![cluster("c", upstreams)], routes)
}

#[tokio::test]
async fn another_host_is_preferred() {
    let upstream = Upstream::named("ok").await;
    let on = RetryOn { connect_failure: true, ..RetryOn::default() };
    let proxy = with_policy(on, &[nobody(), upstream.address]);
    for _ in 0..10 {
        assert_eq!(proxy.get("/").await.0.status(), StatusCode::OK);
    }
    assert!(proxy.stat("cluster.c.upstream_rq_retry") > 0);
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
    assert_eq!(proxy.stat("cluster.c.upstream_rq_retry_success"), 1);
}

#[tokio::test]
async fn a_large_body_is_not() {
    let upstream = third_time_lucky().await;
    let on = RetryOn { gateway_error: true, ..RetryOn::default() };
    let proxy = with_policy(on, &[upstream.address]);
    let large = vec![b'x'; 200_000];
    let post = Request::post("/").header("host", "a").body(text(large)).unwrap();
    assert_eq!(proxy.ask(post).await.0.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(proxy.stat("cluster.c.upstream_rq_retry"), 0);
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
    assert_eq!(proxy.stat("cluster.c.upstream_rq_total"), 3);
}
