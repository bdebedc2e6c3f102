//! An HTTP/1 upstream, which lets through what others would set right.

use tokio::io::AsyncWriteExt as _;

use super::Peer;
use crate::case::{Answer, Then};
use crate::wire::{self, Body, End, Head, Wire};

pub(super) async fn serve(peer: &Peer, mut wire: Wire) {
    while let Ok(head) = wire.head().await {
        if one(peer, &mut wire, &head).await.is_err() {
            return;
        }
    }
}

async fn one(peer: &Peer, wire: &mut Wire, head: &Head) -> Result<(), End> {
    let answer = peer.next();
    let mut body = Body::default();
    if answer.early {
        peer.note(&head.start, &head.headers, &body).await;
    } else {
        if head.get("expect").is_some() {
            wire.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if let Some(framing) = head.framing() {
            body = wire.body(framing).await;
        }
        peer.note(&head.start, &head.headers, &body).await;
    }
    if answer.status != Some(0) || answer.raw.is_some() {
        wire.write(&bytes(&answer, head.start.starts_with("HEAD "))).await?;
    }
    match answer.then {
        Then::Keep if answer.status == Some(101) || head.start.starts_with("CONNECT ") => {
            echo(wire).await
        }
        Then::Keep => Ok(()),
        Then::Close => {
            let _ = wire.io.shutdown().await;
            Err(End::Closed)
        }
        Then::Reset => Err(wire.reset()),
        Then::Stall => loop {
            wire.fill_forever().await?;
        },
    }
}

fn bytes(answer: &Answer, is_head: bool) -> Vec<u8> {
    let to_bytes = |text: &str| wire::bytes(text).unwrap_or_else(|_| text.as_bytes().to_vec());
    if let Some(raw) = &answer.raw {
        return to_bytes(raw);
    }
    let status = answer.status.unwrap_or(200);
    let has_body = status >= 200 && ![204, 304].contains(&status);
    let body = answer.whole_body(if has_body { "ok" } else { "" });
    let chunked = answer.chunked || !answer.trailers.0.is_empty();
    let mut text = format!("HTTP/1.1 {status} Reason\r\n");
    for (name, value) in &answer.headers.0 {
        text += &format!("{name}: {value}\r\n");
    }
    let says = |name| answer.headers.has(name);
    if chunked {
        text += "transfer-encoding: chunked\r\n\r\n";
        if !is_head {
            if !body.is_empty() {
                text += &format!("{:x}\r\n{body}\r\n", body.chars().count());
            }
            text += "0\r\n";
            for (name, value) in &answer.trailers.0 {
                text += &format!("{name}: {value}\r\n");
            }
            text += "\r\n";
        }
        return to_bytes(&text);
    }
    if has_body && !says("content-length") && !says("transfer-encoding") {
        text += &format!("content-length: {}\r\n", body.chars().count());
    }
    text += "\r\n";
    if !is_head {
        text += &body;
    }
    to_bytes(&text)
}

/// What an upgraded connection gets comes back.
async fn echo(wire: &mut Wire) -> Result<(), End> {
    loop {
        let got = wire.rest();
        if !got.is_empty() {
            wire.write(&wire::bytes(&got).unwrap_or_default()).await?;
        }
        wire.fill_forever().await?;
    }
}
