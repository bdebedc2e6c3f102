//! `meshctl local ps`.

use anyhow::Result;
use mesh_local::{Client, PodStatus};

use crate::cli::Global;
use crate::output::{self, Format};

pub(crate) async fn run(global: &Global, format: Format) -> Result<()> {
    let report = Client::new(global.state()).report().await?;
    output::print(format, &report, || {
        let header = ["NAMESPACE", "POD", "READY", "STATUS", "RESTARTS", "ADDRESS", "AGE"];
        let rows: Vec<_> = report.pods.iter().map(cells).collect();
        let mut text = output::table(&header, &rows);
        for (pod, container, how) in ends(&report.pods) {
            text += &format!("{pod}: container {container} ended the last time with {how}\n");
        }
        for (address, service) in &report.published {
            text += &format!("http://{address} leads to {service}\n");
        }
        text
    })
}

fn cells(pod: &PodStatus) -> Vec<String> {
    let serving: Vec<_> = pod.containers.iter().filter(|container| !container.init).collect();
    let ready = serving.iter().filter(|container| container.ready).count();
    vec![
        pod.namespace.clone(),
        pod.name.clone(),
        format!("{ready}/{}", serving.len()),
        pod.summary(),
        pod.restarts().to_string(),
        pod.address.to_string(),
        output::age(pod.started_unix_ms),
    ]
}

/// Containers that were started again, and why.
fn ends(pods: &[PodStatus]) -> impl Iterator<Item = (&str, &str, &str)> {
    pods.iter().flat_map(|pod| {
        let ended = pod.containers.iter().filter(|container| !container.init);
        ended.filter_map(|container| {
            Some((pod.name.as_str(), container.name.as_str(), container.last_end.as_deref()?))
        })
    })
}
