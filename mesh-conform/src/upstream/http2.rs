//! An HTTP/2 upstream.

use std::rc::Rc;

use anyhow::Result;
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::Peer;
use crate::case::{Answer, Then};
use crate::client::http2::{list, map, read};
use crate::wire::{self, Body, Io};

pub(super) async fn serve(peer: &Peer, io: Box<dyn Io>) {
    let Ok(mut connection) = h2::server::handshake(io).await else { return };
    let close = Rc::new(Notify::new());
    // They end with the connection.
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            () = close.notified() => return,
            next = connection.accept() => {
                let Some(Ok((request, respond))) = next else { return };
                let (peer, close) = (peer.clone(), Rc::clone(&close));
                streams.spawn_local(async move { one(&peer, request, respond, &close).await });
            }
        }
    }
}

async fn one(
    peer: &Peer,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    close: &Notify,
) {
    let answer = peer.next();
    let (head, incoming) = request.into_parts();
    let mut headers = list(&head.headers);
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    for (name, value) in [
        (":authority", head.uri.authority().map(|authority| authority.as_str())),
        (":scheme", head.uri.scheme_str()),
        (":protocol", head.extensions.get::<h2::ext::Protocol>().map(|it| it.as_str())),
    ] {
        headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }
    let body = if answer.early { Body::default() } else { read(incoming).await };
    peer.note(&format!("{} {path} HTTP/2", head.method), &headers, &body).await;
    if answer.status != Some(0) && say(&answer, &mut respond).is_err() {
        return;
    }
    match answer.then {
        Then::Keep => {}
        Then::Close => {
            close.notify_one();
            // Dropped before the connection, the stream would be reset.
            std::future::pending().await
        }
        Then::Reset => {
            respond.send_reset(answer.code.map_or(Reason::INTERNAL_ERROR, Reason::from));
        }
        Then::Stall => std::future::pending().await,
    }
}

fn say(answer: &Answer, respond: &mut SendResponse<Bytes>) -> Result<()> {
    let mut response = http::Response::builder().status(answer.status.unwrap_or(200)).body(())?;
    *response.headers_mut() = map(&answer.headers)?;
    let trailers = map(&answer.trailers)?;
    let body = wire::bytes(&answer.whole_body("ok"))?;
    let is_whole = answer.then == Then::Keep;
    let ends_here = is_whole && body.is_empty() && trailers.is_empty();
    let mut stream = respond.send_response(response, ends_here)?;
    if !body.is_empty() {
        stream.send_data(body.into(), is_whole && trailers.is_empty())?;
    }
    if !trailers.is_empty() {
        stream.send_trailers(trailers)?;
    }
    Ok(())
}
