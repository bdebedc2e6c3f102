//! Fields that Istio or the Gateway API has and we do not honour yet, by the path of what holds them, without
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
        ],
    ),
    ("spec.http.match", &["scheme", "authority", "sourceLabels", "sourceNamespace", "statPrefix"]),
    ("spec.http.route", &["headers"]),
    ("spec.http.rewrite", &["uriRegexRewrite"]),
    ("spec.http.redirect", &["derivePort"]),
    ("spec.http.retries", &["retryRemoteLocalities", "retryIgnorePreviousHosts", "backoff"]),
];

/// The policies of subsets and ports have the same as the whole's.
const DESTINATION_RULE: &[(&str, &[&str])] = &[
    ("spec", &["workloadSelector"]),
    ("spec.trafficPolicy", &["outlierDetection", "tunnel", "proxyProtocol", "retryBudget"]),
    (
        "spec.trafficPolicy.loadBalancer",
        &["consistentHash", "localityLbSetting", "warmupDurationSecs", "warmup"],
    ),
    ("spec.trafficPolicy.connectionPool", &["http"]),
    (
        "spec.trafficPolicy.connectionPool.tcp",
        &["maxConnections", "tcpKeepalive", "maxConnectionDuration", "idleTimeout"],
    ),
    ("spec.trafficPolicy.tls", &["credentialName", "caCrl"]),
];

const GATEWAY: &[(&str, &[&str])] = &[
    ("spec.servers", &["defaultEndpoint"]),
    ("spec.servers.port", &["targetPort"]),
    (
        "spec.servers.tls",
        &[
            "credentialName",
            "credentialNames",
            "caCertCredentialName",
            "tlsCertificates",
            "caCrl",
            "subjectAltNames",
            "verifyCertificateSpki",
            "verifyCertificateHash",
            "minProtocolVersion",
            "maxProtocolVersion",
            "cipherSuites",
        ],
    ),
];

const HTTP_ROUTE: &[(&str, &[&str])] = &[
    ("spec", &["useDefaultGateways"]),
    ("spec.rules", &["retry", "sessionPersistence"]),
    ("spec.rules.filters", &["requestMirror", "cors", "externalAuth", "extensionRef"]),
    ("spec.rules.backendRefs", &["filters"]),
];

/// Of the Gateway API's `Gateway`, whose fields have other places than Istio's.
const KUBERNETES_GATEWAY: &[(&str, &[&str])] = &[
    (
        "spec",
        &["addresses", "infrastructure", "allowedListeners", "backendTLS", "tls", "defaultScope"],
    ),
    ("spec.listeners", &["tls"]),
    ("spec.listeners.allowedRoutes.namespaces", &["selector"]),
];

/// The fields of `kind`, of Istio's or the Gateway API's, that we do not honour, in the object at `path`.
pub(super) fn at(kind: &str, path: &str) -> Vec<&'static str> {
    if kind == "Gateway" && !path.starts_with("spec.servers") {
        let entries = KUBERNETES_GATEWAY.iter().filter(|(holder, _)| *holder == path);
        return entries.flat_map(|(_, fields)| fields.iter().copied()).collect();
    }
    let (table, path) = match kind {
        "HTTPRoute" => (HTTP_ROUTE, path.to_owned()),
        "VirtualService" => (VIRTUAL_SERVICE, path.to_owned()),
        "Gateway" => (GATEWAY, path.to_owned()),
        "DestinationRule" => (DESTINATION_RULE, whole(path)),
        _ => return Vec::new(),
    };
    let entries = table.iter().filter(|(holder, _)| same(holder, &path));
    entries.flat_map(|(_, fields)| fields.iter().copied()).collect()
}

/// The same place in the policy of the whole service.
fn whole(path: &str) -> String {
    let path = path.replace("spec.subsets.trafficPolicy", "spec.trafficPolicy");
    path.replace(".portLevelSettings", "")
}

fn same(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix(".*") {
        Some(map) => path.strip_prefix(map).is_some_and(|key| key.starts_with('.')),
        None => pattern == path,
    }
}
