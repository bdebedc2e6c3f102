//! `/stats`: text, JSON and Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use regex::Regex;
use serde_json::{Value as Json, json};

use super::query::Query;
use crate::stats::{BOUNDS, Registry, Snapshot, Value, prometheus_name};

const QUANTILES: [f64; 10] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0];

/// What a query asks for.
pub(super) struct Wanted {
    /// `filter`: a regular expression that is found somewhere in the name.
    filter: Option<Regex>,
    kind: Kind,
    used_only: bool,
}

/// `type`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    All,
    Counters,
    Gauges,
    Histograms,
    /// Envoy's statistics that are texts, of which there are none.
    TextReadouts,
}

/// Why a query cannot be answered, in Envoy's words.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadQuery {
    #[error("Invalid re2 regex: {0}")]
    Filter(#[from] regex::Error),
    #[error("invalid &type= param")]
    Kind,
}

impl Wanted {
    pub(super) fn new(query: &Query) -> Result<Self, BadQuery> {
        let kind = match query.get("type").map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "all") => Kind::All,
            Some("counters") => Kind::Counters,
            Some("gauges") => Kind::Gauges,
            Some("histograms") => Kind::Histograms,
            Some("textreadouts") => Kind::TextReadouts,
            Some(_) => return Err(BadQuery::Kind),
        };
        let filter = query.get("filter").map(Regex::new).transpose()?;
        Ok(Self { filter, kind, used_only: query.has("usedonly") })
    }

    /// In the order of the names.
    fn of(&self, registry: &Registry) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        registry.visit(&mut |name, value| {
            if self.is_met(name, &value) {
                found.push((name.to_owned(), value));
            }
        });
        found
    }

    fn is_met(&self, name: &str, value: &Value) -> bool {
        let is_kind = match self.kind {
            Kind::All => true,
            Kind::Counters => matches!(value, Value::Counter(_)),
            Kind::Gauges => matches!(value, Value::Gauge(_)),
            Kind::Histograms => matches!(value, Value::Histogram(_)),
            Kind::TextReadouts => false,
        };
        let is_used = match value {
            Value::Counter(number) | Value::Gauge(number) => *number != 0,
            Value::Histogram(snapshot) => snapshot.count() != 0,
        };
        let is_named = || self.filter.as_ref().is_none_or(|filter| filter.is_match(name));
        is_kind && (is_used || !self.used_only) && is_named()
    }
}

/// `name: value`, a line each.
pub(super) fn text(registry: &Registry, wanted: &Wanted) -> String {
    let mut page = String::new();
    for (name, value) in wanted.of(registry) {
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
pub(super) fn json(registry: &Registry, wanted: &Wanted) -> Json {
    let (mut stats, mut histograms) = (Vec::new(), Vec::new());
    for (name, value) in wanted.of(registry) {
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
pub(super) fn prometheus(registry: &Registry, wanted: &Wanted) -> String {
    let mut families: BTreeMap<String, (&'static str, String)> = BTreeMap::new();
    for (stat, value) in wanted.of(registry) {
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

    fn query(text: &str) -> Wanted {
        Wanted::new(&Query::new(Some(text.to_owned()))).unwrap()
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |text: &str| match Wanted::new(&Query::new(Some(text.to_owned()))) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("taken"),
        };
        assert!(refused("filter=(").starts_with("Invalid re2 regex: "));
        assert_eq!(refused("type=foo"), "invalid &type= param");
    }

    #[test]
    fn the_same_numbers_in_three_formats() {
        let registry = Registry::new(1);
        let rq = registry.counter("cluster.a.upstream_rq_2xx");
        let _active = registry.gauge("cluster.a.upstream_cx_active");
        let time = registry.histogram("cluster.a.upstream_rq_time");
        rq.add(3);
        time.record(7);
        let anywhere = query(r"filter=^cluster\.(a|b)\..*_[1-3]xx$");
        assert_eq!(text(&registry, &anywhere), "cluster.a.upstream_rq_2xx: 3\n");
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
