//! HTTP/1 as a client that may say anything.

use anyhow::Result;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::case::{Awaited, EndKind, Raw, Request, Step};
use crate::upstream::Upstreams;
use crate::wire::{self, End, Framing, Head, Wire};

/// One request, or the bytes that are sent in its stead, and the responses to it; and whether
/// the connection can take another one.
///
/// # Errors
/// When what is to be sent has no bytes.
pub(super) async fn exchange(
    wire: &mut Wire,
    request: &Request,
    upstreams: &Upstreams,
) -> Result<(Value, bool)> {
    let mut heads = Vec::new();
    // A proxy may have closed before it has read everything, and an answer is there then.
    let ended = match &request.raw {
        None => wire.write(&bytes(request)?).await.err(),
        Some(Raw::Bytes(text)) => wire.write(&wire::bytes(text)?).await.err(),
        Some(Raw::Steps(steps)) => run(wire, steps, upstreams, &mut heads).await?,
    };
    if ended.is_some() && matches!(&request.raw, Some(Raw::Steps(steps)) if ends(steps)) {
        return Ok((json!({"connection": "ended by the client"}), false));
    }
    let responses = Responses {
        is_head: request.line().0 == "HEAD",
        wanted: request.responses.unwrap_or(1),
        heads,
    };
    Ok(responses.read(wire).await)
}

/// Whether the client is the one who ends the connection.
fn ends(steps: &[Step]) -> bool {
    matches!(steps.last(), Some(Step::End(end)) if end.end != EndKind::Write)
}

fn bytes(request: &Request) -> Result<Vec<u8>> {
    let (method, path) = request.line();
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    let host = request.host.as_deref().unwrap_or("conform");
    if !host.is_empty() && !request.headers.has("host") {
        text += &format!("host: {host}\r\n");
    }
    for (name, value) in &request.headers.0 {
        text += &format!("{name}: {value}\r\n");
    }
    let body = request.whole_body();
    if request.chunked || !request.trailers.0.is_empty() {
        text += "transfer-encoding: chunked\r\n\r\n";
        if !body.is_empty() {
            text += &format!("{:x}\r\n{body}\r\n", body.chars().count());
        }
        text += "0\r\n";
        for (name, value) in &request.trailers.0 {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        return wire::bytes(&text);
    }
    if !body.is_empty() && !request.headers.has("content-length") {
        text += &format!("content-length: {}\r\n", body.chars().count());
    }
    wire::bytes(&format!("{text}\r\n{body}"))
}

/// Does the steps in turn, up to one that cannot be done.
async fn run(
    wire: &mut Wire,
    steps: &[Step],
    upstreams: &Upstreams,
    heads: &mut Vec<Head>,
) -> Result<Option<End>> {
    let before = upstreams.arrived();
    for step in steps {
        let done = match step {
            Step::Send(text) => wire.write(&wire::bytes(text)?).await,
            Step::Await(step) if step.what == Awaited::Upstream => {
                upstreams.more_than(before).await?;
                Ok(())
            }
            Step::Await(_) => wire.head().await.map(|head| heads.push(head)),
            Step::End(step) => match step.end {
                EndKind::Write => wire.io.shutdown().await.map_err(|_| End::Reset),
                // When the caller drops it.
                EndKind::Close => Err(End::Closed),
                EndKind::Reset => Err(wire.reset()),
            },
        };
        if let Err(end) = done {
            return Ok(Some(end));
        }
    }
    Ok(None)
}

/// What is to be read.
struct Responses {
    is_head: bool,
    wanted: usize,
    /// Heads that were read already.
    heads: Vec<Head>,
}

impl Responses {
    /// Reads as many final responses as are wanted, or more when the connection is to be
    /// closed: there should be none.
    async fn read(self, wire: &mut Wire) -> (Value, bool) {
        let mut told = Vec::new();
        let (mut finals, mut is_last) = (0, false);
        let mut read = self.heads.into_iter();
        let end = loop {
            if finals >= self.wanted && !is_last {
                break None;
            }
            let head = match read.next() {
                Some(head) => head,
                None => match wire.head().await {
                    Ok(head) => head,
                    Err(end) => break Some(end),
                },
            };
            let status = head.status();
            let mut response = json!({
                "status": head.shown_status(),
                "headers": wire::headers(&head.headers),
            });
            let is_upgrade = status == 101;
            if (100..200).contains(&status) && !is_upgrade {
                told.push(response);
                continue;
            }
            finals += 1;
            is_last |= head.says_close() || is_upgrade;
            let has_body = !self.is_head && ![101, 204, 304].contains(&status);
            let framing = head.framing().or((!is_upgrade).then_some(Framing::UntilClosed));
            if has_body && let Some(framing) = framing {
                let body = wire.body(framing).await;
                body.add_to(&mut response);
                is_last |= framing == Framing::UntilClosed || body.cut.is_some();
            }
            told.push(response);
            if is_upgrade {
                break None;
            }
        };
        let mut value = json!({ "responses": told });
        value["connection"] = json!(end.map_or_else(|| "open".to_owned(), End::word));
        let rest = wire.rest();
        if !rest.is_empty() {
            value["rest"] = json!(rest);
        }
        (value, end.is_none())
    }
}
