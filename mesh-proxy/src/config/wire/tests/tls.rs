//! TLS contexts, secrets, and which endpoint gets which transport socket.

use super::*;
use crate::transport::tls::tests::credentials;

/// One field of a certificate, in flow YAML.
fn pem(text: &str) -> String {
    format!("{{inline_string: {text:?}}}")
}

fn certificate() -> String {
    let own = credentials("spiffe://cluster.local/ns/a/sa/own");
    let (chain, key) = (pem(&own.chain_pem()), pem(&own.key().to_pem()));
    format!("{{certificate_chain: {chain}, private_key: {key}}}")
}

fn roots() -> String {
    pem(&credentials("spiffe://cluster.local").chain_pem())
}

fn socket(kind: &str, fields: &str) -> String {
    format!(
        "{{name: tls, typed_config: {{'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}, {fields}}}}}"
    )
}

/// The TLS of a filter chain with these fields of its context.
fn downstream(fields: &str) -> Result<DownstreamTls, String> {
    let socket = socket("DownstreamTlsContext", fields);
    let tcp = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    let found = listener(&format!(
        "{{name: l, address: {{socket_address: {{address: 0.0.0.0, port_value: 80}}}}, filter_chains: [{{transport_socket: {socket}, filters: [{{name: t, typed_config: {{'@type': {tcp}, stat_prefix: p, cluster: c}}}}]}}]}}"
    ))?;
    Ok((**found.filter_chains[0].tls.as_ref().unwrap()).clone())
}

fn transports(fields: &str) -> Result<Transports, String> {
    let found = cluster(&format!(
        "{{name: c, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, {fields}}}"
    ))?;
    Ok(found.transports)
}

/// The TLS of a cluster with these fields of its context.
fn upstream(fields: &str) -> Result<UpstreamTls, String> {
    match transports(&format!("transport_socket: {}", socket("UpstreamTlsContext", fields)))?
        .default
    {
        Transport::Tls(tls) => Ok((*tls).clone()),
        Transport::RawBuffer => Err("plain".to_owned()),
    }
}

fn common(fields: &str) -> Result<CommonTls, String> {
    upstream(&format!("common_tls_context: {{{fields}}}")).map(|found| found.common)
}

#[test]
fn contexts_of_istios_shape() {
    let sds = |name: &str| {
        format!(
            "{{name: {name}, sds_config: {{api_config_source: {{api_type: GRPC, transport_api_version: V3, set_node_on_first_message_only: true, grpc_services: [{{envoy_grpc: {{cluster_name: sds-grpc}}}}]}}, resource_api_version: V3, initial_fetch_timeout: 0s}}}}"
        )
    };
    let common = format!(
        "common_tls_context: {{tls_params: {{tls_minimum_protocol_version: TLSv1_2, tls_maximum_protocol_version: TLSv1_3, cipher_suites: [ECDHE-RSA-AES256-GCM-SHA384, AES128-GCM-SHA256]}}, alpn_protocols: [istio-peer-exchange, istio], tls_certificate_sds_secret_configs: [{}], combined_validation_context: {{default_validation_context: {{match_typed_subject_alt_names: [{{san_type: URI, matcher: {{prefix: 'spiffe://cluster.local/'}}}}]}}, validation_context_sds_secret_config: {}}}}}",
        sds("default"),
        sds("ROOTCA")
    );
    let found = downstream(&format!("require_client_certificate: true, {common}")).unwrap();
    assert!(found.require_client_certificate && found.tickets);
    assert_eq!(found.common.alpn, [&b"istio-peer-exchange"[..], b"istio"]);
    assert_eq!(found.common.parameters.versions.len(), 2);
    assert_eq!(found.common.parameters.cipher_suites.len(), 1);
    let key =
        |name: &str| SecretKey { source: SecretSource::Grpc("sds-grpc".into()), name: name.into() };
    let secret = |name, kind| SecretConfig { key: key(name), kind, initial_fetch_timeout: None };
    let own = secret("default", SecretKind::Certificate);
    let roots = secret("ROOTCA", SecretKind::Validation);
    assert!(found.common.secrets().eq(&[own, roots]));
    let name = "outbound_.80_._.reviews.default.svc.cluster.local";
    let found = upstream(&format!("sni: {name}, {common}")).unwrap();
    assert_eq!(found.sni.as_deref(), Some(name));
    assert_eq!(found, upstream(&format!("sni: {name}, {common}")).unwrap());
}

#[test]
fn certificates_from_wherever_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let own = credentials("spiffe://cluster.local/ns/a/sa/own");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("chain"), own.chain_pem()).unwrap();
    std::fs::write(path("key"), own.key().to_pem()).unwrap();
    let files = format!(
        "certificate_chain: {{filename: {:?}}}, private_key: {{filename: {:?}}}",
        path("chain"),
        path("key")
    );
    let found = common(&format!("tls_certificates: [{{{files}}}]")).unwrap();
    let [CertificateSource::Own(certificate)] = &found.certificates[..] else { panic!() };
    assert_eq!(certificate.credentials.chain(), own.chain());
    assert_eq!(*certificate.origin, *path("chain").to_str().unwrap());
    let missing = "tls_certificates: [{certificate_chain: {filename: /nowhere/c}}]";
    refused(
        common(missing),
        "transport_socket.typed_config.common_tls_context.tls_certificates[0].certificate_chain.filename: cannot read \"/nowhere/c\": No such file",
    );
    let other = credentials("spiffe://cluster.local/ns/a/sa/other");
    let (chain, key) = (pem(&own.chain_pem()), pem(&other.key().to_pem()));
    refused(
        common(&format!("tls_certificates: [{{certificate_chain: {chain}, private_key: {key}}}]")),
        "private_key.inline_string: the private key is not the certificate's",
    );
    let error = common(&format!(
        "tls_certificates: [{{certificate_chain: {chain}, private_key: {{inline_string: hush}}}}]"
    ));
    let error = error.unwrap_err();
    assert!(error.contains("private_key.inline_string: not a private key"), "{error}");
    assert!(!error.contains("hush"), "{error}");
}

#[test]
fn who_is_trusted() {
    let (roots, certificate) = (roots(), certificate());
    let found = common(&format!(
        "validation_context: {{trusted_ca: {roots}, match_subject_alt_names: [{{exact: a}}]}}"
    ))
    .unwrap();
    assert!(found.validation.roots.is_some());
    assert_eq!(found.validation.names.len(), 4, "of every kind");
    assert_eq!(*common("").unwrap().validation, Validation::default());
    refused(
        common(
            "validation_context: {match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: a}}]}",
        ),
        "validation_context.trusted_ca: missing: names of peers say nothing without roots",
    );
    for (fields, expected) in [
        ("crl: {filename: x}", "crl: field is known but not honoured"),
        ("verify_certificate_hash: [x]", "verify_certificate_hash[0]: found \"x\", expected a"),
        ("verify_certificate_spki: ['+']", "verify_certificate_spki[0]: found \"+\", expected a"),
        ("trust_chain_verification: ACCEPT_UNTRUSTED", "trust_chain_verification: field is known"),
        ("system_root_certs: {}", "system_root_certs: field is known"),
        ("trusted_ca: {inline_string: x}", "trusted_ca.inline_string: no root certificate found"),
        (
            "match_typed_subject_alt_names: [{matcher: {exact: a}}]",
            "match_typed_subject_alt_names[0].san_type: missing",
        ),
        (
            "match_typed_subject_alt_names: [{san_type: URI, matcher: {safe_regex: {regex: '('}}}]",
            "match_typed_subject_alt_names[0].matcher.safe_regex",
        ),
    ] {
        refused(common(&format!("validation_context: {{{fields}}}")), expected);
    }
    let byte = |at: usize| format!("{at:02X}");
    let bytes: Vec<_> = (0..32).map(byte).collect();
    for hash in [bytes.concat(), bytes.join(":")] {
        let found = common(&format!("validation_context: {{verify_certificate_hash: ['{hash}']}}"));
        assert_eq!(
            found.unwrap().validation.pins.certificates,
            [std::array::from_fn(|at| at as u8)]
        );
    }
    let expression = format!(
        "validation_context: {{trusted_ca: {roots}, match_typed_subject_alt_names: [{{san_type: URI, matcher: {{safe_regex: {{regex: 'spiffe://.*/(own|two)'}}}}}}]}}"
    );
    let names = &common(&expression).unwrap().validation.names;
    let accepts = |of: &str| names[0].matches(&credentials(of).details().names);
    assert!(accepts("spiffe://cluster.local/ns/a/sa/own"));
    assert!(!accepts("spiffe://cluster.local/ns/a/sa/owner"));
    refused(downstream(""), "common_tls_context.tls_certificates: missing: it is required");
    let own = format!("common_tls_context: {{tls_certificates: [{certificate}]}}");
    assert!(downstream(&own).is_ok());
    for (fields, expected) in [
        ("session_timeout: 10s", "session_timeout: field is known"),
        ("session_ticket_keys: {}", "session_ticket_keys: field is known"),
        ("ocsp_staple_policy: MUST_STAPLE", "ocsp_staple_policy: field is known"),
    ] {
        refused(downstream(&format!("{own}, {fields}")), expected);
    }
    assert!(downstream(&format!("{own}, require_sni: true")).unwrap().require_sni);
    let two = format!("common_tls_context: {{tls_certificates: [{certificate}, {certificate}]}}");
    assert_eq!(downstream(&two).unwrap().common.certificates.len(), 2);
    refused(upstream(&two), "tls_certificates: found 2, expected one");
    let no_tickets = format!("{own}, disable_stateless_session_resumption: true");
    assert!(!downstream(&no_tickets).unwrap().tickets);
}

#[test]
fn parameters_are_honoured_or_refused() {
    let with = |fields: &str| common(&format!("tls_params: {{{fields}}}"));
    let versions = |fields: &str| with(fields).unwrap().parameters.versions;
    assert_eq!(versions("tls_minimum_protocol_version: TLSv1_3"), [&rustls::version::TLS13]);
    assert_eq!(versions("tls_maximum_protocol_version: TLSv1_2"), [&rustls::version::TLS12]);
    let groups = with("ecdh_curves: [P-256, P-521]").unwrap().parameters.groups;
    assert_eq!(groups, [rustls::NamedGroup::secp256r1]);
    for (fields, expected) in [
        (
            "tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_2",
            "tls_minimum_protocol_version: is higher than",
        ),
        ("tls_maximum_protocol_version: TLSv1_1", "tls_maximum_protocol_version: field is known"),
        (
            "cipher_suites: [RC4]",
            "tls_params.cipher_suites[0]: found \"RC4\", expected one of ECDHE",
        ),
        ("cipher_suites: [AES128-SHA]", "cipher_suites: none of these is spoken; there are ECDHE"),
        ("ecdh_curves: [brainpool]", "ecdh_curves[0]: found \"brainpool\""),
        ("signature_algorithms: [x]", "signature_algorithms: field is known"),
    ] {
        refused(with(fields), expected);
    }
    refused(upstream("sni: 'a b'"), "sni: found \"a b\", expected a DNS name");
    refused(upstream("auto_host_sni: true"), "auto_host_sni: field is known");
    refused(upstream("allow_renegotiation: true"), "allow_renegotiation: field is known");
    refused(
        common("alpn_protocols: ['']"),
        "alpn_protocols[0]: found \"\", expected 1 to 255 bytes",
    );
    assert_eq!(common("alpn_protocols: ['h2,http/1.1']").unwrap().alpn.len(), 2);
    assert!(!upstream("max_session_keys: 0").unwrap().resume);
}

#[test]
fn transport_sockets_by_the_endpoints_metadata() {
    let tls = socket("UpstreamTlsContext", "");
    let plain = "{name: envoy.transport_sockets.raw_buffer, typed_config: {'@type': type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}";
    let found = transports(&format!(
        "transport_socket_matches: [{{name: tlsMode-istio, match: {{tlsMode: istio}}, transport_socket: {tls}}}, {{name: tlsMode-disabled, match: {{}}, transport_socket: {plain}}}]"
    ))
    .unwrap();
    assert_eq!(found.default, Transport::RawBuffer);
    let [istio, disabled] = &found.matches[..] else { panic!() };
    assert_eq!(istio.labels, Labels::from([("tlsMode".into(), "istio".into())]));
    assert!(matches!(istio.transport, Transport::Tls(_)));
    assert_eq!((disabled.labels.len(), &disabled.transport), (0, &Transport::RawBuffer));
    refused(
        transports("transport_socket_matches: [{name: m, match: {a: 1}}]"),
        "transport_socket_matches[0].match.a: expected a string",
    );
    refused(
        transports(&format!("transport_socket: {}", socket("DownstreamTlsContext", ""))),
        "transport_socket.typed_config: found envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, expected one of",
    );
    let assigned = cluster(
        "{name: c, load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{metadata: {filter_metadata: {envoy.transport_socket_match: {tlsMode: istio, other: 1}, x: {y: z}}}, endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}}]}]}}",
    );
    let Discovery::Static(assignment) = assigned.unwrap().discovery else { panic!() };
    assert_eq!(assignment.endpoints[0].labels, istio.labels);
}

#[test]
fn pipes_are_for_grpc_alone() {
    let with = |endpoints: &str, more: &str| {
        cluster(&format!(
            "{{name: c, load_assignment: {{cluster_name: c, endpoints: [{{lb_endpoints: [{endpoints}]}}]}}, {more}}}"
        ))
    };
    let pipe = "{endpoint: {address: {pipe: {path: /run/sds.sock}}}}";
    assert_eq!(with(pipe, "").unwrap().discovery, Discovery::Pipe("/run/sds.sock".into()));
    refused(
        with(&format!("{pipe}, {pipe}"), ""),
        "lb_endpoints[0].endpoint.address.pipe: is taken only",
    );
    refused(
        with("{endpoint: {address: {pipe: {path: sds.sock}}}}", ""),
        "lb_endpoints[0].endpoint.address.pipe.path: found \"sds.sock\", expected /PATH",
    );
    let tls = format!("transport_socket: {}", socket("UpstreamTlsContext", ""));
    refused(with(pipe, &tls), "transport_socket: expected none: a pipe is spoken to in plain text");
}

#[test]
fn secrets_must_be_able_to_come() {
    let file = |secrets: &str, config: &str| {
        let context = format!(
            "common_tls_context: {{tls_certificate_sds_secret_configs: [{{name: s{config}}}]}}"
        );
        let tls = socket("UpstreamTlsContext", &context);
        bootstrap(&format!(
            "static_resources: {{secrets: [{secrets}], clusters: [{{name: c, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, transport_socket: {tls}}}]}}"
        ))
    };
    let secret = format!("{{name: s, tls_certificate: {}}}", certificate());
    assert_eq!(file(&secret, "").unwrap().secrets.len(), 1);
    refused(
        file("", ""),
        "static_resources.clusters[0]: secret \"s\" without sds_config: expected a tls_certificate of this name in static_resources.secrets",
    );
    refused(file(&secret, ", sds_config: {ads: {}}"), "clusters[0]: secret \"s\" needs ADS");
    let grpc = ", sds_config: {api_config_source: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: sds}}]}}";
    refused(
        file(&secret, grpc),
        "secret \"s\": found cluster_name \"sds\", expected a static cluster",
    );
    refused(
        file(&format!("{secret}, {secret}"), ""),
        "secrets[1].name: found \"s\" for the second time",
    );
    refused(file("{name: s, generic_secret: {}}", ""), "secrets[0].generic_secret: field is known");
    refused(
        file("{name: s, validation_context: {}}", ""),
        "secrets[0].validation_context.trusted_ca: missing",
    );
}
