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

/// A whole WebSocket over one HTTP/2 stream on either side (RFC 8441).
#[tokio::test]
async fn http2_carries_them_too() {
    let upstream = Upstream::raw(|io| async move {
        let mut builder = h2::server::Builder::new();
        builder.enable_connect_protocol();
        let mut connection = builder.handshake::<_, Bytes>(io).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            assert_eq!(request.method(), http::Method::CONNECT);
            let protocol = request.extensions().get::<h2::ext::Protocol>().unwrap();
            assert_eq!(protocol.as_str(), "websocket");
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            let mut body = request.into_body();
            tokio::spawn(async move {
                while let Some(Ok(data)) = body.data().await {
                    stream.send_data(data, false).unwrap();
                }
                // The stream is reset when the client goes.
                let _ = stream.send_data(Bytes::new(), true);
            });
        }
    })
    .await;
    let http2 = config::Http2Options { allow_connect: true, ..config::Http2Options::default() };
    let cluster = config::Cluster {
        protocol: config::HttpProtocol::Http2,
        http2,
        ..cluster("c", &[upstream.address])
    };
    let manager = config::HttpConnectionManager { http2, ..manager() };
    let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
    let proxy = Proxy::new(manager, vec![cluster], routes);
    // From HTTP/1.
    let response = proxy.http1().await.send_request(upgrade()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    io.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    io.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"ping");
    drop(io);
    // From HTTP/2.
    let io = TcpStream::connect(proxy.address).await.unwrap();
    let (sender, connection) = h2::client::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !sender.is_extended_connect_protocol_enabled() {
        assert!(tokio::time::Instant::now() < deadline, "no tunnels are taken");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut request = Request::connect("http://a/chat").body(()).unwrap();
    request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
    let (response, mut stream) = sender.send_request(request, false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    stream.send_data("ping".into(), true).unwrap();
    let mut body = response.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "ping");
    // The end may come as a frame of its own.
    while let Some(rest) = body.data().await {
        assert!(rest.unwrap().is_empty());
    }
    proxy.until("http.test.downstream_cx_upgrades_active", 0).await;
    proxy.until("http.test.downstream_cx_upgrades_total", 2).await;
}

#[tokio::test]
async fn not_where_it_is_not_allowed() {
    let upstream = Upstream::http1(websocket).await;
    let manager =
        config::HttpConnectionManager { upgrades: config::Upgrades::default(), ..manager() };
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

/// Reads the head of a message, and gives it.
async fn head(io: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn connect_opens_a_tunnel_where_a_route_asks_for_it() {
    let upstream = Upstream::raw(|mut io| async move {
        let head = head(&mut io).await;
        assert!(head.starts_with("CONNECT a:1 HTTP/1.1\r\n"), "{head}");
        io.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello").await.unwrap();
        let mut said = [0; 4];
        io.read_exact(&mut said).await.unwrap();
        io.write_all(&said).await.unwrap();
    })
    .await;
    let matcher = RouteMatch { path: PathMatch::Connect, ..RouteMatch::default() };
    let connect = Action::Forward(Box::new(forward("c")));
    let routes = vec![config::Route { matcher, ..route("/", connect) }];
    let upgrades = config::Upgrades(vec![("CONNECT".into(), true)]);
    let manager = config::HttpConnectionManager { upgrades, ..manager() };
    let proxy = Proxy::new(manager, vec![cluster("c", &[upstream.address])], routes);
    let mut io = TcpStream::connect(proxy.address).await.unwrap();
    io.write_all(b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\nping").await.unwrap();
    let answer = head(&mut io).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(!answer.contains("chunked") && !answer.contains("content-length"), "{answer}");
    let mut heard = Vec::new();
    io.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"helloping");
    // No other route takes it, and this one nothing else.
    assert_eq!(proxy.get("/").await.0.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn upstreams_can_say_whether_a_request_goes_on() {
    let upstream = Upstream::raw(|mut io| async move {
        let head = head(&mut io).await;
        assert!(head.contains("expect: 100-continue\r\n"), "{head}");
        io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        let mut body = [0; 4];
        io.read_exact(&mut body).await.unwrap();
        io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n").await.unwrap();
        io.write_all(&body).await.unwrap();
    })
    .await;
    let routes = vec![route("/", Action::Forward(Box::new(forward("c"))))];
    let manager = config::HttpConnectionManager { proxies_continue: true, ..manager() };
    let proxy = Proxy::new(manager, vec![cluster("c", &[upstream.address])], routes);
    let mut io = TcpStream::connect(proxy.address).await.unwrap();
    let ask = b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n";
    io.write_all(ask).await.unwrap();
    assert_eq!(head(&mut io).await, "HTTP/1.1 100 Continue\r\n\r\n");
    io.write_all(b"body").await.unwrap();
    assert!(head(&mut io).await.starts_with("HTTP/1.1 200 OK\r\n"));
    let mut body = [0; 4];
    io.read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"body");
}
