//! Endings.

use super::*;
use tokio::sync::watch;

/// An upstream that answers when it is told to.
async fn held() -> (Upstream, watch::Sender<bool>) {
    let (release, held) = watch::channel(false);
    let upstream = Upstream::http1(move |_| {
        let mut held = held.clone();
        async move {
            let _ = held.wait_for(|released| *released).await;
            Response::new(text("done"))
        }
    })
    .await;
    (upstream, release)
}

#[tokio::test]
async fn a_drain_lets_requests_end_and_closes_the_rest() {
    let (upstream, release) = held().await;
    let proxy = Proxy::to(&[upstream.address]);
    let (mut http1, mut http2, mut idle) =
        (proxy.http1().await, proxy.http2().await, proxy.http1().await);
    let on_http2 = Request::get("http://a/").body(text("")).unwrap();
    let first = tokio::spawn(http1.send_request(get("/")));
    let second = tokio::spawn(http2.send_request(on_http2));
    proxy.until("cluster.c.upstream_rq_active", 2).await;
    let plane = proxy.plane.clone();
    let drain = tokio::spawn(async move { plane.drain(Duration::from_secs(60)).await });
    // The idle connection goes first.
    while idle.ready().await.is_ok() {
        tokio::task::yield_now().await;
    }
    release.send_replace(true);
    let (head, body) = whole(first.await.unwrap().unwrap()).await;
    assert_eq!((&*body, head.headers()["connection"].as_bytes()), ("done", &b"close"[..]));
    assert_eq!(whole(second.await.unwrap().unwrap()).await.1, "done");
    drain.await.unwrap();
    proxy.until("http.test.downstream_cx_active", 0).await;
}

#[tokio::test]
async fn what_comes_as_a_drain_begins_is_answered() {
    let upstream = Upstream::named("ok").await;
    let proxy = Proxy::to(&[upstream.address]);
    let (mut fresh, mut kept) = (proxy.http1().await, proxy.http1().await);
    assert_eq!(whole(kept.send_request(get("/")).await.unwrap()).await.1, "ok");
    proxy.until("http.test.downstream_cx_active", 2).await;
    let plane = proxy.plane.clone();
    let drain = tokio::spawn(async move { plane.drain(Duration::from_secs(60)).await });
    proxy.until("http.test.downstream_cx_drain_close", 2).await;
    for client in [&mut fresh, &mut kept] {
        let (head, body) = whole(client.send_request(get("/")).await.unwrap()).await;
        assert_eq!((&*body, head.headers()["connection"].as_bytes()), ("ok", &b"close"[..]));
    }
    drain.await.unwrap();
}

#[tokio::test]
async fn idle_connections_to_a_removed_endpoint_close() {
    let (one, two) = (Upstream::named("one").await, Upstream::named("two").await);
    let eds = config::Cluster {
        discovery: config::Discovery::Eds { service_name: "c".into() },
        ..cluster("c", &[])
    };
    let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
    let proxy = Proxy::new(manager(), vec![eds], routes);
    let clusters = &proxy.plane.shared().clusters;
    clusters.put_endpoints("c", assignment(&[one.address, two.address]));
    for _ in 0..4 {
        assert_eq!(proxy.get("/").await.0.status(), 200);
    }
    one.until_open(1).await;
    clusters.put_endpoints("c", assignment(&[two.address]));
    one.until_open(0).await;
    two.until_open(1).await;
    assert_eq!(proxy.get("/").await.1, "two");
    clusters.remove("c");
    two.until_open(0).await;
    assert_eq!(proxy.get("/").await.0.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn idle_connections_end_after_their_time() {
    let upstream = Upstream::named("ok").await;
    // Long enough for the request to come.
    let idle = Some(Duration::from_secs(3));
    let manager = config::HttpConnectionManager { idle_timeout: idle, ..manager() };
    let cluster = config::Cluster { idle_timeout: idle, ..cluster("c", &[upstream.address]) };
    let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
    let proxy = Proxy::new(manager, vec![cluster], routes);
    let mut client = proxy.http1().await;
    assert_eq!(client.send_request(get("/")).await.unwrap().status(), 200);
    upstream.until_open(0).await;
    proxy.until("http.test.downstream_cx_active", 0).await;
    proxy.until("cluster.c.upstream_cx_idle_timeout", 1).await;
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let (upstream, _release) = held().await;
    let proxy = Proxy::to(&[upstream.address]);
    let mut client = proxy.http1().await;
    let request = tokio::spawn(client.send_request(get("/")));
    proxy.until("cluster.c.upstream_rq_active", 1).await;
    request.abort();
    drop(client);
    proxy.until("cluster.c.upstream_rq_active", 0).await;
    upstream.until_open(0).await;
    proxy.until("http.test.downstream_rq_rx_reset", 1).await;
}
