//! Connections to upstreams: how many, and for how long.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::cluster::{Cluster, PickContext};
use crate::codec::Protocol;
use crate::config::{HttpProtocol, Thresholds};
use crate::endpoint::Endpoint;
use crate::pool::{Pools, Wanted};

fn proxy(upstream: &Upstream, change: impl FnOnce(&mut config::Cluster)) -> Proxy {
    let mut cluster = cluster("c", &[upstream.address]);
    change(&mut cluster);
    let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
    Proxy::new(manager(), vec![cluster], routes)
}

/// One connection. The request that it is made for counts as waiting, too.
fn limited(cluster: &mut config::Cluster) {
    let max_connections = 1;
    cluster.breakers.default =
        Thresholds { max_connections, max_pending_requests: 3, ..cluster.breakers.default };
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
    proxy.until("cluster.c.upstream_rq_pending_overflow", 1).await;
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

/// Answers on `/`, and never on `/held`.
async fn holding() -> Upstream {
    Upstream::http1(|request| async move {
        if request.uri().path() == "/held" {
            std::future::pending::<()>().await;
        }
        Response::new(text("ok"))
    })
    .await
}

#[tokio::test]
async fn a_pool_outlives_those_who_wait_for_it() {
    let upstream = holding().await;
    let proxy = proxy(&upstream, limited);
    let (mut first, mut second) = (proxy.http1().await, proxy.http1().await);
    let first = tokio::spawn(async move { first.send_request(get("/held")).await.is_ok() });
    proxy.until("cluster.c.upstream_rq_active", 1).await;
    let second = tokio::spawn(async move { second.send_request(get("/")).await.unwrap().status() });
    proxy.until("cluster.c.upstream_rq_pending_active", 1).await;
    first.abort();
    assert_eq!(second.await.unwrap(), StatusCode::OK);
    // The connection that the second one made is found again.
    assert_eq!(proxy.get("/").await.1, "ok");
    assert_eq!(upstream.connections(), 2);
}

/// A cluster of this one upstream, with its endpoint.
fn endpoint(
    upstream: &Upstream,
    change: impl FnOnce(&mut config::Cluster),
) -> (Arc<Cluster>, Arc<Endpoint>) {
    let mut cluster = cluster("c", &[upstream.address]);
    change(&mut cluster);
    let clusters = &Shared::new(1).clusters;
    clusters.put(Arc::new(cluster));
    let cluster = clusters.get("c").unwrap();
    let endpoint = cluster.pick(PickContext::default()).unwrap();
    (cluster, endpoint)
}

/// Lets others do something until `is_done`.
async fn until(what: &str, is_done: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !is_done() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_turn_that_comes_too_late_goes_to_the_next() {
    let upstream = holding().await;
    let (cluster, endpoint) = endpoint(&upstream, limited);
    let waits = async {
        let pools = Pools::default();
        let acquire = || pools.acquire(&cluster, &endpoint, Protocol::Http1, Wanted::default());
        let lease = acquire().await.unwrap();
        let (mut gone, mut next) = (Box::pin(acquire()), Box::pin(acquire()));
        assert!(gone.as_mut().now_or_never().is_none());
        assert!(next.as_mut().now_or_never().is_none());
        drop(lease);
        until("the connection's end", || cluster.stats().cx_active.value() == 0).await;
        drop(gone);
        let next = tokio::time::timeout(DEADLINE, next).await;
        assert!(next.expect("the turn was lost").is_ok());
    };
    tokio::task::LocalSet::new().run_until(waits).await;
}

#[tokio::test]
async fn an_http2_pool_outlives_those_who_wait_for_it() {
    let (end, ended) = tokio::sync::watch::channel(false);
    // The first connection is closed when told to, the others stay.
    let count = AtomicUsize::new(0);
    let upstream = Upstream::raw(move |io| {
        let is_first = count.fetch_add(1, Ordering::SeqCst) == 0;
        let mut ended = ended.clone();
        async move {
            if !is_first || ended.wait_for(|ended| *ended).await.is_err() {
                std::future::pending::<()>().await;
            }
            drop(io);
        }
    })
    .await;
    let (cluster, endpoint) = endpoint(&upstream, |_| {});
    let waits = async {
        let pools = Pools::default();
        let acquire = || pools.acquire(&cluster, &endpoint, Protocol::Http2, Wanted::default());
        let mut waiting = Box::pin(acquire());
        assert!(waiting.as_mut().now_or_never().is_none());
        until("a connection", || cluster.stats().cx_http2_total.value() == 1).await;
        end.send_replace(true);
        until("its end", || cluster.stats().cx_active.value() == 0).await;
        let _first = waiting.await.unwrap();
        let _second = acquire().await.unwrap();
        assert_eq!(upstream.connections(), 2);
    };
    tokio::task::LocalSet::new().run_until(waits).await;
}

/// Is at work on the first request of its first connection for ever, and says GOAWAY to the
/// next ones, as if it had not seen them; answers on the other connections.
async fn restarting() -> Upstream {
    let count = AtomicUsize::new(0);
    Upstream::raw(move |io| {
        let is_first = count.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if is_first {
                return refuse_all(io).await;
            }
            let service = service_fn(|_| async { Ok::<_, Infallible>(Response::new(text("ok"))) });
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(io), service).await;
        }
    })
    .await
}

async fn refuse_all(mut io: TcpStream) {
    const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY_AFTER_1: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    const HEADERS: u8 = 1;
    io.write_all(EMPTY_SETTINGS).await.unwrap();
    io.read_exact(&mut [0; 24]).await.unwrap();
    let mut head = [0; 9];
    while io.read_exact(&mut head).await.is_ok() {
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        io.read_exact(&mut vec![0; length]).await.unwrap();
        if head[3] == HEADERS && head[8] > 1 {
            io.write_all(GOAWAY_AFTER_1).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_a_goaway_refused_goes_over_another_connection() {
    let upstream = restarting().await;
    let proxy = proxy(&upstream, |cluster| cluster.protocol = HttpProtocol::Http2);
    let mut first = proxy.http1().await;
    let _first = tokio::spawn(first.send_request(get("/")));
    proxy.until("cluster.c.upstream_rq_active", 1).await;
    let (head, body) = proxy.get("/").await;
    assert_eq!((head.status(), &*body), (StatusCode::OK, "ok"));
    assert_eq!(upstream.connections(), 2);
}
