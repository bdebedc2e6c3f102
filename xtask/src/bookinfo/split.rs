//! Traffic of reviews divided among its versions, as the admin pages of a sidecar show it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A weight for each version.
pub(crate) struct Split {
    /// Weights by the names of clusters.
    weights: BTreeMap<String, u64>,
}

impl Split {
    /// For bookinfo in this namespace.
    pub(crate) fn of(namespace: &str, versions: [(&str, u64); 2]) -> Self {
        let name =
            |version| format!("outbound|9080|{version}|reviews.{namespace}.svc.cluster.local");
        Self { weights: versions.map(|(version, weight)| (name(version), weight)).into() }
    }

    /// Looks for it in what `/config_dump` says.
    ///
    /// # Errors
    /// When no route divides traffic so.
    pub(crate) fn is_in(&self, config_dump: &str) -> Result<()> {
        let dump: Value = serde_json::from_str(config_dump).context("/config_dump is not JSON")?;
        let mut found = Vec::new();
        find_weighted_clusters(&dump, &mut found);
        ensure!(
            found.contains(&self.weights),
            "/config_dump has no split {:?}, but {found:?}",
            self.weights
        );
        Ok(())
    }

    /// The addresses that `/clusters` has for each cluster.
    pub(crate) fn addresses<'a>(&self, clusters: &'a str) -> BTreeMap<&str, BTreeSet<&'a str>> {
        let names = self.weights.keys();
        names.map(|name| (name.as_str(), addresses(clusters, name))).collect()
    }
}

/// Every set of cluster and weight among which a route in this dump chooses.
fn find_weighted_clusters(value: &Value, found: &mut Vec<BTreeMap<String, u64>>) {
    if let Some(clusters) = value["weighted_clusters"]["clusters"].as_array() {
        let split = clusters.iter().map(|cluster| {
            let name = cluster["name"].as_str().unwrap_or_default().to_owned();
            (name, cluster["weight"].as_u64().unwrap_or(0))
        });
        found.push(split.collect());
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| find_weighted_clusters(item, found)),
        Value::Object(map) => map.values().for_each(|item| find_weighted_clusters(item, found)),
        _ => {}
    }
}

/// Of lines such as `name::10.244.0.5:9080::cx_active::0`.
fn addresses<'a>(clusters: &'a str, name: &str) -> BTreeSet<&'a str> {
    clusters
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix("::")?.split("::").next())
        .filter(|word| word.parse::<std::net::SocketAddr>().is_ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_found_wherever_it_stands_in_the_dump() {
        let split = Split::of("default", [("v1", 50), ("v3", 50)]);
        let name = |version| format!("outbound|9080|{version}|reviews.default.svc.cluster.local");
        let dump = |weight| {
            serde_json::json!({"configs": [{"dynamic_route_configs": [{"route": {
                "weighted_clusters": {"clusters": [
                    {"name": name("v1"), "weight": 50}, {"name": name("v3"), "weight": weight}]}
            }}]}]})
            .to_string()
        };
        split.is_in(&dump(50)).unwrap();
        assert!(split.is_in(&dump(60)).unwrap_err().to_string().contains("60"));
    }

    #[test]
    fn only_addresses_count_as_endpoints() {
        let text = "c|v1::observability_name::c|v1\nc|v1::10.244.0.5:9080::cx_active::0\n\
                    c|v1::10.244.0.5:9080::weight::1\nc|v12::10.244.0.6:9080::weight::1\n";
        assert_eq!(addresses(text, "c|v1"), BTreeSet::from(["10.244.0.5:9080"]));
    }
}
