//! What the connection manager changes in heads, as Envoy does.

use http::header::{
    CONNECTION, COOKIE, EXPECT, Entry, HOST, SERVER, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version};

use super::{Manager, client_cert, request_id};
use crate::router::Downstream;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const EXTERNAL_ADDRESS: HeaderName = HeaderName::from_static("x-envoy-external-address");
const INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");
const SERVICE_TIME: HeaderName = HeaderName::from_static("x-envoy-upstream-service-time");

/// What only the mesh itself may say: an edge takes it from no client (Envoy's
/// `cleanInternalHeaders` list).
const MESH_ONLY: [&str; 13] = [
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-ip-tags",
    "x-envoy-max-retries",
    "x-envoy-original-url",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-ms",
];

/// Brings the target into origin form and the authority into Host, whatever the protocol
/// (RFC 9112, section 3.2.2: an absolute target's authority takes Host's place).
///
/// # Errors
/// What is wrong with the authority, as response code details: the answer is 400 (RFC 9112,
/// section 3.2).
pub(super) fn normalise(head: &mut Parts) -> Result<(), &'static str> {
    if head.headers.get_all(HOST).iter().nth(1).is_some() {
        return Err("multiple_host_headers");
    }
    if let Some(authority) = head.uri.authority() {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| "invalid_host_header")?;
        head.headers.insert(HOST, host);
        let path = head.uri.path_and_query().cloned();
        head.uri = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    }
    if head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
    }
    match head.headers.get(HOST) {
        None => Err("missing_host_header"),
        Some(host) if is_host(host.as_bytes()) => Ok(()),
        Some(_) => Err("invalid_host_header"),
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

/// Whether the client asks for a WebSocket (RFC 6455, section 4.1).
pub(super) fn asks_for_websocket(head: &Parts) -> bool {
    let upgrade = head.headers.get(UPGRADE);
    upgrade.is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && lists(&head.headers, CONNECTION, "upgrade")
}

/// Whether a header that holds a list has this item.
fn lists(headers: &HeaderMap, name: HeaderName, item: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(item))
}

/// Removes what belongs to one connection only (RFC 9110, section 7.6.1). `TE: trailers`
/// stays, without which gRPC servers refuse a request. `Expect` goes because the codec
/// answers it itself.
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
    headers.remove(EXPECT);
    if headers.contains_key(TE) {
        let wants_trailers = lists(headers, TE, "trailers");
        headers.remove(TE);
        if wants_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
    }
}

/// Makes a WebSocket's request again what [`remove_hop_by_hop`] took.
pub(super) fn restore_upgrade(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

impl Manager {
    /// Says where a request came from, and gives it an id.
    pub(super) fn prepare_request(&self, headers: &mut HeaderMap, downstream: &Downstream) {
        let config = &self.config;
        let Downstream { remote, tls, .. } = downstream;
        // What only a proxy may say.
        headers.remove(INTERNAL);
        client_cert::forward(config.client_cert, headers, tls.as_deref());
        let scheme = HeaderValue::from_static(if tls.is_some() { "https" } else { "http" });
        if config.use_remote_address {
            for name in MESH_ONLY {
                headers.remove(name);
            }
            let address = HeaderValue::try_from(remote.ip().to_string());
            if let Ok(address) = address {
                if !config.skip_xff_append {
                    append_forwarded_for(headers, &address);
                }
                headers.insert(EXTERNAL_ADDRESS, address);
            }
            // A client outside does not say what this connection is.
            headers.insert(FORWARDED_PROTO, scheme);
        } else if !headers.contains_key(FORWARDED_PROTO) {
            headers.insert(FORWARDED_PROTO, scheme);
        }
        let is_trusted = !config.use_remote_address || config.preserve_external_request_id;
        if config.generate_request_id && !(is_trusted && headers.contains_key(REQUEST_ID)) {
            headers.insert(REQUEST_ID, request_id::new());
        }
    }

    /// Finishes the head of a response.
    pub(super) fn finish_response(
        &self,
        headers: &mut HeaderMap,
        service_time: Option<std::time::Duration>,
    ) {
        if let Some(time) = service_time {
            headers.insert(SERVICE_TIME, HeaderValue::from(time.as_millis() as u64));
        }
        if !self.config.pass_server_header || !headers.contains_key(SERVER) {
            headers.insert(SERVER, self.server_header.clone());
        }
    }
}

fn append_forwarded_for(headers: &mut HeaderMap, address: &HeaderValue) {
    let before = headers.get_all(FORWARDED_FOR).iter().filter(|before| !before.is_empty());
    let all: Vec<_> = before.chain([address]).map(HeaderValue::as_bytes).collect();
    if let Ok(all) = HeaderValue::from_bytes(&all.join(&b","[..])) {
        headers.insert(FORWARDED_FOR, all);
    }
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
        for host in ["a", "a.test:80", "[::1]:80", "a_b"] {
            assert_eq!(normalised(&[host]), Ok(()), "{host}");
        }
        assert_eq!(normalised(&[]), Err("missing_host_header"));
        assert_eq!(normalised(&["a", "a"]), Err("multiple_host_headers"));
        for host in ["", "a b", "a/b", "user@a"] {
            assert_eq!(normalised(&[host]), Err("invalid_host_header"), "{host}");
        }
    }

    #[test]
    fn a_client_is_appended_to_all_that_were_before() {
        let mut found =
            headers(&[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "10.0.0.2")]);
        append_forwarded_for(&mut found, &HeaderValue::from_static("10.0.0.3"));
        assert_eq!(found, headers(&[("x-forwarded-for", "10.0.0.1,10.0.0.2,10.0.0.3")]));
    }

    #[test]
    fn websockets_are_asked_for_by_two_headers() {
        let asks = |list: &[_]| {
            let (mut head, ()) = Request::get("/").body(()).unwrap().into_parts();
            head.headers = headers(list);
            asks_for_websocket(&head)
        };
        assert!(asks(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]));
        assert!(!asks(&[("upgrade", "websocket")]));
        assert!(!asks(&[("connection", "upgrade"), ("upgrade", "h2c")]));
    }
}
