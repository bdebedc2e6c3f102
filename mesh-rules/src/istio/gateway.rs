//! `Gateway`: the type, and its meaning.

mod server;

use std::collections::BTreeMap;

use mesh_model::{GatewayApi, ServiceName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Findings, Resource};
use crate::Problem;

pub(crate) use server::is_host;

/// Istio's `Gateway.spec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewaySpec {
    /// Labels that the gateway's pods have, all of them, in whichever namespace they are;
    /// none: the pods of every gateway.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub selector: BTreeMap<String, String>,
    /// What they listen for.
    #[serde(default)]
    pub servers: Vec<Server>,
}

/// Istio's `Server`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Server {
    /// Where.
    pub port: ServerPort,
    /// The pods' address to listen on; none: every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<String>,
    /// Whom requests may be for: `NAME`, `*.NAME`, `*`, or one of them for the routes of one
    /// namespace, `NAMESPACE/NAME`, where `.` is the gateway's own and `*` is any.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// For HTTPS, or to send those who come without it there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ServerTls>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Istio's `Port`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerPort {
    /// A port of the service before the gateway's pods.
    pub number: u16,
    /// `HTTP`, `HTTP2`, `GRPC`, `HTTPS`.
    pub protocol: String,
    /// For people.
    #[serde(default)]
    pub name: String,
}

/// Istio's `ServerTLSSettings`. Files are those of the gateway's pods.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerTls {
    /// Without TLS: clients are sent to HTTPS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub https_redirect: bool,
    /// `SIMPLE`, which is also the default, or `MUTUAL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The certificate chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_certificate: Option<String>,
    /// The key to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<String>,
    /// For `MUTUAL`: the roots of the clients' certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_certificates: Option<String>,
}

/// What a `Gateway` means, or all that is wrong with it by itself.
pub(crate) fn gateway(
    source: &str,
    resource: &Resource<GatewaySpec>,
    name: ServiceName,
) -> Result<mesh_model::Gateway, Vec<Problem>> {
    let spec = &resource.spec;
    let mut findings = Findings::new(source);
    if spec.servers.is_empty() {
        findings.add("spec.servers", "it is empty; add one, with a port and hosts");
    }
    let mut servers: Vec<mesh_model::GatewayServer> = Vec::with_capacity(spec.servers.len());
    for (i, server) in spec.servers.iter().enumerate() {
        let path = format!("spec.servers[{i}]");
        let Some(found) = server::of(&mut findings, &path, server, &name.namespace) else {
            continue;
        };
        if let Some(earlier) = servers.iter().find(|earlier| !server::fit(earlier, &found)) {
            let message = format!(
                "port {} has HTTP with and without TLS; give {:?} and {:?} ports of their own",
                found.port, earlier.name, found.name
            );
            findings.add(format!("{path}.port"), message);
        }
        if servers.iter().any(|earlier| earlier.name == found.name) {
            findings.add(format!("{path}.port.name"), format!("{:?} is there twice", found.name));
        }
        servers.push(found);
    }
    let selector = spec.selector.clone();
    findings.finish(mesh_model::Gateway { name, api: GatewayApi::Istio, selector, servers })
}

#[cfg(test)]
mod tests {
    use mesh_model::{Gateway, ServerTransport};

    use super::*;
    use crate::{Meaning, Surroundings, parse};

    fn read(server: &str) -> Result<Gateway, Vec<Problem>> {
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: a}}\n\
             spec: {{selector: {{istio: ingressgateway}}, servers: [{server}]}}\n"
        );
        let surroundings = Surroundings { namespace: "shop", ..Surroundings::default() };
        let rules = parse("x.yaml", &text, surroundings)?;
        let Meaning::Gateway(gateway) = &rules[0].meaning else { panic!("{rules:?}") };
        Ok(gateway.clone())
    }

    const PORT: &str = "port: {number: 80, name: http, protocol: HTTP}";

    #[test]
    fn hosts_may_be_for_the_routes_of_one_namespace() {
        let gateway = read(&format!("{{{PORT}, hosts: ['*', ./a.com, '*/b.com', bank/*.c.com]}}"));
        let hosts = gateway.unwrap().servers.remove(0).hosts;
        let hosts: Vec<_> =
            hosts.iter().map(|host| (host.namespace.as_deref(), host.name.as_str())).collect();
        let expected =
            [(None, "*"), (Some("shop"), "a.com"), (None, "b.com"), (Some("bank"), "*.c.com")];
        assert_eq!(hosts, expected);
    }

    #[test]
    fn https_with_files() {
        let port = "port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*']";
        let files = "serverCertificate: /c, privateKey: /k";
        for (tls, roots) in [
            (format!("{{mode: SIMPLE, {files}}}"), None),
            (format!("{{{files}}}"), None),
            (format!("{{mode: MUTUAL, {files}, caCertificates: /r}}"), Some("/r")),
        ] {
            let gateway = read(&format!("{{{port}, tls: {tls}}}")).unwrap();
            let ServerTransport::Tls(found) = &gateway.servers[0].transport else {
                panic!("{gateway:?}")
            };
            assert_eq!(found.certificate, ("/c".to_owned(), "/k".to_owned()));
            assert_eq!(found.client_roots.as_deref(), roots);
        }
        let redirect = read(&format!("{{{PORT}, hosts: ['*'], tls: {{httpsRedirect: true}}}}"));
        assert_eq!(redirect.unwrap().servers[0].transport, ServerTransport::RedirectToTls);
    }

    #[test]
    fn names_what_is_wrong() {
        let https = "port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*']";
        let one = |rest: &str| format!("{{{PORT}, {rest}}}");
        for (server, field, message) in [
            (one("hosts: []"), "[0].hosts", "it is empty"),
            (one("hosts: [a.*]"), "[0].hosts[0]", "\"a.*\" is no name"),
            (one("hosts: ['-/a.com']"), "[0].hosts[0]", "\"-\" is no namespace"),
            (one("hosts: ['*'], bind: here"), "[0].bind", "\"here\" is no IP address"),
            (one("hosts: ['*'], bind: 'unix:///x'"), "[0].bind", "is no IP address"),
            (one("hosts: ['*'], defaultEndpoint: x"), "[0].defaultEndpoint", "not supported yet"),
            (
                "{port: {number: 1, name: a, protocol: TCP}, hosts: ['*']}".to_owned(),
                "[0].port.protocol",
                "\"TCP\" is not supported yet; there are HTTP, HTTP2, GRPC and HTTPS",
            ),
            (
                "{port: {number: 0, name: a, protocol: HTTP}, hosts: ['*']}".to_owned(),
                "[0].port.number",
                "0 is no port",
            ),
            (format!("{{{https}}}"), "[0].tls", "it is missing"),
            (
                format!("{{{https}, tls: {{mode: SIMPLE, credentialName: x}}}}"),
                "[0].tls.credentialName",
                "not supported yet",
            ),
            (
                format!("{{{https}, tls: {{mode: PASSTHROUGH}}}}"),
                "[0].tls.mode",
                "\"PASSTHROUGH\" is not supported yet; there are SIMPLE and MUTUAL",
            ),
            (
                format!(
                    "{{{https}, tls: {{mode: MUTUAL, serverCertificate: /c, privateKey: /k}}}}"
                ),
                "[0].tls.caCertificates",
                "it is missing",
            ),
            (one("hosts: ['*'], tls: {mode: SIMPLE}"), "[0].tls.mode", "HTTP has no TLS"),
            (
                format!(
                    "{}, {{port: {{number: 80, name: b, protocol: HTTPS}}, hosts: ['*'], tls: \
                     {{serverCertificate: /c, privateKey: /k}}}}",
                    one("hosts: ['*']")
                ),
                "[1].port",
                "port 80 has HTTP with and without TLS",
            ),
        ] {
            let problem = read(&server).expect_err(&server)[0].to_string();
            let expected = format!("x.yaml: spec.servers{field}: ");
            assert!(problem.starts_with(&expected), "{server}: {problem}");
            assert!(problem.contains(message), "{server}: {problem}");
        }
    }
}
