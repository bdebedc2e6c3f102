//! What speaks for an installation, and against it.

mod cluster;
mod installed;
mod kinds;
mod others;
mod proxies;
mod rights;
mod version;

use kube::Client;
use serde_json::Value;

use crate::chart::{ChartError, Release, render, values};

pub use version::OLDEST;

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but somebody should know.
    Warning,
    /// It does not work, or would break something.
    Error,
}

/// What was found, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How much it matters.
    pub level: Level,
    /// What is, and what to do about it.
    pub message: String,
}

const UNKNOWN: &str = "cannot be checked";

impl Finding {
    fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, message: message.into() }
    }

    fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Warning, message: message.into() }
    }

    fn error(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, level: Level::Error, message: message.into() }
    }

    /// A check that the API server did not let us make.
    fn unknown(check: &'static str, error: &kube::Error) -> Self {
        Self::warning(check, format!("{UNKNOWN}: {}", crate::explain(error)))
    }

    fn is_unknown(&self) -> bool {
        self.message.starts_with(UNKNOWN)
    }
}

/// What a check finds; what it cannot find out is one more finding.
type Found = kube::Result<Vec<Finding>>;

fn found(check: &'static str, found: Found) -> Vec<Finding> {
    found.unwrap_or_else(|error| vec![Finding::unknown(check, &error)])
}

/// What speaks for and against putting a release on a cluster.
///
/// # Errors
/// When the release itself is not right.
pub async fn before(client: &Client, release: &Release) -> Result<Vec<Finding>, ChartError> {
    let (values, objects) = (values(release)?, render(release)?);
    let namespace = &release.namespace;
    let (version, rights, others, kinds, room) = tokio::join!(
        version::check(client),
        rights::check(client, namespace),
        others::check(client, namespace, &values),
        kinds::check(client, &objects),
        cluster::check(client, namespace, &values),
    );
    let rights = found("rights", rights);
    // Who has no rights cannot look either, which says no more.
    let may_look = worst(&rights) != Level::Error;
    let mut findings = [
        rights,
        found("version", version),
        found("other meshes", others),
        found("kinds", kinds),
        found("cluster", room),
    ]
    .concat();
    findings.retain(|finding| may_look || !finding.is_unknown());
    Ok(findings)
}

/// How the mesh is that is on a cluster.
pub async fn after(client: &Client, namespace: &str) -> Vec<Finding> {
    let (version, others, installed, proxies) = tokio::join!(
        version::check(client),
        cluster::dead_webhooks(client),
        installed::check(client, namespace),
        proxies::check(client, namespace),
    );
    [
        found("version", version),
        found("webhooks", others),
        found("control plane", installed),
        found("sidecars", proxies),
    ]
    .concat()
}

/// The worst of them.
pub fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default()
}
