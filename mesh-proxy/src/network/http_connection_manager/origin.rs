//! Where a request comes from: which client, by which way, and whom to believe it (Envoy's
//! `ConnectionManagerUtility::mutateRequestHeaders`).

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Manager;
use crate::router::Downstream;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const EXTERNAL_ADDRESS: HeaderName = HeaderName::from_static("x-envoy-external-address");
const INTERNAL: HeaderName = HeaderName::from_static("x-envoy-internal");

/// What the proxies of the mesh say to each other: nobody else may.
const INTERNAL_ONLY: [&str; 15] = [
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-ip-tags",
    "x-envoy-is-timeout-retry",
    "x-envoy-max-retries",
    "x-envoy-original-url",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
];

/// What an edge takes from nobody.
const EDGE_ONLY: [&str; 3] = [
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
];

/// The client of a request, as far as the proxies before this one are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The client; another one than the connection's has no port.
    pub(super) address: SocketAddr,
    /// It is one of `internal_address_config`, and no proxy was in between.
    pub(super) is_internal: bool,
}

impl Manager {
    /// Finds the client, and leaves of what was said only what can be believed.
    pub(super) fn find_origin(&self, headers: &mut HeaderMap, downstream: &Downstream) -> Origin {
        let config = &self.config;
        let hops = config.xff_trusted_hops;
        let peer = downstream.remote;
        // What an edge finds there was said by who has sent the request to it.
        let forwarded = forwarded_for(
            headers,
            if config.use_remote_address && hops > 0 { hops - 1 } else { hops },
        );
        let is_believed = !config.use_remote_address || hops > 0;
        let address = forwarded
            .address
            .filter(|_| is_believed)
            .map_or(peer, |address| SocketAddr::new(address, 0));
        let is_alone =
            if config.use_remote_address { forwarded.count == 0 } else { forwarded.count == 1 };
        let is_internal = is_alone && config.is_internal(address.ip());
        let origin = Origin { address, is_internal };
        self.say_protocol(headers, downstream);
        // Who comes over a Unix socket has no address.
        let has_address = !peer.ip().is_unspecified();
        if config.use_remote_address && !config.skip_xff_append && has_address {
            append_forwarded_for(headers, peer.ip());
        }
        self.clean(headers, origin);
        origin
    }

    fn clean(&self, headers: &mut HeaderMap, origin: Origin) {
        if origin.is_internal {
            headers.insert(INTERNAL, HeaderValue::from_static("true"));
            return;
        }
        headers.remove(INTERNAL);
        if headers.keys().any(|name| name.as_str().starts_with("x-envoy-")) {
            INTERNAL_ONLY.iter().for_each(|name| _ = headers.remove(*name));
        }
        if self.config.use_remote_address {
            EDGE_ONLY.iter().for_each(|name| _ = headers.remove(*name));
            let ip = origin.address.ip();
            let address = HeaderValue::try_from(ip.to_string()).ok();
            if let Some(address) = address.filter(|_| !ip.is_unspecified()) {
                headers.insert(EXTERNAL_ADDRESS, address);
            }
        }
    }

    /// What this connection is; a client outside does not say it.
    fn say_protocol(&self, headers: &mut HeaderMap, downstream: &Downstream) {
        let config = &self.config;
        let is_edge = config.use_remote_address && config.xff_trusted_hops == 0;
        if let Some(scheme) = &config.scheme {
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
        } else if is_edge || !headers.contains_key(FORWARDED_PROTO) {
            let scheme = if downstream.tls.is_some() { "https" } else { "http" };
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
        }
        if config.append_forwarded_port && (is_edge || !headers.contains_key(FORWARDED_PORT)) {
            headers.insert(FORWARDED_PORT, HeaderValue::from(downstream.local.port()));
        }
    }
}

/// What `x-forwarded-for` says.
struct ForwardedFor {
    /// The address before so many others, from the right.
    address: Option<IpAddr>,
    count: usize,
}

fn forwarded_for(headers: &HeaderMap, skipped: u32) -> ForwardedFor {
    let mut found = ForwardedFor { address: None, count: 0 };
    if !headers.contains_key(FORWARDED_FOR) {
        return found;
    }
    let values: Vec<_> =
        headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let addresses = values.iter().rev().flat_map(|value| value.rsplit(','));
    for address in addresses.map(str::trim) {
        if found.count == skipped as usize {
            found.address = address.parse().ok();
        }
        found.count += 1;
    }
    found
}

fn append_forwarded_for(headers: &mut HeaderMap, address: IpAddr) {
    let Ok(address) = HeaderValue::try_from(address.to_string()) else { return };
    if !headers.contains_key(FORWARDED_FOR) {
        headers.insert(FORWARDED_FOR, address);
        return;
    }
    let before = headers.get_all(FORWARDED_FOR).iter().filter(|before| !before.is_empty());
    let all: Vec<_> = before.chain([&address]).map(HeaderValue::as_bytes).collect();
    if let Ok(all) = HeaderValue::from_bytes(&all.join(&b","[..])) {
        headers.insert(FORWARDED_FOR, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        list.iter().map(pair).collect()
    }

    #[test]
    fn a_client_is_appended_to_all_that_were_before() {
        let mut found =
            headers(&[("x-forwarded-for", "10.0.0.1"), ("x-forwarded-for", "10.0.0.2")]);
        append_forwarded_for(&mut found, [10, 0, 0, 3].into());
        assert_eq!(found, headers(&[("x-forwarded-for", "10.0.0.1,10.0.0.2,10.0.0.3")]));
    }

    #[test]
    fn addresses_are_counted_from_the_right() {
        let found =
            headers(&[("x-forwarded-for", "1.1.1.1, 2.2.2.2"), ("x-forwarded-for", "bad,::3")]);
        let at = |skipped| {
            let found = forwarded_for(&found, skipped);
            assert_eq!(found.count, 4);
            found.address.map(|address| address.to_string())
        };
        assert_eq!(at(0).as_deref(), Some("::3"));
        assert_eq!(at(1), None, "what is no address");
        assert_eq!(at(3).as_deref(), Some("1.1.1.1"));
        assert_eq!(at(4), None);
        assert_eq!(forwarded_for(&HeaderMap::new(), 0).count, 0);
    }
}
