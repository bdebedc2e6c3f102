//! The original probes, as injection hands them over in `MESH_KUBE_APP_PROBERS`: Istio's
//! `ISTIO_KUBE_APP_PROBERS`, which is Kubernetes' own form by path.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderName, HeaderValue};
use serde::Deserialize;

/// By the path at which kubelet asks now, such as `/app-health/reviews/livez`.
pub(in crate::status) struct Probes(HashMap<String, Probe>);

/// One probe or lifecycle hook.
#[derive(Debug)]
pub(in crate::status) struct Probe {
    pub(super) kind: Kind,
    /// None for a hook, which has as long as it takes.
    pub(super) timeout: Option<Duration>,
}

#[derive(Debug)]
pub(super) enum Kind {
    Http(HttpGet),
    Tcp { port: u16 },
    Grpc { port: u16, service: String },
}

#[derive(Debug)]
pub(super) struct HttpGet {
    pub(super) port: u16,
    pub(super) path: PathAndQuery,
    pub(super) tls: bool,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawProbe {
    http_get: Option<RawHttpGet>,
    tcp_socket: Option<RawTcp>,
    grpc: Option<RawGrpc>,
    #[serde(default)]
    timeout_seconds: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawHttpGet {
    port: u16,
    #[serde(default)]
    path: String,
    #[serde(default)]
    scheme: String,
    #[serde(default)]
    http_headers: Vec<RawHeader>,
}

#[derive(Deserialize)]
struct RawHeader {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct RawTcp {
    port: u16,
}

#[derive(Deserialize)]
struct RawGrpc {
    port: u16,
    // Null in many a manifest.
    service: Option<String>,
}

impl Probes {
    /// From the JSON object; an empty text has none.
    pub(in crate::status) fn parse(json: &str) -> anyhow::Result<Self> {
        if json.trim().is_empty() {
            return Ok(Self(HashMap::new()));
        }
        let raw: HashMap<String, RawProbe> =
            serde_json::from_str(json).context("expected a JSON object of probes by path")?;
        let probes = raw.into_iter().map(|(path, raw)| {
            let probe = probe(raw).with_context(|| path.clone())?;
            Ok((path, probe))
        });
        probes.collect::<anyhow::Result<_>>().map(Self)
    }

    pub(in crate::status) fn find(&self, path: &str) -> Option<&Probe> {
        self.0.get(path)
    }
}

fn probe(raw: RawProbe) -> anyhow::Result<Probe> {
    let kind = match (raw.http_get, raw.tcp_socket, raw.grpc) {
        (Some(get), None, None) => Kind::Http(http_get(get)?),
        (None, Some(tcp), None) => Kind::Tcp { port: tcp.port },
        (None, None, Some(grpc)) => {
            Kind::Grpc { port: grpc.port, service: grpc.service.unwrap_or_default() }
        }
        _ => bail!("expected one of httpGet, tcpSocket and grpc"),
    };
    let timeout = u64::from(raw.timeout_seconds);
    Ok(Probe { kind, timeout: (timeout > 0).then(|| Duration::from_secs(timeout)) })
}

fn http_get(raw: RawHttpGet) -> anyhow::Result<HttpGet> {
    let tls = match raw.scheme.to_ascii_uppercase().as_str() {
        "" | "HTTP" => false,
        "HTTPS" => true,
        other => bail!("scheme is {other:?}, expected HTTP or HTTPS"),
    };
    let headers = raw.http_headers.into_iter().map(|RawHeader { name, value }| {
        // HTTP/2's name for Host, which Istio takes as such, too.
        let field = if name == ":authority" { "host" } else { name.as_str() };
        let field = HeaderName::try_from(field)
            .with_context(|| format!("httpHeaders: {name:?} is not a header's name"))?;
        let value = HeaderValue::try_from(value)
            .with_context(|| format!("httpHeaders: the value of {name} is not one"))?;
        Ok((field, value))
    });
    Ok(HttpGet {
        port: raw.port,
        path: path_and_query(&raw.path)?,
        tls,
        headers: headers.collect::<anyhow::Result<_>>()?,
    })
}

/// With a slash in front, and what may not be in a URI encoded, as kubelet does.
fn path_and_query(path: &str) -> anyhow::Result<PathAndQuery> {
    let mut text = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        text.push('/');
    }
    for byte in path.bytes() {
        match byte {
            b'!'..=b'~' if !b"\"<>\\^`{|}".contains(&byte) => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    PathAndQuery::try_from(&text).with_context(|| format!("path {path:?} is not one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_as_istio_writes_it() {
        let probes = Probes::parse(
            r#"{
              "/app-health/web/readyz": {"httpGet": {"path": "/ready?full=1", "port": 8080,
                "scheme": "HTTPS", "httpHeaders": [{"name": "Host", "value": "web"}]}, "timeoutSeconds": 3},
              "/app-health/web/livez": {"tcpSocket": {"port": 9090}, "timeoutSeconds": 1},
              "/app-health/web/startupz": {"grpc": {"port": 50051, "service": null}, "timeoutSeconds": 1},
              "/app-lifecycle/web/prestopz": {"httpGet": {"path": "bye now", "port": 8080}}
            }"#,
        )
        .unwrap();
        let ready = probes.find("/app-health/web/readyz").unwrap();
        assert_eq!(ready.timeout, Some(Duration::from_secs(3)));
        let Kind::Http(get) = &ready.kind else { panic!("{ready:?}") };
        assert_eq!((get.path.as_str(), get.tls, get.headers.len()), ("/ready?full=1", true, 1));
        let hook = probes.find("/app-lifecycle/web/prestopz").unwrap();
        assert_eq!(hook.timeout, None);
        let Kind::Http(get) = &hook.kind else { panic!("{hook:?}") };
        assert_eq!(get.path.as_str(), "/bye%20now");
        assert!(matches!(
            probes.find("/app-health/web/livez").unwrap().kind,
            Kind::Tcp { port: 9090 }
        ));
        assert!(probes.find("/app-health/other/livez").is_none());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_path() {
        for (json, expected) in [
            ("[]", "expected a JSON object"),
            (r#"{"/a": {}}"#, "/a: expected one of httpGet"),
            (r#"{"/a": {"httpGet": {"port": 1, "scheme": "FTP"}}}"#, "/a: scheme is \"FTP\""),
            (
                r#"{"/a": {"httpGet": {"port": 1, "httpHeaders": [{"name": "a b"}]}}}"#,
                "\"a b\" is not a header's name",
            ),
        ] {
            let error = format!("{:#}", Probes::parse(json).err().unwrap());
            assert!(error.contains(expected), "{error}");
        }
    }
}
