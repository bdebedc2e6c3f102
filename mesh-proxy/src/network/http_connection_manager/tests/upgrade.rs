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
    assert_eq!(proxy.stat("http.test.downstream_cx_upgrades_active"), 1);
    drop(io);
    proxy.until("http.test.downstream_cx_upgrades_active", 0).await;
    proxy.until("http.test.downstream_rq_active", 0).await;
    proxy.until("cluster.c.upstream_cx_active", 0).await;
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
