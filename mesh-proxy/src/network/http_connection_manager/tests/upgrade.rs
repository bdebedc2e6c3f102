//! WebSockets.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Takes any upgrade and echoes.
async fn websocket(mut request: Request<Incoming>) -> Response<AnyBody> {
    assert_eq!(request.headers()["upgrade"], "websocket");
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = TokioIo::new(upgrade.await.unwrap());
        let mut buffer = [0; 1024];
        loop {
            match io.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => io.write_all(&buffer[..count]).await.unwrap(),
            }
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", "x")
        .body(text(""))
        .unwrap()
}

fn upgrade() -> Request<AnyBody> {
    Request::get("/chat")
        .header("host", "a")
        .header("connection", "keep-alive, Upgrade")
        .header("upgrade", "websocket")
        .body(text(""))
        .unwrap()
}

#[tokio::test]
async fn bytes_pass_both_ways() {
    let upstream = Upstream::http1(websocket).await;
    let proxy = Proxy::to(&[upstream.address]);
    let response = proxy.http1().await.send_request(upgrade()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["sec-websocket-accept"], "x");
    let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    for _ in 0..3 {
        io.write_all(b"ping").await.unwrap();
        let mut back = [0; 4];
        io.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"ping");
    }
    // All who count know of it.
    let books = [
        "http.test.downstream_cx_upgrades_active",
        "http.test.downstream_cx_active",
        "http.test.downstream_cx_http1_active",
        "http.test.downstream_rq_active",
        "cluster.c.upstream_cx_active",
        "cluster.c.upstream_rq_active",
    ];
    for book in books {
        assert_eq!(proxy.stat(book), 1, "{book}");
    }
    drop(io);
    for book in books {
        proxy.until(book, 0).await;
    }
}

#[tokio::test]
async fn not_where_it_is_not_allowed() {
    let upstream = Upstream::http1(websocket).await;
    let manager = config::HttpConnectionManager { websocket: false, ..manager() };
    let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
    let proxy = Proxy::new(manager, vec![cluster("c", &[upstream.address])], routes);
    assert_eq!(proxy.ask(upgrade()).await.0.status(), StatusCode::FORBIDDEN);
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_tunnel_counts_against_the_limits() {
    let upstream = Upstream::http1(websocket).await;
    for (max_connections, max_requests) in [(1, 9), (9, 1)] {
        let mut cluster = cluster("c", &[upstream.address]);
        cluster.breakers.default = config::Thresholds {
            max_connections,
            max_requests,
            max_pending_requests: 1,
            ..cluster.breakers.default
        };
        let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
        let proxy = Proxy::new(manager(), vec![cluster], routes);
        let response = proxy.http1().await.send_request(upgrade()).await.unwrap();
        let tunnel = hyper::upgrade::on(response).await.unwrap();
        let mut second = proxy.http1().await;
        let second = tokio::spawn(second.send_request(upgrade()));
        if max_connections == 1 {
            // It waits for the connection.
            proxy.until("cluster.c.upstream_cx_overflow", 1).await;
            drop(tunnel);
            assert_eq!(second.await.unwrap().unwrap().status(), StatusCode::SWITCHING_PROTOCOLS);
        } else {
            let refused = second.await.unwrap().unwrap();
            assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        }
    }
}
