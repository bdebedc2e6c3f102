//! `meshctl proxy-status`: who has which configuration.

use anyhow::Result;
use mesh_proto::mesh::v1::type_status::State;
use mesh_proto::mesh::v1::{Problem, Proxy, TypeStatus};
use serde::Serialize;

use crate::cli::Global;
use crate::mesh::Mesh;
use crate::output::{self, Format};

const TYPES: [(&str, &str); 4] = [
    ("CDS", "type.googleapis.com/envoy.config.cluster.v3.Cluster"),
    ("LDS", "type.googleapis.com/envoy.config.listener.v3.Listener"),
    ("EDS", "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"),
    ("RDS", "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"),
];

#[derive(Debug, Serialize)]
struct Report {
    proxies: Vec<ProxyRow>,
    problems: Vec<ProblemRow>,
}

#[derive(Debug, Serialize)]
struct ProxyRow {
    pod: String,
    namespace: String,
    address: String,
    version: String,
    connected_since_unix_ms: u64,
    types: Vec<TypeRow>,
}

#[derive(Debug, Serialize)]
struct TypeRow {
    name: &'static str,
    state: &'static str,
    resources: u32,
    sent_version: String,
    acked_version: String,
    error: String,
}

#[derive(Debug, Serialize)]
struct ProblemRow {
    source: String,
    path: String,
    message: String,
}

pub(crate) async fn run(global: &Global, format: Format) -> Result<()> {
    let mut mesh = Mesh::connect(global).await?;
    let proxies = mesh.proxies().await?.into_iter().map(ProxyRow::from).collect();
    let problems = mesh.problems().await?.into_iter().map(ProblemRow::from).collect();
    let report = Report { proxies, problems };
    output::print(format, &report, || report.table())
}

impl Report {
    fn table(&self) -> String {
        let header = ["PROXY", "ADDRESS", "CDS", "LDS", "EDS", "RDS", "VERSION", "CONNECTED"];
        let rows: Vec<_> = self.proxies.iter().map(ProxyRow::cells).collect();
        let mut text = match rows.is_empty() {
            true => "no proxy is connected\n".to_owned(),
            false => output::table(&header, &rows),
        };
        for proxy in &self.proxies {
            for kind in proxy.types.iter().filter(|kind| !kind.error.is_empty()) {
                let (pod, namespace) = (&proxy.pod, &proxy.namespace);
                text += &format!("\n{pod}.{namespace} refused {}: {}\n", kind.name, kind.error);
            }
        }
        if !self.problems.is_empty() {
            text += "\nRefused rules; the last good version of each is served:\n";
        }
        for problem in &self.problems {
            let parts = [&problem.source, &problem.path, &problem.message];
            let parts: Vec<_> =
                parts.into_iter().filter(|part| !part.is_empty()).cloned().collect();
            text += &format!("  {}\n", parts.join(": "));
        }
        text
    }
}

impl ProxyRow {
    fn cells(&self) -> Vec<String> {
        let mut cells = vec![format!("{}.{}", self.pod, self.namespace), self.address.clone()];
        for (name, _) in TYPES {
            let found = self.types.iter().find(|kind| kind.name == name);
            cells.push(found.map_or("-", |kind| kind.state).to_owned());
        }
        cells.extend([self.version.clone(), output::age(self.connected_since_unix_ms)]);
        cells
    }
}

impl From<Proxy> for ProxyRow {
    fn from(proxy: Proxy) -> Self {
        Self {
            types: proxy.types.into_iter().filter_map(type_row).collect(),
            pod: proxy.pod,
            namespace: proxy.namespace,
            address: proxy.address,
            version: proxy.version,
            connected_since_unix_ms: proxy.connected_since_unix_ms.try_into().unwrap_or_default(),
        }
    }
}

/// Types that the table does not have are left out.
fn type_row(status: TypeStatus) -> Option<TypeRow> {
    let (name, _) = TYPES.iter().find(|(_, url)| *url == status.type_url)?;
    let state = match status.state() {
        State::Unknown => "UNKNOWN",
        State::NotSent => "NOT SENT",
        State::Stale => "STALE",
        State::Synced => "SYNCED",
        State::Rejected => "REJECTED",
    };
    Some(TypeRow {
        name,
        state,
        resources: status.resources,
        sent_version: status.sent_version,
        acked_version: status.acked_version,
        error: status.error,
    })
}

impl From<Problem> for ProblemRow {
    fn from(problem: Problem) -> Self {
        Self { source: problem.source, path: problem.path, message: problem.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_with_a_rejection_and_a_problem() {
        let mut status = TypeStatus {
            type_url: TYPES[0].1.to_owned(),
            error: "cluster x: no".to_owned(),
            ..Default::default()
        };
        status.set_state(State::Rejected);
        let proxy = Proxy {
            pod: "reviews-v1".to_owned(),
            namespace: "default".to_owned(),
            types: vec![status],
            ..Default::default()
        };
        let report = Report {
            proxies: vec![proxy.into()],
            problems: vec![ProblemRow {
                source: "a.yaml".to_owned(),
                path: String::new(),
                message: "this is not YAML".to_owned(),
            }],
        };
        let text = report.table();
        assert!(text.contains("reviews-v1.default           REJECTED  -    -"), "{text}");
        assert!(text.contains("reviews-v1.default refused CDS: cluster x: no"), "{text}");
        assert!(text.ends_with("  a.yaml: this is not YAML\n"), "{text}");
    }
}
