//! Health checks by HTTP.

use std::ops::Range;

use ::http::request::Builder;
use ::http::{HeaderMap, HeaderValue, Request, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::connection::{Http, Target};
use super::state::Outcome;
use super::stats::HealthStats;
use crate::codec::Protocol;
use crate::config::HttpProbe;

const USER_AGENT: HeaderValue = HeaderValue::from_static("Envoy/HC");

/// The connection that checks are made on.
#[derive(Default)]
pub(super) struct Prober(Option<Http>);

impl Prober {
    pub(super) fn close(&mut self) {
        self.0 = None;
    }

    pub(super) async fn probe(
        &mut self,
        target: &Target,
        settings: &HttpProbe,
        stats: &HealthStats,
    ) -> Outcome {
        let protocol = if settings.http2 { Protocol::Http2 } else { Protocol::Http1 };
        let is_ready = match &mut self.0 {
            Some(connection) => connection.is_ready().await,
            None => false,
        };
        if !is_ready {
            self.0 = Http::connect(target, protocol).await;
        }
        let Some(connection) = &mut self.0 else { return Outcome::Network };
        let Ok(request) = request(target, settings) else { return Outcome::Network };
        let Some(response) = connection.send(request).await else {
            self.close();
            return Outcome::Network;
        };
        let (head, body) = response.into_parts();
        let Some(body) = read(body, settings).await else {
            self.close();
            return Outcome::Network;
        };
        let closes = head.headers.get(header::CONNECTION);
        if closes.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close")) {
            self.close();
        }
        judge(head.status.as_u16(), &head.headers, &body, settings, stats)
    }
}

fn request(target: &Target, settings: &HttpProbe) -> ::http::Result<Request<Full<Bytes>>> {
    let uri = match settings.http2 {
        false => settings.path.parse::<Uri>()?,
        true => {
            let scheme = if target.endpoint.tls.is_some() { "https" } else { "http" };
            let uri = Uri::builder().scheme(scheme).authority(&*target.host);
            uri.path_and_query(&*settings.path).build()?
        }
    };
    let mut request: Builder = Request::builder().method(&settings.method).uri(uri);
    if !settings.http2 {
        request = request.header(header::HOST, &*target.host);
    }
    let mut request =
        request.header(header::USER_AGENT, USER_AGENT).body(Full::new(settings.send.clone()))?;
    let headers = request.headers_mut();
    for name in &settings.remove {
        headers.remove(name);
    }
    for (name, value, overwrite) in &settings.add {
        match overwrite {
            true => _ = headers.insert(name, value.clone()),
            false => _ = headers.append(name, value.clone()),
        }
    }
    Ok(request)
}

/// As much of a body as is looked at; `None` when it breaks off.
async fn read(mut body: Incoming, settings: &HttpProbe) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        if !settings.receive.is_empty() {
            let room = match settings.buffer {
                0 => data.len(),
                buffer => buffer.saturating_sub(read.len()).min(data.len()),
            };
            read.extend_from_slice(&data[..room]);
        }
    }
    Some(read)
}

/// Envoy's rules.
fn judge(
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
    settings: &HttpProbe,
    stats: &HealthStats,
) -> Outcome {
    let excluded = headers.contains_key(super::FAIL_AT_ONCE);
    if !has_all(body, &settings.receive) {
        return Outcome::Unhealthy { retriable: false, excluded };
    }
    let among = |ranges: &[Range<u16>]| ranges.iter().any(|range| range.contains(&status));
    if !among(&settings.expected) {
        return Outcome::Unhealthy { retriable: among(&settings.retriable), excluded };
    }
    if let Some(service) = &settings.service_name {
        stats.verify_cluster.inc();
        let name = headers.get("x-envoy-upstream-healthchecked-cluster");
        if !service.matches(name.map_or(b"", |name| name.as_bytes())) {
            return Outcome::Unhealthy { retriable: false, excluded: false };
        }
    }
    Outcome::Success { degraded: headers.contains_key("x-envoy-degraded") }
}

/// Whether these are in `bytes`, one behind the other.
pub(super) fn has_all(mut bytes: &[u8], all: &[Bytes]) -> bool {
    all.iter().all(|part| {
        let mut places = bytes.windows(part.len().max(1));
        let Some(at) = places.position(|place| place == &part[..]) else { return false };
        bytes = &bytes[at + part.len()..];
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_must_come_in_their_order() {
        let parts = |parts: &[&'static str]| {
            parts.iter().map(|part| Bytes::from_static(part.as_bytes())).collect::<Vec<_>>()
        };
        assert!(has_all(b"one two three", &parts(&["one", "three"])));
        assert!(!has_all(b"one two three", &parts(&["three", "one"])));
        assert!(!has_all(b"on", &parts(&["one"])));
        assert!(!has_all(b"aa", &parts(&["a", "a", "a"])));
        assert!(has_all(b"", &[]));
    }
}
