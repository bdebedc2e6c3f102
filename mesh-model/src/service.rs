//! Services and the endpoints behind them.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{Locality, ServiceName, Workload};

/// A service of the mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name and namespace.
    pub name: ServiceName,
    /// The fully qualified name, `reviews.default.svc.cluster.local`.
    pub hostname: String,
    /// Other names by which clients may call it, in a fixed order.
    pub aliases: Vec<Alias>,
    /// The virtual addresses: at most one of each family, the family that it prefers first.
    pub addresses: Vec<IpAddr>,
    /// Whether its name stands for its pods' addresses, so that clients choose among them.
    pub headless: bool,
    /// In the order in which they are declared.
    pub ports: Vec<ServicePort>,
    /// One for each service port and address, ordered by both.
    pub endpoints: Vec<Endpoint>,
}

impl Service {
    /// The port with this number.
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.number == number)
    }

    /// The endpoints that serve a service port.
    pub fn endpoints_of(&self, port: u16) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(move |endpoint| endpoint.service_port == port)
    }

    /// The values of its pods' label `version`, sorted: what a route may name. Pods that
    /// are not ready count.
    pub fn versions(&self) -> Vec<String> {
        let versions: BTreeSet<_> = self.endpoints.iter().filter_map(Endpoint::version).collect();
        versions.into_iter().map(str::to_owned).collect()
    }
}

/// Another name for a service, at all of its ports. Rules are for the service, not for it: what
/// Istio makes of a Service of type `ExternalName` (`ENABLE_EXTERNAL_NAME_ALIAS`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alias {
    /// Its own name and namespace.
    pub name: ServiceName,
    /// The fully qualified one.
    pub hostname: String,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Empty when the only port has no name.
    pub name: String,
    /// The number under which clients reach it.
    pub number: u16,
    /// The port of the pods.
    pub target: TargetPort,
    /// What is spoken there.
    pub protocol: Protocol,
}

/// The port of a pod that a service port leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPort {
    /// The same in each pod.
    Number(u16),
    /// The container port of this name, which may differ from pod to pod.
    Name(String),
}

/// What is spoken on a service port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 without TLS, by prior knowledge.
    Http2,
    /// gRPC, which is HTTP/2.
    Grpc,
    /// Anything else over TCP, TLS included.
    Tcp,
}

impl Protocol {
    /// Istio's rule for a TCP port of a service: `appProtocol`, or when it is not given the
    /// port's name, up to the first `-`. What that does not know is TCP; we do not sniff (yet).
    pub fn of_port(app_protocol: Option<&str>, name: &str) -> Self {
        let text = app_protocol.unwrap_or(name);
        Self::named(text.split('-').next().unwrap_or(text)).unwrap_or(Self::Tcp)
    }

    fn named(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "http" | "kubernetes.io/ws" => Self::Http,
            "http2" | "kubernetes.io/h2c" => Self::Http2,
            "grpc" => Self::Grpc,
            "tcp" | "tls" | "https" | "kubernetes.io/wss" | "mongo" | "mysql" | "redis" => {
                Self::Tcp
            }
            _ => return None,
        })
    }

    /// Whether requests can be routed one by one.
    pub fn is_http(self) -> bool {
        self != Self::Tcp
    }

    /// Whether it is HTTP/2 from the first byte.
    pub fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
            Self::Tcp => "tcp",
        })
    }
}

/// An address behind one port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The number of the service port that it serves.
    pub service_port: u16,
    /// Where it is: of a pod with several addresses, that of the family that the service prefers.
    pub address: IpAddr,
    /// The port there.
    pub port: u16,
    /// Whether it takes new requests.
    pub ready: bool,
    /// The pod; `None` for an address that is given without one.
    pub workload: Option<Arc<Workload>>,
    /// Where its machine stands; `None` when that is not known.
    pub locality: Option<Arc<Locality>>,
}

impl Endpoint {
    /// Where it is, and its pod's other addresses, under which it serves, too.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let others = self.workload.iter().flat_map(|workload| workload.addresses());
        std::iter::once(self.address).chain(others.filter(|other| *other != self.address))
    }

    /// Whether this is one of its addresses.
    pub fn is_at(&self, address: IpAddr) -> bool {
        self.addresses().any(|own| own == address)
    }

    /// A label of its pod.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.workload.as_ref()?.labels.get(key).map(String::as_str)
    }

    /// Its pod's label `version`.
    pub fn version(&self) -> Option<&str> {
        self.label("version")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_is_said_by_app_protocol_or_else_by_the_name() {
        for (app_protocol, name, expected) in [
            (None, "http", Protocol::Http),
            (None, "http-web", Protocol::Http),
            (None, "http2-x", Protocol::Http2),
            (None, "grpc-api", Protocol::Grpc),
            (None, "tcp-redis", Protocol::Tcp),
            (None, "httpx", Protocol::Tcp),
            (None, "", Protocol::Tcp),
            (Some("kubernetes.io/h2c"), "http", Protocol::Http2),
            (Some("HTTP"), "tcp", Protocol::Http),
            (Some("http-web"), "tcp", Protocol::Http),
            (Some("grpc-web"), "tcp", Protocol::Grpc),
            (Some("something.else/x"), "grpc", Protocol::Tcp),
        ] {
            assert_eq!(Protocol::of_port(app_protocol, name), expected, "{app_protocol:?} {name}");
        }
    }
}
