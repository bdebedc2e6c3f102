//! `/stats`: text, JSON and Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::query::{Filter, Query};
use crate::stats::{BOUNDS, Registry, Snapshot, Value, prometheus_name};

const QUANTILES: [f64; 10] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0];

/// What a query asks for, in the order of the names.
fn wanted(registry: &Registry, query: &Query) -> Vec<(String, Value)> {
    let filter = query.get("filter").map(Filter::new);
    let kind = query.get("type").map(str::to_ascii_lowercase);
    let used_only = query.has("usedonly");
    let mut found = Vec::new();
    registry.visit(&mut |name, value| {
        let is_kind = match kind.as_deref() {
            Some("counters") => matches!(value, Value::Counter(_)),
            Some("gauges") => matches!(value, Value::Gauge(_)),
            Some("histograms") => matches!(value, Value::Histogram(_)),
            _ => true,
        };
        let is_used = match value {
            Value::Counter(number) | Value::Gauge(number) => number != 0,
            Value::Histogram(snapshot) => snapshot.count() != 0,
        };
        let is_wanted = filter.as_ref().is_none_or(|filter| filter.matches(name));
        if is_kind && is_wanted && (is_used || !used_only) {
            found.push((name.to_owned(), value));
        }
    });
    found
}

/// `name: value`, a line each.
pub(super) fn text(registry: &Registry, query: &Query) -> String {
    let mut page = String::new();
    for (name, value) in wanted(registry, query) {
        // Writing to a String cannot fail.
        let _ = match value {
            Value::Counter(number) | Value::Gauge(number) => writeln!(page, "{name}: {number}"),
            Value::Histogram(snapshot) => writeln!(page, "{name}: {}", quantiles(&snapshot)),
        };
    }
    page
}

fn quantiles(snapshot: &Snapshot) -> String {
    if snapshot.count() == 0 {
        return "No recorded values".to_owned();
    }
    let all = QUANTILES.map(|quantile| {
        let value = snapshot.quantile(quantile).unwrap_or(f64::NAN);
        format!("P{}({value:.1})", quantile * 100.0)
    });
    all.join(" ")
}

/// In the shape of Envoy's JSON: numbers first, all histograms in one object.
pub(super) fn json(registry: &Registry, query: &Query) -> Json {
    let (mut stats, mut histograms) = (Vec::new(), Vec::new());
    for (name, value) in wanted(registry, query) {
        match value {
            Value::Counter(number) | Value::Gauge(number) => {
                stats.push(json!({ "name": name, "value": number }));
            }
            Value::Histogram(snapshot) => {
                // Intervals are not kept.
                let value = |quantile: &f64| json!({ "cumulative": snapshot.quantile(*quantile), "interval": null });
                let values: Vec<_> = QUANTILES.iter().map(value).collect();
                histograms.push(json!({ "name": name, "values": values }));
            }
        }
    }
    if !histograms.is_empty() {
        let quantiles = QUANTILES.map(|quantile| quantile * 100.0);
        let all = json!({ "supported_quantiles": quantiles, "computed_quantiles": histograms });
        stats.push(json!({ "histograms": all }));
    }
    json!({ "stats": stats })
}

/// The text format of Prometheus, with Envoy's names and labels.
pub(super) fn prometheus(registry: &Registry, query: &Query) -> String {
    let mut families: BTreeMap<String, (&'static str, String)> = BTreeMap::new();
    for (stat, value) in wanted(registry, query) {
        let (name, labels) = prometheus_name(&stat);
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = labels.join(",");
        let (kind, mut lines) = match value {
            Value::Counter(number) => ("counter", sample(&name, &labels, number)),
            Value::Gauge(number) => ("gauge", sample(&name, &labels, number)),
            Value::Histogram(snapshot) => ("histogram", histogram(&name, &labels, &snapshot)),
        };
        let family = families.entry(name).or_insert((kind, String::new()));
        // A family has one type; the rare stat of another kind goes without.
        if family.0 == kind {
            family.1.push_str(&std::mem::take(&mut lines));
        }
    }
    let mut page = String::new();
    for (name, (kind, lines)) in families {
        // Writing to a String cannot fail.
        let _ = write!(page, "# TYPE {name} {kind}\n{lines}");
    }
    page
}

fn sample(name: &str, labels: &str, value: u64) -> String {
    if labels.is_empty() {
        format!("{name} {value}\n")
    } else {
        format!("{name}{{{labels}}} {value}\n")
    }
}

fn histogram(name: &str, labels: &str, snapshot: &Snapshot) -> String {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut lines = String::new();
    let mut below = 0;
    for (bound, count) in BOUNDS.iter().zip(snapshot.buckets) {
        below += count;
        lines +=
            &sample(&format!("{name}_bucket"), &format!("{labels}{comma}le=\"{bound}\""), below);
    }
    let count = snapshot.count();
    lines += &sample(&format!("{name}_bucket"), &format!("{labels}{comma}le=\"+Inf\""), count);
    lines += &sample(&format!("{name}_sum"), labels, snapshot.sum);
    lines += &sample(&format!("{name}_count"), labels, count);
    lines
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::new(Some(text.to_owned()))
    }

    #[test]
    fn the_same_numbers_in_three_formats() {
        let registry = Registry::new(1);
        let rq = registry.counter("cluster.a.upstream_rq_2xx");
        let _active = registry.gauge("cluster.a.upstream_cx_active");
        let time = registry.histogram("cluster.a.upstream_rq_time");
        rq.add(3);
        time.record(7);
        assert_eq!(text(&registry, &query("filter=rq_2xx")), "cluster.a.upstream_rq_2xx: 3\n");
        assert_eq!(text(&registry, &query("type=Gauges")), "cluster.a.upstream_cx_active: 0\n");
        assert_eq!(text(&registry, &query("usedonly&type=Gauges")), "");
        assert_eq!(
            json(&registry, &query("type=Counters")),
            json!({ "stats": [{ "name": "cluster.a.upstream_rq_2xx", "value": 3 }] })
        );
        let page = prometheus(&registry, &query(""));
        for expected in [
            "# TYPE envoy_cluster_upstream_cx_active gauge\nenvoy_cluster_upstream_cx_active{envoy_cluster_name=\"a\"} 0\n",
            "# TYPE envoy_cluster_upstream_rq_xx counter\nenvoy_cluster_upstream_rq_xx{",
            "envoy_response_code_class=\"2\"",
            "# TYPE envoy_cluster_upstream_rq_time histogram\n",
            "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"a\",le=\"5\"} 0\n",
            "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"a\",le=\"10\"} 1\n",
            "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"a\",le=\"+Inf\"} 1\n",
            "envoy_cluster_upstream_rq_time_sum{envoy_cluster_name=\"a\"} 7\n",
            "envoy_cluster_upstream_rq_time_count{envoy_cluster_name=\"a\"} 1\n",
        ] {
            assert!(page.contains(expected), "{expected}\nin\n{page}");
        }
    }
}
