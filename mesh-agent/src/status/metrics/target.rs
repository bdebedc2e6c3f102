//! Where the application has its metrics.

use anyhow::{Context, ensure};
use axum::http::uri::PathAndQuery;
use serde::Deserialize;

/// A port of the pod and a path.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::status) struct Target {
    pub(super) port: u16,
    pub(super) path: PathAndQuery,
}

/// Istio's `ISTIO_PROMETHEUS_ANNOTATIONS`: the `prometheus.io/*` annotations, all strings.
#[derive(Deserialize)]
struct Annotations {
    #[serde(default)]
    scrape: String,
    #[serde(default)]
    port: String,
    #[serde(default)]
    path: String,
}

impl Target {
    /// From the JSON object; none when it is empty or says not to scrape. `own`: the agent's
    /// own ports, behind which no application is.
    pub(in crate::status) fn parse(json: &str, own: &[u16]) -> anyhow::Result<Option<Self>> {
        if json.trim().is_empty() {
            return Ok(None);
        }
        let Annotations { scrape, port, path } =
            serde_json::from_str(json).context("expected a JSON object of strings")?;
        // Istio takes the annotation's absence, with a port there, for a yes.
        if matches!(scrape.to_ascii_lowercase().as_str(), "false" | "f" | "0") {
            return Ok(None);
        }
        let port = if port.is_empty() { "80" } else { port.as_str() };
        let port: u16 = port.parse().ok().filter(|port| *port > 0).with_context(|| {
            format!("prometheus.io/port is {port:?}, expected a port from 1 to 65535")
        })?;
        ensure!(
            !own.contains(&port),
            "prometheus.io/port is {port}, the agent's own: the page would ask itself for ever"
        );
        let path = match path.as_str() {
            "" => "/metrics".to_owned(),
            path if path.starts_with('/') => path.to_owned(),
            path => format!("/{path}"),
        };
        let path = PathAndQuery::try_from(&path)
            .with_context(|| format!("prometheus.io/path is {path:?}, expected a path"))?;
        Ok(Some(Self { port, path }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> anyhow::Result<Option<(u16, String)>> {
        let target = Target::parse(json, &[15020, 15021])?;
        Ok(target.map(|target| (target.port, target.path.to_string())))
    }

    #[test]
    fn defaults_are_istios() {
        assert_eq!(parse("").unwrap(), None);
        assert_eq!(parse(r#"{"scrape": "false", "port": "1"}"#).unwrap(), None);
        assert_eq!(parse(r#"{"scrape": "true"}"#).unwrap(), Some((80, "/metrics".to_owned())));
        let full = r#"{"scrape": "true", "port": "9090", "path": "stats?format=text"}"#;
        assert_eq!(parse(full).unwrap(), Some((9090, "/stats?format=text".to_owned())));
    }

    #[test]
    fn the_agents_own_port_would_be_a_loop() {
        let error = parse(r#"{"port": "15020"}"#).unwrap_err().to_string();
        assert!(error.contains("15020, the agent's own"), "{error}");
        assert!(parse(r#"{"port": "http"}"#).is_err());
    }
}
