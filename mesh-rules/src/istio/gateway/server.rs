//! One server of a `Gateway`.

use std::net::IpAddr;

use mesh_model::{GatewayHost, GatewayServer, ServerTransport};

use super::super::Findings;
use super::{Server, ServerTls};
use crate::rule::is_dns_label;

/// What the server at `path` of a gateway of `namespace` means; `None` when that is not known.
pub(super) fn of(
    findings: &mut Findings<'_>,
    path: &str,
    server: &Server,
    namespace: &str,
) -> Option<GatewayServer> {
    if server.port.number == 0 {
        findings.add(format!("{path}.port.number"), "0 is no port; expected 1 to 65535");
    }
    if server.hosts.is_empty() {
        let message = "it is empty; name whom requests may be for, or write \"*\"";
        findings.add(format!("{path}.hosts"), message);
    }
    let hosts = server.hosts.iter().enumerate();
    let hosts = hosts
        .filter_map(|(i, text)| host(findings, &format!("{path}.hosts[{i}]"), text, namespace))
        .collect();
    let bind = bind(findings, path, server.bind.as_deref());
    Some(GatewayServer {
        name: server.port.name.clone(),
        port: server.port.number,
        bind,
        hosts,
        transport: transport(findings, path, server)?,
    })
}

/// Whether both can be had: not at one port with TLS and without.
pub(super) fn fit(one: &GatewayServer, other: &GatewayServer) -> bool {
    let is_tls = |server: &GatewayServer| matches!(server.transport, ServerTransport::Tls(_));
    (one.port, one.bind) != (other.port, other.bind) || is_tls(one) == is_tls(other)
}

fn bind(findings: &mut Findings<'_>, path: &str, bind: Option<&str>) -> Option<IpAddr> {
    let text = bind.filter(|text| !text.is_empty())?;
    let address = text.parse().ok();
    if address.is_none() {
        findings.add(format!("{path}.bind"), format!("\"{text}\" is no IP address"));
    }
    address
}

fn host(findings: &mut Findings<'_>, path: &str, text: &str, own: &str) -> Option<GatewayHost> {
    let (namespace, name) = match text.split_once('/') {
        None | Some(("*", _)) => (None, text.rsplit('/').next().unwrap_or(text)),
        Some((".", name)) => (Some(own), name),
        Some((namespace, name)) => (Some(namespace), name),
    };
    if let Some(namespace) = namespace.filter(|namespace| !is_dns_label(namespace)) {
        findings.add(path, format!("\"{namespace}\" is no namespace"));
        return None;
    }
    if !is_host(name) {
        let message = format!(
            "\"{name}\" is no name; expected one such as \"a.com\" or \"*.a.com\", or \"*\""
        );
        findings.add(path, message);
        return None;
    }
    Some(GatewayHost { namespace: namespace.map(str::to_owned), name: name.to_owned() })
}

/// A name, `*.` and the end of one, or `*`.
pub(crate) fn is_host(name: &str) -> bool {
    let plain = name.strip_prefix("*.").unwrap_or(name);
    name == "*" || (!plain.is_empty() && !plain.contains(['*', '/']))
}

fn transport(findings: &mut Findings<'_>, path: &str, server: &Server) -> Option<ServerTransport> {
    let protocol = server.port.protocol.to_ascii_uppercase();
    match (protocol.as_str(), &server.tls) {
        ("HTTP" | "HTTP2" | "GRPC", None) => Some(ServerTransport::Plain),
        ("HTTP" | "HTTP2" | "GRPC", Some(tls)) => plain(findings, path, tls),
        ("HTTPS", Some(tls)) => of_tls(findings, path, tls),
        ("HTTPS", None) => {
            findings.add(format!("{path}.tls"), "it is missing; HTTPS needs a certificate");
            None
        }
        _ => {
            let message = format!(
                "\"{}\" is not supported yet; there are HTTP, HTTP2, GRPC and HTTPS",
                server.port.protocol
            );
            findings.add(format!("{path}.port.protocol"), message);
            None
        }
    }
}

fn plain(findings: &mut Findings<'_>, path: &str, tls: &ServerTls) -> Option<ServerTransport> {
    let ServerTls { https_redirect, mode, server_certificate, private_key, ca_certificates } = tls;
    for (field, value) in [
        ("mode", mode),
        ("serverCertificate", server_certificate),
        ("privateKey", private_key),
        ("caCertificates", ca_certificates),
    ] {
        if value.is_some() {
            let message = "HTTP has no TLS; take it out, or write HTTPS for the port's protocol";
            findings.add(format!("{path}.tls.{field}"), message);
        }
    }
    Some(if *https_redirect { ServerTransport::RedirectToTls } else { ServerTransport::Plain })
}

fn of_tls(findings: &mut Findings<'_>, path: &str, tls: &ServerTls) -> Option<ServerTransport> {
    let path = format!("{path}.tls");
    let is_mutual = match tls.mode.as_deref() {
        None | Some("SIMPLE") => false,
        Some("MUTUAL") => true,
        Some(other) => {
            let message = format!("\"{other}\" is not supported yet; there are SIMPLE and MUTUAL");
            findings.add(format!("{path}.mode"), message);
            return None;
        }
    };
    if tls.https_redirect {
        findings.add(format!("{path}.httpsRedirect"), "this port has HTTPS already; take it out");
    }
    let mut needed = |field: &str, value: &Option<String>| {
        if value.is_none() {
            let message = "it is missing; write the path of a file in the gateway's pods";
            findings.add(format!("{path}.{field}"), message);
        }
        value.clone()
    };
    let chain = needed("serverCertificate", &tls.server_certificate);
    let key = needed("privateKey", &tls.private_key);
    let client_roots = is_mutual.then(|| needed("caCertificates", &tls.ca_certificates)).flatten();
    let certificate = chain.zip(key)?;
    Some(ServerTransport::Tls(mesh_model::ServerTls { certificate, client_roots }))
}
