//! What the connection manager changes in heads, as Envoy does.

use std::net::SocketAddr;

use http::header::{
    CONNECTION, COOKIE, DATE, Entry, HOST, SERVER, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

use super::{Manager, client_cert, date, request_id};
use crate::config::{ServerHeader, Underscores};
use crate::router::Downstream;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");

/// What is wrong with the host that a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHost {
    Missing,
    /// None, or more than one.
    Invalid,
}

/// Brings the target into origin form and the authority into Host, whatever the protocol
/// (RFC 9112, section 3.2.2: an absolute target's authority takes Host's place).
///
/// # Errors
/// What is wrong with the authority: the answer is 400 (RFC 9112, section 3.2).
pub(super) fn normalise(head: &mut Parts) -> Result<(), BadHost> {
    if head.headers.get_all(HOST).iter().nth(1).is_some() {
        return Err(BadHost::Invalid);
    }
    if let Some(authority) = head.uri.authority() {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| BadHost::Invalid)?;
        head.headers.insert(HOST, host);
        let path = head.uri.path_and_query().cloned();
        head.uri = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    }
    if head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
    }
    match head.headers.get(HOST) {
        None => Err(BadHost::Missing),
        // Of a target without an authority (section 3.2).
        Some(host) if host.is_empty() || is_host(host.as_bytes()) => Ok(()),
        Some(_) => Err(BadHost::Invalid),
    }
}

/// Whether it is a host with or without a port (RFC 9110, section 7.2).
fn is_host(host: &[u8]) -> bool {
    Authority::try_from(host).is_ok() && !host.contains(&b'@')
}

/// HTTP/2 clients send a cookie in pieces, which nobody else understands (RFC 9113, section
/// 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(COOKIE).iter();
    if pieces.by_ref().nth(1).is_none() {
        return;
    }
    let pieces: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

/// The protocol that the client asks for (RFC 9110, section 7.8); CONNECT is one, as in Envoy.
pub(super) fn asked_upgrade(head: &Parts) -> Option<HeaderValue> {
    if head.method == Method::CONNECT {
        return Some(HeaderValue::from_static("CONNECT"));
    }
    let upgrade = head.headers.get(UPGRADE)?;
    lists(&head.headers, CONNECTION, "upgrade").then(|| upgrade.clone())
}

/// Whether a header that holds a list has this item.
fn lists(headers: &HeaderMap, name: HeaderName, item: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(item))
}

/// Removes what belongs to one connection only (RFC 9110, section 7.6.1). `TE: trailers`
/// stays, without which gRPC servers refuse a request.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if let Entry::Occupied(connection) = headers.entry(CONNECTION) {
        let values: Vec<_> = connection.remove_entry_mult().1.collect();
        let values = values.iter().filter_map(|value| value.to_str().ok());
        for name in values.flat_map(|value| value.split(',')).map(str::trim) {
            let is_kept = name.eq_ignore_ascii_case("te") || name.eq_ignore_ascii_case("host");
            if !is_kept && let Ok(name) = HeaderName::try_from(name) {
                headers.remove(name);
            }
        }
    }
    headers.remove(UPGRADE);
    headers.remove(KEEP_ALIVE);
    headers.remove(TRANSFER_ENCODING);
    headers.remove(PROXY_CONNECTION);
    if headers.contains_key(TE) {
        let wants_trailers = lists(headers, TE, "trailers");
        headers.remove(TE);
        if wants_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
}

/// Makes a head again what [`remove_hop_by_hop`] took: the upgrade to a protocol.
pub(super) fn restore_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, protocol);
}

impl Manager {
    /// Says where a request came from, and gives it an id. Gives back who its client is.
    pub(super) fn prepare_request(
        &self,
        headers: &mut HeaderMap,
        downstream: &Downstream,
    ) -> SocketAddr {
        let config = &self.config;
        let origin = self.find_origin(headers, downstream);
        client_cert::forward(config.client_cert, headers, downstream.tls.as_deref());
        let is_edge = config.use_remote_address && !origin.is_internal;
        let is_trusted = !is_edge || config.preserve_external_request_id;
        if !(is_trusted && headers.contains_key(REQUEST_ID)) {
            if config.generate_request_id {
                headers.insert(REQUEST_ID, request_id::new());
            } else if !is_trusted {
                headers.remove(REQUEST_ID);
            }
        }
        if let Some(via) = &config.via {
            append_via(headers, via);
        }
        origin.address
    }

    /// Finishes the head of a response.
    pub(super) fn finish_response(
        &self,
        headers: &mut HeaderMap,
        request: &HeaderMap,
        service_time: Option<std::time::Duration>,
    ) {
        let config = &self.config;
        if let Some(time) = service_time {
            headers.insert(SERVICE_TIME, HeaderValue::from(time.as_millis() as u64));
        }
        if let Entry::Vacant(place) = headers.entry(DATE) {
            place.insert(date::now());
        }
        match config.server_header {
            ServerHeader::PassThrough => {}
            ServerHeader::AppendIfAbsent if headers.contains_key(SERVER) => {}
            _ => _ = headers.insert(SERVER, self.server_header.clone()),
        }
        if config.request_id_in_response
            && let Some(id) = request.get(REQUEST_ID)
        {
            headers.insert(REQUEST_ID, id.clone());
        }
        if let Some(via) = &config.via {
            append_via(headers, via);
        }
    }
}

/// In one field with what was there, as Envoy has it.
fn append_via(headers: &mut HeaderMap, via: &HeaderValue) {
    let before = headers.get_all(VIA).iter().chain([via]).map(HeaderValue::as_bytes);
    let all = before.collect::<Vec<_>>().join(&b", "[..]);
    if let Ok(all) = HeaderValue::from_bytes(&all) {
        headers.insert(VIA, all);
    }
}

/// Takes headers whose names have an underscore away; `false` when they are refused.
pub(super) fn take_underscores(headers: &mut HeaderMap, action: Underscores) -> bool {
    if action == Underscores::Allow {
        return true;
    }
    let with_underscore = |name: &&HeaderName| name.as_str().contains('_');
    if action == Underscores::Reject {
        return !headers.keys().any(|name| with_underscore(&name));
    }
    let names: Vec<_> = headers.keys().filter(with_underscore).cloned().collect();
    names.iter().for_each(|name| _ = headers.remove(name));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        list.iter().map(pair).collect()
    }

    #[test]
    fn what_belongs_to_the_connection_is_removed() {
        let mut found = headers(&[
            ("connection", "close, x-private, TE"),
            ("connection", "x-secret"),
            ("x-private", "1"),
            ("x-secret", "1"),
            ("keep-alive", "5"),
            ("te", "gzip, trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-public", "1"),
        ]);
        remove_hop_by_hop(&mut found);
        assert_eq!(found, headers(&[("te", "trailers"), ("x-public", "1")]));
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        let request = Request::get("http://a:1/b?c").header("host", "x").body(()).unwrap();
        let (mut head, ()) = request.into_parts();
        assert_eq!(normalise(&mut head), Ok(()));
        assert_eq!(head.headers["host"], "a:1");
        assert_eq!(head.uri, "/b?c");
    }

    #[test]
    fn the_pieces_of_a_cookie_are_joined() {
        let mut cookies = headers(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]);
        join_cookies(&mut cookies);
        assert_eq!(cookies, headers(&[("cookie", "a=1; b=2"), ("x", "y")]));
    }

    #[test]
    fn one_host_is_needed() {
        let normalised = |hosts: &[&'static str]| {
            let (mut head, ()) = Request::get("/").body(()).unwrap().into_parts();
            head.headers = headers(&hosts.iter().map(|host| ("host", *host)).collect::<Vec<_>>());
            normalise(&mut head)
        };
        for host in ["", "a", "a.test:80", "[::1]:80", "a_b"] {
            assert_eq!(normalised(&[host]), Ok(()), "{host}");
        }
        assert_eq!(normalised(&[]), Err(BadHost::Missing));
        assert_eq!(normalised(&["a", "a"]), Err(BadHost::Invalid));
        for host in ["a b", "a/b", "user@a"] {
            assert_eq!(normalised(&[host]), Err(BadHost::Invalid), "{host}");
        }
    }

    #[test]
    fn names_with_underscores_are_what_is_asked_for() {
        let found = || headers(&[("a_b", "1"), ("c", "2"), ("d_e", "3")]);
        let mut left = found();
        assert!(take_underscores(&mut left, Underscores::Allow) && left == found());
        assert!(!take_underscores(&mut left, Underscores::Reject));
        assert!(take_underscores(&mut left, Underscores::Drop));
        assert_eq!(left, headers(&[("c", "2")]));
        assert!(take_underscores(&mut left, Underscores::Reject));
    }

    #[test]
    fn via_is_one_field() {
        let mut found = headers(&[("via", "1.0 a"), ("via", "1.1 b")]);
        append_via(&mut found, &HeaderValue::from_static("1.1 c"));
        assert_eq!(found, headers(&[("via", "1.0 a, 1.1 b, 1.1 c")]));
    }

    #[test]
    fn upgrades_are_asked_for_by_two_headers() {
        let asked = |list: &[_]| {
            let (mut head, ()) = Request::get("/").body(()).unwrap().into_parts();
            head.headers = headers(list);
            asked_upgrade(&head)
        };
        let websocket = asked(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]);
        assert_eq!(websocket.unwrap(), "WebSocket");
        assert_eq!(asked(&[("upgrade", "websocket")]), None);
        assert_eq!(asked(&[("connection", "upgrade")]), None);
    }
}
