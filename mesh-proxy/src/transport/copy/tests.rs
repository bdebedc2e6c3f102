use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::transport::io::tests::{Kind, pair};

/// Which ends may be inside TLS: downstream's and upstream's.
const KINDS: [(Kind, Kind); 4] = [
    (Kind::Plain, Kind::Plain),
    (Kind::Tls, Kind::Plain),
    (Kind::Plain, Kind::Tls),
    (Kind::Tls, Kind::Tls),
];

/// The lower one counts.
fn limits() -> [BufferLimit; 2] {
    [None, Some(1)].map(BufferLimit::new)
}

fn counters() -> [Counter; 2] {
    let registry = crate::stats::Registry::new(1);
    ["received", "sent"].map(|name| registry.counter(name))
}

#[tokio::test]
async fn each_side_may_close_first() {
    for ((down, up), client_first) in KINDS.into_iter().flat_map(|k| [(k, true), (k, false)]) {
        let (client, mut downstream) = pair(down).await;
        let (mut upstream, server) = pair(up).await;
        let (mut first, mut last) = if client_first { (client, server) } else { (server, client) };
        let ends = async {
            first.write_all(b"question").await.unwrap();
            first.shutdown().await.unwrap();
            let mut heard = String::new();
            last.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "question");
            last.write_all(b"an answer").await.unwrap();
            last.shutdown().await.unwrap();
            first.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "questionan answer");
        };
        let all = counters();
        let flow = Flow::new(Some(&all[0]), Some(&all[1]));
        let (end, ()) =
            tokio::join!(both(&mut downstream, &mut upstream, &flow, limits(), None), ends);
        assert!(matches!(end, End::Closed), "{end:?}");
        let expected = if client_first { (8, 9) } else { (9, 8) };
        assert_eq!((flow.received(), flow.sent()), expected);
        assert_eq!((all[0].value(), all[1].value()), expected);
    }
}

#[tokio::test]
async fn a_slow_reader_gets_every_byte_in_order() {
    const SIZE: usize = 4 * 1024 * 1024;
    let sent: Vec<u8> = (0..SIZE).map(|n| (n / 7 % 251) as u8).collect();
    for (down, up) in KINDS {
        let (mut client, mut downstream) = pair(down).await;
        let (mut upstream, mut server) = pair(up).await;
        let write = async {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let read = async {
            let mut got = Vec::new();
            // Small reads, so that the proxy meets a full socket.
            let mut some = [0; 10_007];
            loop {
                match server.read(&mut some).await.unwrap() {
                    0 => break,
                    count => got.extend_from_slice(&some[..count]),
                }
            }
            server.shutdown().await.unwrap();
            got
        };
        let all = counters();
        let flow = Flow::new(Some(&all[0]), Some(&all[1]));
        let copy = both(&mut downstream, &mut upstream, &flow, limits(), None);
        let (end, (), got) = tokio::join!(copy, write, read);
        assert!(matches!(end, End::Closed), "{end:?}");
        assert!(got == sent, "{down:?} {up:?}");
        assert_eq!(flow.received(), SIZE as u64);
    }
}

#[tokio::test]
async fn silence_ends_it() {
    for (down, up) in KINDS {
        let (_client, mut downstream) = pair(down).await;
        let (mut upstream, _server) = pair(up).await;
        tokio::time::pause();
        let timeout = Some(Duration::from_secs(3600));
        let flow = Flow::new(None, None);
        let end = both(&mut downstream, &mut upstream, &flow, limits(), timeout).await;
        assert!(matches!(end, End::Idle), "{end:?}");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_reset_ends_both() {
    for (down, up) in KINDS {
        let (client, mut downstream) = pair(down).await;
        let (mut upstream, _server) = pair(up).await;
        let client = client.into_socket();
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let flow = Flow::new(None, None);
        let end = both(&mut downstream, &mut upstream, &flow, limits(), None).await;
        assert!(matches!(end, End::Downstream(_)), "{end:?}");
    }
}

#[tokio::test]
async fn an_end_without_close_notify_is_an_end() {
    let (client, mut downstream) = pair(Kind::Tls).await;
    let (mut upstream, mut server) = pair(Kind::Plain).await;
    let mut client = client.into_socket();
    let ends = async {
        client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        assert!(heard.is_empty());
        server.shutdown().await.unwrap();
    };
    let flow = Flow::new(None, None);
    let (end, ()) = tokio::join!(both(&mut downstream, &mut upstream, &flow, limits(), None), ends);
    assert!(matches!(end, End::Closed), "{end:?}");
}
