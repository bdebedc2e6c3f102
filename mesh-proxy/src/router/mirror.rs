//! Copies of requests, whose answers nobody sees.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, header};
use http_body_util::BodyExt;
use tokio::task::spawn_local;

use super::Stream;
use super::attempt::{Choice, Try, attempt};
use super::forward::cluster;
use crate::cluster::Cluster;
use crate::codec::{Body, Tee};
use crate::config::{Mirror, MirrorHost};
use crate::random;
use crate::routes::without_port;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");

/// Sends a copy of the request wherever `mirrors` say, each for as long as `limit`, and gives
/// the body for the request itself. Nobody waits for a copy.
pub(super) fn send(
    stream: &Stream,
    mirrors: &[Mirror],
    limit: Option<Duration>,
    body: Body,
) -> Body {
    let taken =
        |mirror: &&Mirror| mirror.fraction.is_none_or(|fraction| fraction.takes(random::next()));
    let targets: Vec<_> = mirrors
        .iter()
        .filter(taken)
        .filter_map(|mirror| Some((mirror, cluster(stream, &mirror.cluster)?)))
        .collect();
    if targets.is_empty() {
        return body;
    }
    let (body, copies) = match body.is_empty() {
        true => (body, targets.iter().map(|_| Body::empty()).collect()),
        false => Tee::split(body, targets.len()),
    };
    for ((mirror, cluster), copy) in targets.into_iter().zip(copies) {
        let shadow = stream.shadow(head(stream, mirror));
        spawn_local(exchange(shadow, cluster, copy, limit));
    }
    body
}

/// The head of a copy, which says as in Envoy that a proxy has made it.
fn head(stream: &Stream, mirror: &Mirror) -> Parts {
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = stream.head.method.clone();
    head.uri = stream.head.uri.clone();
    head.version = stream.head.version;
    head.headers = stream.head.headers.clone();
    if let Some(host) = host(&head, &mirror.host) {
        head.headers.insert(header::HOST, host);
    }
    head.headers.insert(INTERNAL, HeaderValue::from_static("true"));
    let own = HeaderValue::try_from(stream.downstream.local.ip().to_string());
    if let Ok(own) = own {
        head.headers.append(FORWARDED_FOR, own);
    }
    head
}

/// What Host becomes; `None` when it stays.
fn host(head: &Parts, config: &MirrorHost) -> Option<HeaderValue> {
    match config {
        MirrorHost::Same => None,
        MirrorHost::Literal(host) => Some(host.clone()),
        MirrorHost::Suffixed => {
            let authority = head.headers.get(header::HOST)?.to_str().ok()?;
            let (name, port) = authority.split_at(without_port(authority).len());
            HeaderValue::try_from(format!("{name}-shadow{port}")).ok()
        }
    }
}

async fn exchange(mut shadow: Stream, cluster: Arc<Cluster>, body: Body, limit: Option<Duration>) {
    let exchange = async {
        let to = Try { cluster: &cluster, tried: &[], fresh: false, choice: Choice::default() };
        let Ok((response, exchange)) = attempt(&mut shadow, body, &to).await else { return };
        let status = response.status();
        let mut answer = response.into_body();
        cluster.stats().count_response(status);
        while let Some(frame) = answer.frame().await {
            if let Err(error) = frame {
                return exchange.reset(&error);
            }
        }
        exchange.complete();
    };
    match limit {
        // What the time is over for is reset.
        Some(limit) => _ = tokio::time::timeout(limit, exchange).await,
        None => exchange.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_told_by_its_host() {
        let suffixed = |host: &str| {
            let (mut head, ()) = Request::new(()).into_parts();
            head.headers.insert(header::HOST, HeaderValue::try_from(host).unwrap());
            super::host(&head, &MirrorHost::Suffixed).unwrap()
        };
        assert_eq!(suffixed("a"), "a-shadow");
        assert_eq!(suffixed("a.test:80"), "a.test-shadow:80");
    }
}
