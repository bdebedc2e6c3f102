//! Where the mesh lets requests in.

use std::net::IpAddr;

use crate::workload::has_labels;
use crate::{Labels, ServiceName};

/// Whose words a gateway is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayApi {
    /// Istio's: its pods are wherever they are, and made by somebody else.
    Istio,
    /// The Gateway API's: the mesh makes its pods, beside it.
    Kubernetes,
}

/// Where proxies at the edge of the mesh listen: a `Gateway`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The rule it was made from.
    pub name: ServiceName,
    /// The words it was written in.
    pub api: GatewayApi,
    /// The labels of the pods whose proxies it is for; none: all of them.
    pub selector: Labels,
    /// What they listen for.
    pub servers: Vec<GatewayServer>,
}

impl Gateway {
    /// Whether a pod of `namespace` with these labels is one of its own.
    pub fn is_of(&self, namespace: &str, labels: &Labels) -> bool {
        let here = self.api == GatewayApi::Istio || self.name.namespace == namespace;
        here && has_labels(labels, &self.selector)
    }
}

/// One port of a gateway, and whom requests may be for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayServer {
    /// The port's name, for people.
    pub name: String,
    /// The port of the service before the gateway's pods.
    pub port: u16,
    /// The pods' address to listen on; `None`: every one.
    pub bind: Option<IpAddr>,
    /// At least one.
    pub hosts: Vec<GatewayHost>,
    /// What HTTP comes in.
    pub transport: ServerTransport,
}

impl GatewayServer {
    /// Whether it takes requests of a route of `namespace` for `hosts`.
    pub fn admits(&self, namespace: &str, hosts: &[String]) -> bool {
        hosts.iter().any(|host| self.hosts.iter().any(|own| own.admits(namespace, host).is_some()))
    }
}

/// What the HTTP of a gateway's server comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerTransport {
    /// Nothing.
    Plain,
    /// Nothing, and clients are told to come by TLS.
    RedirectToTls,
    /// TLS.
    Tls(ServerTls),
}

/// The TLS of a server. Files are those of the gateway's pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// Certificate chain and key.
    pub certificate: (String, String),
    /// The roots that clients' certificates must lead to; `None`: clients need none.
    pub client_roots: Option<String>,
}

/// A name under which a server takes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayHost {
    /// Whose routes it is for; `None`: those of any namespace.
    pub namespace: Option<String>,
    /// A name, `*.` and the end of one, or `*`.
    pub name: String,
}

impl GatewayHost {
    /// The requests among those for `host`, of a route of `namespace`, that the server takes.
    pub fn admits<'a>(&'a self, namespace: &str, host: &'a str) -> Option<&'a str> {
        let open = self.namespace.as_ref().is_none_or(|own| own == namespace);
        open.then(|| common(&self.name, host)).flatten()
    }
}

/// The narrower of two names, when one of them stands for all that the other stands for.
fn common<'a>(a: &'a str, b: &'a str) -> Option<&'a str> {
    if covers(a, b) {
        Some(b)
    } else if covers(b, a) {
        Some(a)
    } else {
        None
    }
}

fn covers(wide: &str, narrow: &str) -> bool {
    wide == narrow || wide.strip_prefix('*').is_some_and(|end| narrow.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrower_name_counts() {
        let admits = |namespace: Option<&str>, name: &str, host: &str| {
            let namespace = namespace.map(str::to_owned);
            let server = GatewayHost { namespace, name: name.to_owned() };
            server.admits("shop", host).map(str::to_owned)
        };
        for (name, host, expected) in [
            ("*", "*", Some("*")),
            ("*", "a.com", Some("a.com")),
            ("a.com", "*", Some("a.com")),
            ("*.a.com", "x.a.com", Some("x.a.com")),
            ("*.a.com", "*.x.a.com", Some("*.x.a.com")),
            ("x.a.com", "*.a.com", Some("x.a.com")),
            ("*.a.com", "a.com", None),
            ("*.a.com", "xa.com", None),
            ("a.com", "b.com", None),
        ] {
            assert_eq!(admits(None, name, host).as_deref(), expected, "{name} {host}");
        }
        assert_eq!(admits(Some("shop"), "*", "a.com").as_deref(), Some("a.com"));
        assert_eq!(admits(Some("bank"), "*", "a.com"), None);
    }
}
