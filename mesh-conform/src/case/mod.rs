//! What a case is, as an engineer writes it: `cases/AREA.yaml` is an [`Area`].
//!
//! ```yaml
//! about: Prefix rewrites
//! cases:
//!   - name: prefix_rewrite keeps the query
//!     routes:
//!       - match: {prefix: /old}
//!         route: {cluster: a, prefix_rewrite: /new}
//!     requests:
//!       - get: /old/x?y=1
//!       - request: POST /oldest
//!         headers: {x-a: [one, two]}
//!         body: hello
//!         upstream: [503, {status: 200, headers: {x-b: c}, body: well}]
//! ```
//!
//! A case has a listener of its own, and Envoy and mesh-proxy get the same file with all
//! cases of the area. Everything but the shorthands is Envoy's configuration, verbatim. A
//! text `$NAME` in it becomes the socket address of the upstream `NAME`, which the harness
//! starts because it is named; `$refused` is an address where nobody listens. A text
//! `@NAME.pem` or `@NAME.key` becomes a data source of a certificate or key (see `tls.rs`).
//! An upstream speaks HTTP/1, HTTP/2 and TLS, as it is spoken to.
//!
//! What is compared of a case: the responses and what became of the connection, what each
//! upstream got, the access log (status, flags, details, cluster, host, route, bytes) and how
//! far the statistics of the listener and the clusters went up. `mesh-conform --only
//! AREA/NAME --show` prints it.

mod answer;

use std::collections::BTreeMap;

pub(crate) use answer::{Answer, Answers, Headers, OneOrMore, Then};
use serde::Deserialize;
use serde_json::{Map, Value};

/// One file of cases that share a pair of proxies.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Area {
    /// What it is about, for the reader.
    #[serde(rename = "about")]
    _about: String,
    /// More clusters, as in [`Case::clusters`], for all of its cases.
    #[serde(default)]
    pub(crate) clusters: Map<String, Value>,
    /// Fields of Envoy's `Bootstrap`.
    #[serde(default)]
    pub(crate) bootstrap: Map<String, Value>,
    pub(crate) cases: Vec<Case>,
}

/// One listener, and what is asked of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// What it shows, in a few words; its own in the area.
    pub(crate) name: String,
    /// Envoy's `Route`s, in a virtual host for every domain.
    #[serde(default)]
    pub(crate) routes: Vec<Value>,
    /// Envoy's `VirtualHost`s, instead.
    #[serde(default)]
    pub(crate) virtual_hosts: Vec<Value>,
    /// Fields of Envoy's `RouteConfiguration`.
    #[serde(default)]
    pub(crate) route_config: Map<String, Value>,
    /// HTTP filters before the router.
    #[serde(default)]
    pub(crate) http_filters: Vec<Value>,
    /// Fields of Envoy's `HttpConnectionManager`.
    #[serde(default)]
    pub(crate) manager: Map<String, Value>,
    /// More fields of the access log, by their names: texts with command operators, or more
    /// of `json_format`.
    #[serde(default)]
    pub(crate) log: Map<String, Value>,
    /// Envoy's `AccessLogFilter`; with it, say how many lines are logged.
    pub(crate) log_filter: Option<Value>,
    pub(crate) log_lines: Option<u64>,
    /// Fields of Envoy's `TcpProxy`, instead of HTTP.
    pub(crate) tcp: Option<Map<String, Value>>,
    /// Fields of the one `FilterChain`.
    #[serde(default)]
    pub(crate) filter_chain: Map<String, Value>,
    /// Fields of Envoy's `DownstreamTlsContext`: the listener speaks TLS.
    pub(crate) tls: Option<Map<String, Value>>,
    /// Fields of the `Listener`.
    #[serde(default)]
    pub(crate) listener: Map<String, Value>,
    /// Clusters by name, which must be this case's own in its area: fields of Envoy's
    /// `Cluster`, and shorthands: `hosts`, a list of upstreams by name, or of `LbEndpoint`s
    /// with `at: NAME`; `http2: true`; and `tls`, fields of an `UpstreamTlsContext`. There are
    /// already `a`, `b` and `c`, each of one host (`a1`, `b1`, `c1`), `http2` (`h1`), and
    /// `refused`.
    #[serde(default)]
    pub(crate) clusters: Map<String, Value>,
    /// What an upstream answers in this case, by its name, whoever asks.
    #[serde(default)]
    pub(crate) answers: BTreeMap<String, Answers>,
    /// How the upstreams chosen are compared.
    #[serde(default)]
    pub(crate) hosts: Hosts,
    /// All requests on one connection.
    #[serde(default)]
    pub(crate) keep_alive: bool,
    /// Both refuse this configuration; nothing is asked.
    #[serde(default)]
    pub(crate) refused: bool,
    /// What Envoy itself does not do twice alike: patterns of paths, such as
    /// `upstream[*].headers.x-envoy-expected-rq-timeout-ms`.
    #[serde(default)]
    pub(crate) undetermined: Vec<String>,
    /// Statistics to compare beside those in `graphed.rs`, by their full names, such as
    /// `cluster.NAME.upstream_cx_total` of a cluster of its own.
    #[serde(default)]
    pub(crate) stats: Vec<String>,
    #[serde(default)]
    pub(crate) requests: Vec<Request>,
}

/// How the upstreams that were chosen are compared.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Hosts {
    /// By name.
    #[default]
    Exact,
    /// As first, second, … of the case: for balancers that begin anywhere.
    Order,
    /// How often each was chosen, in any order.
    Counts,
    /// Not at all.
    Any,
}

/// What one client does, on a connection of its own unless the case says otherwise.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Request {
    /// The path of a GET.
    pub(crate) get: Option<String>,
    /// Method and path, instead.
    pub(crate) request: Option<String>,
    /// The `host` header; empty for none.
    pub(crate) host: Option<String>,
    pub(crate) headers: Headers,
    /// With its length as `content-length`, unless the headers have one.
    pub(crate) body: String,
    /// How many bytes come behind it.
    pub(crate) padding: usize,
    /// The body in one chunk.
    pub(crate) chunked: bool,
    /// After a chunked body.
    pub(crate) trailers: Headers,
    /// By HTTP/2: over TLS when it is asked for there, else with prior knowledge.
    pub(crate) http2: bool,
    /// By TLS.
    pub(crate) tls: Option<Tls>,
    /// Bytes before anything else, even before TLS; as in `raw`.
    pub(crate) preface: String,
    /// The bytes that are sent, instead of all this: every character is the byte of its
    /// number, up to `\xff`.
    pub(crate) raw: Option<Raw>,
    /// How many final responses come; to HEAD, say so in `request`, as they have no body.
    pub(crate) responses: Option<usize>,
    /// What the upstreams answer to this request and its repetitions, in turn; the last
    /// answer goes on.
    pub(crate) upstream: Answers,
    /// What is asked while an upstream has this request and does not answer it.
    pub(crate) meanwhile: Vec<Request>,
    /// It is asked once this statistic is not 0, such as
    /// `cluster.NAME.outlier_detection.ejections_active`.
    pub(crate) when: Option<String>,
    /// How often it is asked, one after the other.
    pub(crate) repeat: Option<usize>,
}

/// A client's TLS. It takes every certificate, and tells whose it was.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    /// None unless given.
    pub(crate) sni: Option<String>,
    /// None unless given; `h2` for an HTTP/2 request.
    pub(crate) alpn: Vec<String>,
    /// The name of the certificate that it shows when it is asked.
    pub(crate) certificate: Option<String>,
    /// "1.2" or "1.3" alone.
    pub(crate) version: Option<String>,
}

/// Bytes, or steps.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Raw {
    Bytes(String),
    Steps(Vec<Step>),
}

/// One step of a client that sends bytes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Step {
    Send(String),
    /// `await: response`: until a head has come, an interim one too.
    Await(Await),
    /// `end: write` sends no more; `end: reset` resets the connection.
    End(End),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Await {
    #[serde(rename = "await")]
    pub(crate) what: Awaited,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Awaited {
    /// A response's head.
    Response,
    /// That an upstream has the request.
    Upstream,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    pub(crate) end: EndKind,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EndKind {
    Write,
    Close,
    Reset,
}

impl Request {
    /// Method and path.
    pub(crate) fn line(&self) -> (&str, &str) {
        match (&self.request, &self.get) {
            (Some(line), _) => line.split_once(' ').unwrap_or((line, "/")),
            (None, Some(path)) => ("GET", path),
            (None, None) => ("GET", "/"),
        }
    }

    /// The body with its padding.
    pub(crate) fn whole_body(&self) -> String {
        padded(&self.body, self.padding)
    }
}

/// A body, and so many bytes behind it.
fn padded(body: &str, padding: usize) -> String {
    format!("{body}{}", "x".repeat(padding))
}
