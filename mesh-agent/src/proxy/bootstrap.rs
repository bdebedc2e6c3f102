//! The proxy's first file: who it is, and where to ask for the rest. Envoy's bootstrap,
//! in JSON, for mesh-proxy and for a stock Envoy alike.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde_json::{Value, json};

use super::Kind;
use super::node::Node;

const CLUSTER: &str = "xds-grpc";
const SECRETS: &str = "sds-grpc";

/// Where the control plane is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// The text is not `HOST:PORT`.
#[derive(Debug, thiserror::Error)]
#[error("--discovery-address {0:?} is not HOST:PORT, such as mesh-pilot.mesh-system.svc:15012")]
pub struct BadDiscovery(String);

impl FromStr for Discovery {
    type Err = BadDiscovery;

    fn from_str(text: &str) -> Result<Self, BadDiscovery> {
        let bad = || BadDiscovery(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(bad)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let scheme_or_bare_ipv6 = bracketed.is_none() && host.contains([':', '/']);
        if host.is_empty() || scheme_or_bare_ipv6 {
            return Err(bad());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl Discovery {
    /// For a gRPC client, without a scheme of its own for TLS.
    pub(crate) fn uri(&self) -> String {
        let Self { host, port } = self;
        match host.contains(':') {
            true => format!("http://[{host}]:{port}"),
            false => format!("http://{host}:{port}"),
        }
    }
}

/// Where the proxy's own certificate comes from, and whose the control plane's is.
#[derive(Clone, Debug)]
pub struct Security {
    /// The socket on which secrets are served.
    pub secrets: PathBuf,
    /// The DNS name or IP address that the control plane's certificate has.
    pub discovery_san: String,
}

/// The document, for one kind of proxy. Without `security` the control plane is asked
/// without TLS.
pub fn build(
    kind: Kind,
    node: &Node,
    discovery: &Discovery,
    security: Option<&Security>,
    admin_port: u16,
) -> Value {
    let mut clusters = vec![control_plane(kind, discovery, security)];
    clusters.extend(security.map(secrets));
    // Without a limit: the proxy is live only when the control plane has answered, not
    // after Envoy's 15 seconds with nothing.
    let by_ads = json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
    json!({
        "node": node.to_json(),
        "admin": {"address": socket_address("127.0.0.1", admin_port)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": CLUSTER}}],
            },
            "cds_config": by_ads,
            "lds_config": by_ads,
        },
        "static_resources": {"clusters": clusters},
    })
}

fn control_plane(kind: Kind, discovery: &Discovery, security: Option<&Security>) -> Value {
    let is_address = discovery.host.parse::<IpAddr>().is_ok();
    let address = socket_address(&discovery.host, discovery.port);
    let http2 = match kind {
        // Its xDS client does this unasked.
        Kind::Mesh => json!({}),
        // A control plane whose machine died sends no FIN; this finds out.
        Kind::Envoy => json!({"connection_keepalive": {"interval": "30s", "timeout": "10s"}}),
    };
    let mut cluster = json!({
        "name": CLUSTER,
        "type": if is_address { "STATIC" } else { "STRICT_DNS" },
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": over_http2(&http2),
    });
    if let Some(security) = security {
        cluster["transport_socket"] = mutual_tls(&security.discovery_san);
    }
    cluster
}

fn over_http2(options: &Value) -> Value {
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    json!({name: {
        "@type": format!("type.googleapis.com/{name}"),
        "explicit_http_config": {"http2_protocol_options": options},
    }})
}

/// The agent's own socket.
fn secrets(security: &Security) -> Value {
    let address = json!({"pipe": {"path": security.secrets}});
    json!({
        "name": SECRETS,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": SECRETS,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": over_http2(&json!({})),
    })
}

fn mutual_tls(san: &str) -> Value {
    let is_address = san.parse::<IpAddr>().is_ok();
    let mut context = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {
            "alpn_protocols": ["h2"],
            "tls_certificate_sds_secret_configs": [secret("default")],
            "combined_validation_context": {
                "default_validation_context": {
                    "match_typed_subject_alt_names": [{
                        "san_type": if is_address { "IP_ADDRESS" } else { "DNS" },
                        "matcher": {"exact": san},
                    }],
                },
                "validation_context_sds_secret_config": secret("ROOTCA"),
            },
        },
    });
    // A server name is a DNS name (RFC 6066, section 3).
    if !is_address {
        context["sni"] = json!(san);
    }
    json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
}

fn secret(name: &str) -> Value {
    json!({
        "name": name,
        "sds_config": {
            "api_config_source": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": SECRETS}}],
            },
            "resource_api_version": "V3",
            "initial_fetch_timeout": "0s",
        },
    })
}

fn socket_address(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let parse = |text: &str| text.parse::<Discovery>();
        assert_eq!(parse("pilot:15010").unwrap().host, "pilot");
        assert_eq!(parse("[fd00::1]:15010").unwrap().host, "fd00::1");
        for bad in ["pilot", "pilot:", ":15010", "pilot:0", "http://pilot:15010", "fd00::1:15010"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_needs_no_dns() {
        let kind = |text: &str| {
            let cluster = control_plane(Kind::Mesh, &text.parse().unwrap(), None);
            cluster["type"].clone()
        };
        assert_eq!(kind("10.244.0.1:15010"), "STATIC");
        assert_eq!(kind("[fd00::1]:15010"), "STATIC");
        assert_eq!(kind("pilot.mesh-system:15010"), "STRICT_DNS");
        let uri = |text: &str| text.parse::<Discovery>().unwrap().uri();
        assert_eq!(uri("[fd00::1]:15012"), "http://[fd00::1]:15012");
        assert_eq!(uri("pilot:15012"), "http://pilot:15012");
    }
}
