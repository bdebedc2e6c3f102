//! Names and labels for Prometheus.

/// Scopes that belong to the end of a statistic's name, not to the name of the cluster,
/// listener or filter before it (which may hold dots of its own).
const INNER_SCOPES: [&str; 10] = [
    "canary",
    "circuit_breakers.default",
    "circuit_breakers.high",
    "external",
    "http1",
    "http2",
    "internal",
    "outlier_detection",
    "rbac",
    "ssl",
];

/// A label's name and value.
pub(crate) type Label<'a> = (&'static str, &'a str);

/// What Envoy's default tag extraction makes of a statistic's name: the Prometheus name,
/// and the parts of the old name that became labels. A cluster's name may hold dots.
///
/// `cluster.a.b.upstream_rq_2xx` becomes `envoy_cluster_upstream_rq_xx` with
/// `envoy_response_code_class="2"` and `envoy_cluster_name="a.b"`.
pub(crate) fn prometheus_name(stat: &str) -> (String, Vec<Label<'_>>) {
    let mut labels = Vec::new();
    let mut name = String::with_capacity(stat.len() + 6);
    name.push_str("envoy_");
    let rest = match stat.split_once('.') {
        Some(("cluster", rest)) => tagged(&mut name, &mut labels, "cluster", rest),
        Some(("listener", rest)) => listener(&mut name, &mut labels, rest),
        Some(("http", rest)) => http(&mut name, &mut labels, rest),
        Some(("tcp", rest)) => tagged(&mut name, &mut labels, "tcp", rest),
        _ => stat,
    };
    response_code(&mut name, &mut labels, rest);
    (name, labels)
}

/// `listener.<address>.http.<prefix>.x` has two labels.
fn listener<'a>(name: &mut String, labels: &mut Vec<Label<'a>>, rest: &'a str) -> &'a str {
    let Some((address, inner)) = rest.split_once(".http.") else {
        return tagged(name, labels, "listener", rest);
    };
    labels.push(("envoy_listener_address", address));
    name.push_str("listener_");
    tagged(name, labels, "http", inner)
}

/// `http.<prefix>.rds.<route table>.x` has two labels.
fn http<'a>(name: &mut String, labels: &mut Vec<Label<'a>>, rest: &'a str) -> &'a str {
    let Some((prefix, inner)) = rest.split_once(".rds.") else {
        return tagged(name, labels, "http", rest);
    };
    labels.push(("envoy_http_conn_manager_prefix", prefix));
    name.push_str("http_");
    tagged(name, labels, "rds", inner)
}

/// Moves the name of the thing between `scope` and the statistic itself into a label.
fn tagged<'a>(
    name: &mut String,
    labels: &mut Vec<Label<'a>>,
    scope: &str,
    rest: &'a str,
) -> &'a str {
    let label = match scope {
        "cluster" => "envoy_cluster_name",
        "listener" => "envoy_listener_address",
        "http" => "envoy_http_conn_manager_prefix",
        "rds" => "envoy_rds_route_config",
        _ => "envoy_tcp_prefix",
    };
    name.push_str(scope);
    name.push('_');
    let Some((thing, stat)) = split_stat(rest) else { return rest };
    labels.push((label, thing));
    stat
}

/// Cuts `a.b.http2.rx_reset` into `a.b` and `http2.rx_reset`.
fn split_stat(rest: &str) -> Option<(&str, &str)> {
    let last = rest.rfind('.')?;
    let thing = &rest[..last];
    let inner = INNER_SCOPES.iter().find_map(|scope| {
        let outer = thing.strip_suffix(scope)?.strip_suffix('.')?;
        Some(outer.len())
    });
    let at = inner.unwrap_or(last);
    Some((&rest[..at], &rest[at + 1..]))
}

/// `..._rq_503` and `..._rq_5xx` give their code to a label; the rest becomes a name that
/// Prometheus takes.
fn response_code<'a>(name: &mut String, labels: &mut Vec<Label<'a>>, stat: &'a str) {
    let code = stat.len().checked_sub(3).and_then(|at| Some((stat.get(..at)?, stat.get(at..)?)));
    let stat = match code {
        Some((before, code)) if before.ends_with("_rq_") && is_code(code) => {
            labels.push(("envoy_response_code", code));
            &before[..before.len() - 1]
        }
        Some((before, class)) if before.ends_with("_rq_") && is_class(class) => {
            labels.push(("envoy_response_code_class", &class[..1]));
            name.extend(before.chars().map(allowed));
            name.push_str("xx");
            return;
        }
        _ => stat,
    };
    name.extend(stat.chars().map(allowed));
}

fn is_code(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

fn is_class(text: &str) -> bool {
    text.ends_with("xx") && text.starts_with(|c: char| ('1'..='5').contains(&c))
}

fn allowed(c: char) -> char {
    if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_name_become_labels() {
        let cases: [(&str, &str, &[Label<'_>]); 11] = [
            ("server.live", "envoy_server_live", &[]),
            ("cluster_manager.cluster_added", "envoy_cluster_manager_cluster_added", &[]),
            (
                "cluster.outbound|9080||reviews.default.svc.cluster.local.upstream_rq_total",
                "envoy_cluster_upstream_rq_total",
                &[("envoy_cluster_name", "outbound|9080||reviews.default.svc.cluster.local")],
            ),
            (
                "cluster.a.upstream_rq_2xx",
                "envoy_cluster_upstream_rq_xx",
                &[("envoy_cluster_name", "a"), ("envoy_response_code_class", "2")],
            ),
            (
                "cluster.a.external.upstream_rq_503",
                "envoy_cluster_external_upstream_rq",
                &[("envoy_cluster_name", "a"), ("envoy_response_code", "503")],
            ),
            (
                "cluster.a.b.circuit_breakers.default.rq_open",
                "envoy_cluster_circuit_breakers_default_rq_open",
                &[("envoy_cluster_name", "a.b")],
            ),
            (
                "http.outbound_0.0.0.0_9080.downstream_rq_5xx",
                "envoy_http_downstream_rq_xx",
                &[
                    ("envoy_http_conn_manager_prefix", "outbound_0.0.0.0_9080"),
                    ("envoy_response_code_class", "5"),
                ],
            ),
            (
                "listener.0.0.0.0_15001.downstream_cx_total",
                "envoy_listener_downstream_cx_total",
                &[("envoy_listener_address", "0.0.0.0_15001")],
            ),
            (
                "listener.[__]_80.http.in.downstream_rq_completed",
                "envoy_listener_http_downstream_rq_completed",
                &[("envoy_listener_address", "[__]_80"), ("envoy_http_conn_manager_prefix", "in")],
            ),
            (
                "http.ingress.rds.route-1.update_success",
                "envoy_http_rds_update_success",
                &[
                    ("envoy_http_conn_manager_prefix", "ingress"),
                    ("envoy_rds_route_config", "route-1"),
                ],
            ),
            (
                "tcp.mongo.downstream_cx_total",
                "envoy_tcp_downstream_cx_total",
                &[("envoy_tcp_prefix", "mongo")],
            ),
        ];
        for (stat, name, labels) in cases {
            assert_eq!(prometheus_name(stat), (name.to_owned(), labels.to_vec()), "{stat}");
        }
    }

    #[test]
    fn odd_names_still_give_a_valid_one() {
        for stat in ["cluster.x", "", "_rq_", "é_rq_200", "http.", "cluster..."] {
            let (name, _) = prometheus_name(stat);
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name}");
        }
    }
}
