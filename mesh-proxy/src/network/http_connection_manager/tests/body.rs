//! Bodies, in every combination of protocols.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt;
use http::HeaderMap;
use http_body_util::StreamBody;
use hyper::body::Frame;

use super::*;
use crate::config::HttpProtocol;

async fn echo(request: Request<Incoming>) -> Response<AnyBody> {
    Response::new(request.into_body().map_err(Into::into).boxed())
}

/// Bodies may take their time: some are large.
fn proxy(protocol: HttpProtocol, upstream: &Upstream) -> Proxy {
    let cluster = config::Cluster { protocol, ..cluster("c", &[upstream.address]) };
    let forward = config::Forward { timeout: None, ..forward("c") };
    let routes = vec![route("/", Action::Forward(Box::new(forward)))];
    Proxy::new(manager(), vec![cluster], routes)
}

fn post(version: http::Version, body: AnyBody) -> Request<AnyBody> {
    let request = match version {
        http::Version::HTTP_2 => Request::post("http://a/echo"),
        _ => Request::post("/echo").header("host", "a"),
    };
    request.body(body).unwrap()
}

#[tokio::test]
async fn every_protocol_speaks_to_every_other() {
    let upstreams = [
        (HttpProtocol::Http1, Upstream::http1(echo).await),
        (HttpProtocol::Http2, Upstream::http2(100, echo).await),
    ];
    for (protocol, upstream) in upstreams {
        let proxy = proxy(protocol, &upstream);
        let mut http2 = proxy.http2().await;
        for size in [0, 1, 100_000, 3_000_000] {
            let sent = || text(vec![b'x'; size]);
            // An answer that begins before the request has ended ends the connection.
            let (_, back) = proxy.ask(post(http::Version::HTTP_11, sent())).await;
            assert_eq!(back.len(), size, "{protocol:?}");
            let response = http2.send_request(post(http::Version::HTTP_2, sent())).await;
            assert_eq!(whole(response.unwrap()).await.1.len(), size, "{protocol:?}");
        }
        assert_eq!(upstream.connections(), 1);
    }
}

#[tokio::test]
async fn trailers_pass() {
    let upstream = Upstream::http2(100, echo).await;
    let proxy = proxy(HttpProtocol::Http2, &upstream);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Frame::data(Bytes::from("message")), Frame::trailers(trailers)];
    let frames = futures_util::stream::iter(frames.map(Ok::<_, std::convert::Infallible>));
    let body = StreamBody::new(frames).map_err(|never| match never {}).boxed();
    let response = proxy.http2().await.send_request(post(http::Version::HTTP_2, body)).await;
    let collected = response.unwrap().into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "message");
}

#[tokio::test]
async fn messages_pass_both_ways_while_both_are_open() {
    for (protocol, upstream) in [
        (HttpProtocol::Http1, Upstream::http1(echo).await),
        (HttpProtocol::Http2, Upstream::http2(100, echo).await),
    ] {
        let proxy = proxy(protocol, &upstream);
        let (sender, mut messages) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
        let messages = futures_util::stream::poll_fn(move |cx| messages.poll_recv(cx));
        let frames =
            messages.map(|text| Ok::<_, std::convert::Infallible>(Frame::data(text.into())));
        let body = BodyExt::boxed(StreamBody::new(frames).map_err(|never| match never {}));
        let response = proxy.http2().await.send_request(post(http::Version::HTTP_2, body)).await;
        let mut body = response.unwrap().into_body();
        for message in ["one", "two", "three"] {
            sender.send(message).unwrap();
            let frame = body.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), message);
        }
        drop(sender);
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_upstream() {
    const CHUNK: usize = 64 * 1024;
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let upstream = Upstream::http1(move |_| {
        let count = Arc::clone(&count);
        async move {
            let chunks = futures_util::stream::repeat_with(move || {
                count.fetch_add(CHUNK, Ordering::SeqCst);
                Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(vec![0; CHUNK])))
            });
            let chunks = chunks.take(4096);
            Response::new(BodyExt::boxed(StreamBody::new(chunks).map_err(|never| match never {})))
        }
    })
    .await;
    let proxy = proxy(HttpProtocol::Http1, &upstream);
    let response = proxy.http1().await.send_request(get("/")).await.unwrap();
    // Stands still when nothing more is made for a while: sockets and buffers are full.
    let mut last = 0;
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = made.load(Ordering::SeqCst);
        if now == last && now > 0 {
            break;
        }
        last = now;
        assert!(tokio::time::Instant::now() < deadline);
    }
    assert!(last < 64 * 1024 * 1024, "{last} of 256 MiB were taken from the upstream");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 4096 * CHUNK);
}

/// Says the end of each response on its own, when the next request is there, and with it
/// whether the stream was reset before.
async fn ending_late() -> Upstream {
    Upstream::raw(|io| async move {
        let mut connection = h2::server::handshake(io).await.unwrap();
        let mut last: Option<h2::SendStream<Bytes>> = None;
        let mut resets = 0;
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            if let Some(mut last) = last.take() {
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                resets += u16::from(last.poll_reset(&mut cx).is_ready());
                let _ = last.send_data(Bytes::new(), true);
            }
            let mut response = Response::new(());
            response.headers_mut().insert("content-length", HeaderValue::from_static("2"));
            response.headers_mut().insert("x-resets", HeaderValue::from(resets));
            let mut stream = respond.send_response(response, false).unwrap();
            if request.method() != http::Method::HEAD {
                stream.send_data("ok".into(), false).unwrap();
            }
            last = Some(stream);
        }
    })
    .await
}

#[tokio::test]
async fn a_response_is_complete_when_its_length_is_there() {
    let upstream = ending_late().await;
    let proxy = proxy(HttpProtocol::Http2, &upstream);
    let mut client = proxy.http1().await;
    for method in ["GET", "HEAD", "GET", "GET"] {
        client.ready().await.unwrap();
        let request = Request::builder().method(method).uri("/").header("host", "a");
        let response = client.send_request(request.body(text("")).unwrap()).await.unwrap();
        let (head, body) = whole(response).await;
        assert_eq!(head.headers()["x-resets"], "0");
        assert_eq!(body, if method == "HEAD" { "" } else { "ok" });
        proxy.until("http.test.downstream_rq_active", 0).await;
    }
    assert_eq!(proxy.stat("http.test.downstream_rq_rx_reset"), 0);
    proxy.until("cluster.c.upstream_rq_active", 1).await;
}

#[tokio::test]
async fn more_streams_than_the_peer_takes_need_more_connections() {
    // Answers six when all of them are there.
    let all = Arc::new(tokio::sync::Barrier::new(6));
    let upstream = Upstream::http2(2, move |request| {
        let all = Arc::clone(&all);
        async move {
            if request.method() == http::Method::POST {
                all.wait().await;
            }
            Response::new(text("ok"))
        }
    })
    .await;
    let proxy = proxy(HttpProtocol::Http2, &upstream);
    // The peer's settings are known after the first response.
    proxy.get("/").await;
    let client = proxy.http2().await;
    let requests = (0..6).map(|_| {
        let mut client = client.clone();
        async move { client.send_request(post(http::Version::HTTP_2, text(""))).await }
    });
    for response in futures_util::future::join_all(requests).await {
        assert_eq!(response.unwrap().status(), 200);
    }
    assert_eq!(upstream.connections(), 3);
}
