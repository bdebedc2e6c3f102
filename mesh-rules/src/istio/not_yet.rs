//! Fields that Istio has and we do not honour yet, by the path of what holds them, without
//! the positions in lists. `*` is any key of a map.

const VIRTUAL_SERVICE: &[(&str, &[&str])] = &[
    ("spec", &["tls", "tcp"]),
    (
        "spec.http",
        &[
            "directResponse",
            "delegate",
            "fault",
            "mirror",
            "mirrors",
            "mirrorPercent",
            "mirror_percent",
            "mirrorPercentage",
            "corsPolicy",
            "headers",
        ],
    ),
    (
        "spec.http.match",
        &[
            "scheme",
            "authority",
            "sourceLabels",
            "gateways",
            "queryParams",
            "sourceNamespace",
            "statPrefix",
        ],
    ),
    ("spec.http.match.uri", &["regex"]),
    ("spec.http.match.method", &["regex"]),
    ("spec.http.match.headers.*", &["regex"]),
    ("spec.http.match.withoutHeaders.*", &["regex"]),
    ("spec.http.route", &["headers"]),
    ("spec.http.rewrite", &["uriRegexRewrite"]),
    ("spec.http.redirect", &["port", "derivePort", "scheme"]),
    ("spec.http.retries", &["retryRemoteLocalities", "retryIgnorePreviousHosts", "backoff"]),
];

const TRAFFIC_POLICY: &[&str] =
    &["outlierDetection", "portLevelSettings", "tunnel", "proxyProtocol", "retryBudget"];
const LOAD_BALANCER: &[&str] =
    &["consistentHash", "localityLbSetting", "warmupDurationSecs", "warmup"];

const TLS: &[&str] = &["credentialName", "caCrl"];

const DESTINATION_RULE: &[(&str, &[&str])] = &[
    ("spec", &["workloadSelector"]),
    ("spec.trafficPolicy", TRAFFIC_POLICY),
    ("spec.trafficPolicy.loadBalancer", LOAD_BALANCER),
    ("spec.trafficPolicy.connectionPool", &["http"]),
    (
        "spec.trafficPolicy.connectionPool.tcp",
        &["maxConnections", "tcpKeepalive", "maxConnectionDuration", "idleTimeout"],
    ),
    ("spec.trafficPolicy.tls", TLS),
    ("spec.subsets.trafficPolicy.tls", TLS),
    ("spec.subsets.trafficPolicy", TRAFFIC_POLICY),
    ("spec.subsets.trafficPolicy.connectionPool", &["http"]),
    ("spec.subsets.trafficPolicy.loadBalancer", LOAD_BALANCER),
];

/// The fields of Istio's `kind` that we do not honour, in the object at `path`.
pub(super) fn at(kind: &str, path: &str) -> Vec<&'static str> {
    let table = match kind {
        "VirtualService" => VIRTUAL_SERVICE,
        "DestinationRule" => DESTINATION_RULE,
        _ => return Vec::new(),
    };
    let entries = table.iter().filter(|(holder, _)| same(holder, path));
    entries.flat_map(|(_, fields)| fields.iter().copied()).collect()
}

fn same(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix(".*") {
        Some(map) => path.strip_prefix(map).is_some_and(|key| key.starts_with('.')),
        None => pattern == path,
    }
}
