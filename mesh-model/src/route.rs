//! Where requests for a host go.

use std::time::Duration;

use crate::ServiceName;

/// The routes of requests for some hosts: Istio's `VirtualService`, checked, with each
/// name fully qualified.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficRoute {
    /// The rule it was made from.
    pub name: ServiceName,
    /// Fully qualified names of services; for gateways any name, `*.` and the end of one, or
    /// `*`.
    pub hosts: Vec<String>,
    /// Whose requests it is for; at least one.
    pub attached: Vec<Attachment>,
    /// The first whose matches accept a request is taken; none: the request has no route.
    pub http: Vec<HttpRoute>,
}

impl TrafficRoute {
    /// Whether it is for requests that are taken there.
    pub fn is_for(&self, place: &Attachment) -> bool {
        self.attached.contains(place)
    }
}

/// Where requests are taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Attachment {
    /// In the sidecars of those who send them.
    Mesh,
    /// In the proxies of this gateway.
    Gateway(ServiceName),
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
    pub path: Option<StringMatch>,
    /// Whether upper and lower case are the same in the path.
    pub ignore_path_case: bool,
    /// The method.
    pub method: Option<StringMatch>,
    /// Headers, by lower-case name.
    pub headers: Vec<HeaderMatch>,
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
    /// One of 301, 302, 303, 307, 308.
    pub code: u16,
}
