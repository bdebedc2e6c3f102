//! Route tables.

use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderName, HeaderValue, StatusCode};

use super::{
    FilterOverrides, Fraction, HashPolicy, HeaderChanges, HeaderMatch, Labels, Name, Regex,
    RetryPolicy, RoutingPriority, StringMatch, Substitution, Upgrades,
};

/// Envoy's `RouteConfiguration`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RouteTable {
    pub(crate) name: Name,
    pub(crate) virtual_hosts: Vec<Arc<VirtualHost>>,
    pub(crate) request_headers: Arc<HeaderChanges>,
    pub(crate) response_headers: Arc<HeaderChanges>,
    pub(crate) filters: FilterOverrides,
    /// `most_specific_header_mutations_wins`: the table's changes of headers go first and the
    /// route's last; else the other way round.
    pub(crate) most_specific_wins: bool,
    /// `ignore_port_in_host_matching`.
    pub(crate) ignore_port: bool,
    /// `ignore_path_parameters_in_path_matching`: the path ends at its first semicolon.
    pub(crate) ignore_path_parameters: bool,
}

/// Envoy's `VirtualHost`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VirtualHost {
    pub(crate) name: Name,
    /// Lower case: exact, `*.suffix`, `prefix.*`, or `*`. No two of a table are the same.
    pub(crate) domains: Vec<Name>,
    /// The first that matches wins.
    pub(crate) routes: Vec<Arc<Route>>,
    pub(crate) request_headers: Arc<HeaderChanges>,
    pub(crate) response_headers: Arc<HeaderChanges>,
    pub(crate) filters: FilterOverrides,
    pub(crate) attempts: AttemptHeaders,
    pub(crate) require_tls: RequireTls,
}

/// `require_tls`: whose requests are redirected when they did not come by TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RequireTls {
    #[default]
    Nobody,
    /// Who is not inside, as `x-envoy-internal` says it.
    External,
    Everybody,
}

/// Who is told how often a request was tried, in `x-envoy-attempt-count`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AttemptHeaders {
    /// `include_request_attempt_count`: the upstream.
    pub(crate) in_request: bool,
    /// `include_attempt_count_in_response`: the client.
    pub(crate) in_response: bool,
    /// `include_is_timeout_retry_header`: the upstream also, in `x-envoy-is-timeout-retry`,
    /// whether a retry is made because the try before it took too long.
    pub(crate) is_timeout: bool,
}

/// Envoy's `Route`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Route {
    /// Empty when none was given.
    pub(crate) name: Name,
    pub(crate) matcher: RouteMatch,
    pub(crate) action: Action,
    pub(crate) request_headers: Arc<HeaderChanges>,
    pub(crate) response_headers: Arc<HeaderChanges>,
    pub(crate) filters: FilterOverrides,
}

/// Envoy's `RouteMatch`. All of it must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteMatch {
    pub(crate) path: PathMatch,
    /// `case_sensitive`, true by default.
    pub(crate) case_sensitive: bool,
    pub(crate) headers: Vec<HeaderMatch>,
    /// `query_parameters`.
    pub(crate) query: Vec<QueryMatch>,
    /// `runtime_fraction`: the share of the requests that may match.
    pub(crate) fraction: Option<Fraction>,
    /// Only gRPC requests.
    pub(crate) grpc: bool,
}

/// Every request.
impl Default for RouteMatch {
    fn default() -> Self {
        Self {
            path: PathMatch::Prefix(String::new()),
            case_sensitive: true,
            headers: Vec::new(),
            query: Vec::new(),
            fraction: None,
            grpc: false,
        }
    }
}

/// Matched against the path without its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathMatch {
    /// `connect_matcher`: CONNECT, which nothing else matches.
    Connect,
    Prefix(String),
    Exact(String),
    /// `path_separated_prefix`: the prefix itself, or it followed by a slash.
    SeparatedPrefix(String),
    /// `safe_regex`, for which `case_sensitive` means nothing.
    Regex(Regex),
}

/// Envoy's `QueryParameterMatcher`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueryMatch {
    pub(crate) name: String,
    pub(crate) value: QueryValueMatch,
}

/// What a query parameter must look like, as it stands in the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum QueryValueMatch {
    /// `present_match`: true for there, false for absent.
    Present(bool),
    String(StringMatch),
}

/// What is done with a request that matched.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Forward(Box<Forward>),
    Redirect(Redirect),
    /// `direct_response`: status and body.
    Direct(StatusCode, bytes::Bytes),
}

/// Envoy's `RouteAction`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Forward {
    pub(crate) target: Target<Destination>,
    /// `header_name` of weighted clusters: the request's number in it chooses, if there is one.
    pub(crate) chosen_by: Option<HeaderName>,
    /// `cluster_not_found_response_code`.
    pub(crate) not_found: StatusCode,
    /// `timeout`: until the whole response is there. Envoy's default is 15 s; `None` for 0 and
    /// where there is a `max_stream_duration`.
    pub(crate) timeout: Option<Duration>,
    /// `max_stream_duration`.
    pub(crate) stream_duration: Option<StreamDuration>,
    /// `max_grpc_timeout`: what takes the place of `timeout` for gRPC.
    pub(crate) grpc_timeout: Option<GrpcTimeout>,
    /// `idle_timeout` of the stream; takes the place of the connection manager's.
    pub(crate) idle_timeout: Option<Option<Duration>>,
    pub(crate) retry: Option<RetryPolicy>,
    /// `request_body_buffer_limit`, or `per_request_buffer_limit_bytes`: how many bytes of a
    /// request are kept for another try. `None`: as many as its connection's limit says.
    pub(crate) body_limit: Option<u64>,
    /// `hash_policy`.
    pub(crate) hash: Vec<HashPolicy>,
    /// `priority`: which of the cluster's circuit breakers count.
    pub(crate) priority: RoutingPriority,
    /// `request_mirror_policies`.
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) path_rewrite: Option<Rewrite>,
    pub(crate) host_rewrite: Option<HostRewrite>,
    /// `append_x_forwarded_host`: a host that is rewritten is told in `x-forwarded-host`.
    pub(crate) append_forwarded_host: bool,
    /// `upgrade_configs` of the route, over the connection manager's.
    pub(crate) upgrades: Upgrades,
}

/// Envoy's `MaxStreamDuration`: from a request's beginning to the end of its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamDuration {
    /// `max_stream_duration`; `None` or 0 for no limit.
    pub(crate) max: Option<Duration>,
    /// `grpc_timeout_header_max`: a request's `grpc-timeout` counts instead.
    pub(crate) grpc: Option<GrpcTimeout>,
}

/// How a request's `grpc-timeout` is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrpcTimeout {
    /// The most; `None` for any.
    pub(crate) max: Option<Duration>,
    /// How much less than the client waits.
    pub(crate) offset: Duration,
}

/// One of the clusters that a request can go to, and what that changes of the request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Destination {
    pub(crate) cluster: ClusterName,
    /// `metadata_match` under `envoy.lb`: what is asked of the endpoint.
    pub(crate) subset: Labels,
    /// `host_rewrite_literal` of a weighted cluster.
    pub(crate) host_rewrite: Option<HeaderValue>,
    /// A weighted cluster's own, before the route's.
    pub(crate) request_headers: Arc<HeaderChanges>,
    pub(crate) response_headers: Arc<HeaderChanges>,
    pub(crate) filters: FilterOverrides,
}

impl Destination {
    /// A cluster, and nothing is changed.
    pub(crate) fn to(cluster: ClusterName) -> Self {
        Self {
            cluster,
            subset: Labels::new(),
            host_rewrite: None,
            request_headers: Arc::default(),
            response_headers: Arc::default(),
            filters: Vec::new(),
        }
    }
}

/// Envoy's `RequestMirrorPolicy`: a copy of a request, whose answer nobody sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mirror {
    pub(crate) cluster: ClusterName,
    /// `runtime_fraction`: the share of the requests that is copied; all by default.
    pub(crate) fraction: Option<Fraction>,
    pub(crate) host: MirrorHost,
}

/// What Host is in the copy of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MirrorHost {
    /// The request's, with `-shadow` behind its name.
    Suffixed,
    /// `disable_shadow_host_suffix_append`: the request's.
    Same,
    /// `host_rewrite_literal`.
    Literal(HeaderValue),
}

/// Which cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClusterName {
    Fixed(Name),
    /// `cluster_header`: the request says it, in the first header of this name.
    Header(HeaderName),
}

/// Where a request or a connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target<C = Name> {
    Cluster(C),
    /// At least one has a weight.
    Weighted {
        clusters: Vec<WeightedCluster<C>>,
        total: u32,
    },
}

impl<C> Target<C> {
    /// The cluster; of several, the one that a number taken by chance falls to, by weight.
    pub(crate) fn choose(&self, random: u64) -> Option<&C> {
        match self {
            Self::Cluster(cluster) => Some(cluster),
            Self::Weighted { clusters, total } => {
                let mut at = random.checked_rem((*total).into())?;
                for cluster in clusters {
                    match at.checked_sub(cluster.weight.into()) {
                        Some(rest) => at = rest,
                        None => return Some(&cluster.cluster),
                    }
                }
                None
            }
        }
    }

    /// Each of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &C> {
        let (one, several) = match self {
            Self::Cluster(cluster) => (Some(cluster), &[][..]),
            Self::Weighted { clusters, .. } => (None, &clusters[..]),
        };
        one.into_iter().chain(several.iter().map(|weighted| &weighted.cluster))
    }
}

/// One of several clusters that share the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WeightedCluster<C = Name> {
    pub(crate) cluster: C,
    pub(crate) weight: u32,
}

/// How the path changes on its way. The query stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rewrite {
    /// `prefix_rewrite`: what matched (the prefix, or the whole path) becomes this.
    Prefix(String),
    /// `regex_rewrite`, of the path.
    Regex(Substitution),
}

/// What Host becomes on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostRewrite {
    /// `host_rewrite_literal`.
    Literal(HeaderValue),
    /// `host_rewrite_header`: the first header of this name, if there is one.
    Header(HeaderName),
    /// `host_rewrite_path_regex`: the path, without its query, rewritten.
    Path(Substitution),
    /// `auto_host_rewrite`: the name of the endpoint, if it has one.
    Endpoint,
}

/// Envoy's `RedirectAction`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    pub(crate) code: StatusCode,
    /// `host_redirect`.
    pub(crate) host: Option<Name>,
    pub(crate) path: Option<RedirectPath>,
    /// `scheme_redirect`, or "https" for `https_redirect`.
    pub(crate) scheme: Option<Name>,
    /// `port_redirect`.
    pub(crate) port: Option<u16>,
    /// `strip_query`.
    pub(crate) strip_query: bool,
}

/// What the path of a redirect is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RedirectPath {
    /// `path_redirect`; a query in it replaces the request's.
    Literal(Name),
    /// `prefix_rewrite` or `regex_rewrite`.
    Rewrite(Rewrite),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_share_the_whole_range() {
        let cluster = |name: &str, weight| WeightedCluster { cluster: Name::from(name), weight };
        let clusters = vec![cluster("a", 1), cluster("none", 0), cluster("b", 3)];
        let target = Target::Weighted { clusters, total: 4 };
        let chosen: Vec<_> = (0..8).filter_map(|n| target.choose(n)).map(|n| &**n).collect();
        assert_eq!(chosen, ["a", "b", "b", "b", "a", "b", "b", "b"]);
        assert_eq!(target.all().map(|name| &**name).collect::<Vec<_>>(), ["a", "none", "b"]);
        assert_eq!(Target::<Name>::Weighted { clusters: Vec::new(), total: 0 }.choose(7), None);
    }
}
