//! Where requests for a host go.

use std::time::Duration;

use crate::{Gateway, GatewayApi, GatewayServer, ServiceName};

/// The routes of requests for some hosts: Istio's `VirtualService` or a part of the Gateway
/// API's `HTTPRoute`, checked, with each name fully qualified.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficRoute {
    /// The rule it was made from.
    pub name: ServiceName,
    /// Fully qualified names of services; for gateways any name, `*.` and the end of one, or
    /// `*`.
    pub hosts: Vec<String>,
    /// In sidecars: the only namespace whose clients it is for.
    pub clients: Option<String>,
    /// Whose requests it is for; at least one.
    pub attached: Vec<Attachment>,
    /// In which order the routes are tried.
    pub order: Order,
    /// The first whose matches accept a request is taken; none: the request has no route.
    pub http: Vec<HttpRoute>,
}

impl TrafficRoute {
    /// Whether it is for requests that are taken there.
    pub fn is_for(&self, place: &Attachment) -> bool {
        self.attached.contains(place)
    }
}

/// In which order routes are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// As they are written (Istio).
    AsWritten,
    /// By how much their matches say of a request, across all rules for a host, and where that
    /// is the same, the older rule's first (Gateway API).
    MostSpecific {
        /// When the rule was made, in RFC 3339 and UTC; `None`: not known, and as if just now.
        created: Option<String>,
    },
}

/// Where requests are taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Attachment {
    /// In the sidecars of those who send them.
    Mesh,
    /// In the proxies of this gateway of Istio's.
    Gateway(ServiceName),
    /// In the proxies of this gateway of the Gateway API's.
    Listeners {
        /// The gateway.
        gateway: ServiceName,
        /// The only listener, by name; `None`: all.
        section: Option<String>,
        /// The only listener, by port; `None`: all.
        port: Option<u16>,
    },
}

impl Attachment {
    /// The gateway that takes the requests.
    pub fn gateway(&self) -> Option<(GatewayApi, &ServiceName)> {
        match self {
            Self::Mesh => None,
            Self::Gateway(name) => Some((GatewayApi::Istio, name)),
            Self::Listeners { gateway, .. } => Some((GatewayApi::Kubernetes, gateway)),
        }
    }

    /// Whether it is this server of a gateway.
    pub fn is_at(&self, gateway: &Gateway, server: &GatewayServer) -> bool {
        let this = self.gateway() == Some((gateway.api, &gateway.name));
        this && match self {
            Self::Listeners { section, port, .. } => {
                section.as_ref().is_none_or(|section| *section == server.name)
                    && port.is_none_or(|port| port == server.port)
            }
            Self::Mesh | Self::Gateway(_) => true,
        }
    }
}

/// One route.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpRoute {
    /// For people; empty when it has none.
    pub name: String,
    /// Any of them is enough; empty: every request.
    pub matches: Vec<HttpMatch>,
    /// What becomes of the request.
    pub action: Action,
    /// Changes to the headers of the request.
    pub request_headers: HeaderChanges,
    /// Changes to the headers of the response.
    pub response_headers: HeaderChanges,
}

/// Changes to headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// Names and values that take the place of what there is.
    pub set: Vec<(String, String)>,
    /// Names and values that come to what there is.
    pub add: Vec<(String, String)>,
    /// Names.
    pub remove: Vec<String>,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// It is sent to one of the destinations.
    Forward {
        /// At least one; the weights add up to more than 0.
        destinations: Vec<Destination>,
        /// For the whole request, retries included; `None`: no limit.
        timeout: Option<Duration>,
        /// `None`: the mesh's default.
        retries: Option<Retries>,
        /// Changes made to the request on its way.
        rewrite: Rewrite,
    },
    /// It is answered with a redirection.
    Redirect(Redirect),
}

/// A part of the requests of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The fully qualified name of a service.
    pub host: String,
    /// A subset of it; `None`: all its endpoints.
    pub subset: Option<String>,
    /// The service's port; `None`: the port that the client called.
    pub port: Option<u16>,
    /// Its share, relative to those of the other destinations.
    pub weight: u32,
}

/// What a request must have. Everything that is said must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpMatch {
    /// The path without the query.
    pub path: Option<PathMatch>,
    /// Whether upper and lower case are the same in the path.
    pub ignore_path_case: bool,
    /// The method.
    pub method: Option<StringMatch>,
    /// Headers, by lower-case name.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters, by name.
    pub query: Vec<QueryMatch>,
    /// The service port that the client called.
    pub port: Option<u16>,
    /// Where the request was taken; empty: wherever the rule is for.
    pub attached: Vec<Attachment>,
}

impl HttpMatch {
    /// Whether it is for requests that are taken there.
    pub fn is_for(&self, place: &Attachment) -> bool {
        self.attached.is_empty() || self.attached.contains(place)
    }
}

/// A condition on a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// It is this.
    Exact(String),
    /// It begins with this.
    Prefix(String),
    /// It is this, or begins with this and a `/`. Does not end with one.
    Segments(String),
    /// The whole of it matches this regular expression, one of RE2's.
    Regex(String),
}

/// A condition on one header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    /// In lower case.
    pub name: String,
    /// What it must be.
    pub value: ValueMatch,
    /// The condition must not hold.
    pub invert: bool,
}

/// A condition on one query parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryMatch {
    /// As it stands in the path.
    pub name: String,
    /// What it must be.
    pub value: ValueMatch,
}

/// A condition on a value that may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueMatch {
    /// It is there, whatever it is.
    Present,
    /// It is there and accepted.
    Is(StringMatch),
}

/// A condition on a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StringMatch {
    /// It is this.
    Exact(String),
    /// It begins with this.
    Prefix(String),
    /// The whole of it matches this regular expression, one of RE2's.
    Regex(String),
}

/// When and how often a request is sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// At most so many after the first attempt; 0: never.
    pub attempts: u32,
    /// For each attempt; `None`: what is left of the route's timeout.
    pub per_try_timeout: Option<Duration>,
    /// Envoy's conditions; empty, with no codes: those of the mesh's default.
    pub conditions: Vec<String>,
    /// Response codes on which to try again.
    pub status_codes: Vec<u16>,
}

impl Retries {
    /// The mesh's default, with a limit for each attempt.
    pub fn with_timeout(limit: Duration) -> Self {
        Self {
            attempts: Self::DEFAULT_ATTEMPTS,
            per_try_timeout: Some(limit),
            conditions: Vec::new(),
            status_codes: Vec::new(),
        }
    }

    /// Istio's default.
    pub const DEFAULT_ATTEMPTS: u32 = 2;
}

/// Changes to a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Takes the place of the matched prefix, or of the whole path for an exact match.
    pub path: Option<String>,
    /// The new `Host`.
    pub authority: Option<String>,
}

/// A redirection. What is not given stays as in the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The new path.
    pub path: Option<String>,
    /// The new host.
    pub authority: Option<String>,
    /// The new scheme, `http` or `https`.
    pub scheme: Option<String>,
    /// The new port; `None`: as it was, or that of a new scheme.
    pub port: Option<u16>,
    /// One of 301, 302, 303, 307, 308.
    pub code: u16,
}
