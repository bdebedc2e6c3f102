//! Connections to upstreams: how many, and for how long.

use std::pin::pin;

use hyper::service::service_fn;
use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::config::{HttpProtocol, Thresholds};

fn proxy(upstream: &Upstream, change: impl FnOnce(&mut config::Cluster)) -> Proxy {
    let mut cluster = cluster("c", &[upstream.address]);
    change(&mut cluster);
    let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
    Proxy::new(manager(), vec![cluster], routes)
}

/// One connection. The request that it is made for counts as waiting, too.
fn limited(cluster: &mut config::Cluster) {
    let max_connections = 1;
    cluster.thresholds =
        Thresholds { max_connections, max_pending_requests: 3, ..cluster.thresholds };
}

#[tokio::test]
async fn requests_wait_for_a_connection_when_there_may_be_no_more() {
    let upstream = Upstream::http1(|_| async {
        tokio::task::yield_now().await;
        Response::new(text("ok"))
    })
    .await;
    let proxy = proxy(&upstream, limited);
    for (head, body) in futures_util::future::join_all((0..3).map(|_| proxy.get("/"))).await {
        assert_eq!((head.status(), &*body), (StatusCode::OK, "ok"));
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn no_more_than_a_few_wait() {
    let slow = Upstream::http1(|_| std::future::pending()).await;
    let proxy = proxy(&slow, limited);
    let mut clients = Vec::new();
    // The first waits too, until it is connected: one after the other, or one is too many.
    for waiting in 0..4 {
        let mut client = proxy.http1().await;
        clients.push(tokio::spawn(async move { client.send_request(get("/")).await.is_ok() }));
        proxy.until("cluster.c.upstream_rq_active", 1).await;
        proxy.until("cluster.c.upstream_rq_pending_active", waiting).await;
    }
    let (head, body) = proxy.get("/").await;
    assert_eq!(head.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.ends_with("overflow"), "{body}");
    assert_eq!(proxy.stat("cluster.c.upstream_rq_pending_overflow"), 1);
    // Whoever waits is let in when the others leave.
    for client in &clients {
        client.abort();
    }
    proxy.until("cluster.c.upstream_rq_pending_active", 0).await;
    proxy.until("cluster.c.upstream_cx_active", 0).await;
}

#[tokio::test]
async fn a_connection_takes_no_more_requests_than_it_may() {
    let upstreams = [
        (HttpProtocol::Http1, Upstream::named("ok").await),
        (HttpProtocol::Http2, Upstream::http2(100, |_| async { Response::new(text("ok")) }).await),
    ];
    for (protocol, upstream) in upstreams {
        let proxy = proxy(&upstream, |cluster| {
            cluster.protocol = protocol;
            cluster.max_requests_per_connection = Some(2);
        });
        for _ in 0..4 {
            assert_eq!(proxy.get("/").await.1, "ok");
        }
        assert_eq!(upstream.connections(), 2, "{protocol:?}");
        proxy.until("cluster.c.upstream_cx_active", 0).await;
    }
}

/// Says GOAWAY after the first request of each connection.
async fn leaving() -> Upstream {
    Upstream::raw(|io| async move {
        let (done, mut served) = unbounded_channel();
        let service = service_fn(move |_| {
            let _ = done.send(());
            async { Ok::<_, std::convert::Infallible>(Response::new(text("ok"))) }
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = served.recv() => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    })
    .await
}

#[tokio::test]
async fn an_upstream_that_leaves_loses_no_request() {
    let upstream = leaving().await;
    let proxy = proxy(&upstream, |cluster| cluster.protocol = HttpProtocol::Http2);
    for _ in 0..20 {
        let (head, body) = proxy.get("/").await;
        assert_eq!((head.status(), &*body), (StatusCode::OK, "ok"));
    }
    assert!(upstream.connections() > 1);
}
