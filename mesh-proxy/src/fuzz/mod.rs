//! The parsers that face the network or a file, as the fuzz targets in `fuzz/` call them: none
//! may panic, or use more than its input warrants.

mod proxy;

use std::time::SystemTime;

use http::{HeaderMap, Request};

use mesh_proto::envoy::config::bootstrap::v3::Bootstrap;
use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use mesh_proto::envoy::config::listener::v3::Listener;
use mesh_proto::envoy::config::route::v3::RouteConfiguration;
use mesh_proto::text;
use prost::Message as _;

use crate::config::{Path, wire};
use crate::formatter::{self, Flags, Record};
use crate::listener;
pub use proxy::{downstream, upstream};

/// The first bytes of a connection, as the listener filter `proxy_protocol` reads them.
pub fn proxy_protocol(bytes: &[u8]) {
    listener::fuzz_proxy_protocol(bytes);
}

/// The first bytes of a connection, as the inspectors look at them.
pub fn inspectors(bytes: &[u8]) {
    listener::fuzz_inspectors(bytes);
    crate::codec::fuzz_preface(bytes);
}

/// What comes over a connection of HTTP/1.
pub fn http1(bytes: &[u8]) {
    crate::codec::fuzz_http1(bytes);
}

/// What a DNS server answers; `/etc/resolv.conf` and `/etc/hosts`.
pub fn dns(bytes: &[u8]) {
    crate::dns::fuzz(bytes);
}

/// What comes over the channel of a hot restart.
pub fn hot_restart(bytes: &[u8]) {
    crate::hot_restart::fuzz(bytes);
}

/// A format of access logs and headers, and on the lines behind it a target, and headers.
pub fn format(text: &str) {
    let mut lines = text.lines();
    let Ok(format) = wire::format(&Path::default(), lines.next().unwrap_or_default()) else {
        return;
    };
    let Ok(mut request) = Request::get(lines.next().unwrap_or("/")).body(()) else { return };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            headers.append(name, value);
        }
    }
    *request.headers_mut() = headers.clone();
    let head = request.into_parts().0;
    let address = ([127, 0, 0, 1], 80).into();
    let record = Record {
        request: Some(formatter::Request { head: &head, is_over_tls: false }),
        response_headers: Some(&headers),
        response_trailers: Some(&headers),
        response_code: 200,
        flags: Flags::UPSTREAM_RETRY_LIMIT,
        ..Record::new(SystemTime::now(), address, address)
    };
    formatter::text(&format, &record, "-", &mut Vec::new());
}

/// A bootstrap file.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(message) = text::from_yaml::<Bootstrap>(text) {
        let _ = wire::bootstrap(message);
    }
}

/// A resource as it comes over xDS: the first byte says its kind.
pub fn resources(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let path = Path::default();
    match kind % 4 {
        0 => {
            let _ = Cluster::decode(bytes).map(|cluster| wire::cluster(cluster, &path));
        }
        1 => {
            let _ = Listener::decode(bytes).map(|found| wire::listener(found, &path, &|_| true));
        }
        2 => {
            let table = RouteConfiguration::decode(bytes);
            let _ = table.map(|table| wire::route_table(table, &path, &|_| true));
        }
        _ => {
            let assignment = ClusterLoadAssignment::decode(bytes);
            let _ = assignment.map(|assignment| wire::load_assignment(assignment, &path));
        }
    }
}
