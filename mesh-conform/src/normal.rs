//! What differs from run to run is made alike: identities, times, addresses.

use serde_json::{Map, Value, json};

use crate::case::Hosts;
use crate::config::Plan;
use crate::diff;

/// What is left of a timeout is rounded up to this,
const ROUND_MS: u64 = 500;
/// and to this when it is more.
const ROUND_MORE_MS: u64 = 5000;

/// What is the same in every run of the same proxy.
pub(crate) fn outcome(
    mut outcome: Value,
    plan: &Plan,
    hosts: Hosts,
    undetermined: &[String],
) -> Value {
    walk("", &mut outcome, plan);
    match hosts {
        Hosts::Exact => {}
        Hosts::Order => by_order(&mut outcome),
        Hosts::Counts => by_counts(&mut outcome),
        Hosts::Any => each_host(&mut outcome, &mut |_| json!("any")),
    }
    diff::remove(&mut outcome, "", &|path| {
        undetermined.iter().any(|glob| diff::matches(glob, path))
    });
    outcome
}

fn walk(name: &str, value: &mut Value, plan: &Plan) {
    match value {
        Value::Object(map) => map.iter_mut().for_each(|(name, value)| walk(name, value, plan)),
        Value::Array(list) => list.iter_mut().for_each(|value| walk(name, value, plan)),
        Value::String(text) => *text = ports(&plan.named(&plain(name, text))),
        _ => {}
    }
}

/// A header's value without what nobody can foresee.
fn plain(name: &str, value: &str) -> String {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match name.to_ascii_lowercase().as_str() {
        "date" if value.ends_with("GMT") => "(date)".to_owned(),
        "x-request-id" if is_uuid(value) => "(uuid)".to_owned(),
        "x-envoy-upstream-service-time" if digits(value) => "(ms)".to_owned(),
        // A retry's is what is left of it: a little less, or on a busy machine more.
        "x-envoy-expected-rq-timeout-ms" if digits(value) => {
            let left: u64 = value.parse().unwrap_or_default();
            let step = if left > ROUND_MORE_MS { ROUND_MORE_MS } else { ROUND_MS };
            left.next_multiple_of(step).to_string()
        }
        _ => value.to_owned(),
    }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

/// The port of a client that got one from the system, which gives no lower ones.
fn ports(text: &str) -> String {
    const LOWEST: u32 = 30_000;
    let place = |host: &str| text.find(host).map(|at| at + host.len());
    let Some(at) = [place("127.0.0.1:"), place("IP:")].into_iter().flatten().min() else {
        return text.to_owned();
    };
    let (before, after) = text.split_at(at);
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    let port = &after[..after.len() - rest.len()];
    let is_given = port.parse::<u32>().is_ok_and(|port| port >= LOWEST);
    format!("{before}{}{}", if is_given { "(port)" } else { port }, ports(rest))
}

fn each_host(outcome: &mut Value, with: &mut dyn FnMut(&Value) -> Value) {
    for list in ["upstream", "log"] {
        for entry in outcome[list].as_array_mut().into_iter().flatten() {
            if entry["host"].is_string() {
                entry["host"] = with(&entry["host"]);
            }
        }
    }
}

fn by_order(outcome: &mut Value) {
    let mut order: Vec<Value> = Vec::new();
    each_host(outcome, &mut |host| {
        let at = order.iter().position(|other| other == host).unwrap_or_else(|| {
            order.push(host.clone());
            order.len() - 1
        });
        json!(format!("host {}", at + 1))
    });
}

fn by_counts(outcome: &mut Value) {
    let mut counts = Map::new();
    for request in outcome["upstream"].as_array().into_iter().flatten() {
        let host = request["host"].as_str().unwrap_or_default();
        let before = counts.get(host).and_then(Value::as_u64).unwrap_or_default();
        counts.insert(host.to_owned(), json!(before + 1));
    }
    each_host(outcome, &mut |_| json!("counted"));
    outcome["hosts"] = Value::Object(counts);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_can_foresee() {
        assert_eq!(plain("X-Request-Id", "2f0c1b1e-0000-4000-8000-00000000abcd"), "(uuid)");
        assert_eq!(plain("x-request-id", "mine"), "mine");
        assert_eq!(
            ports("IP:40000,127.0.0.1:50000 IP:10001"),
            "IP:(port),127.0.0.1:(port) IP:10001"
        );
    }

    #[test]
    fn hosts_in_the_order_in_which_they_come() {
        let mut outcome =
            json!({"upstream": [{"host": "b"}, {"host": "a"}], "log": [{"host": "b"}]});
        by_order(&mut outcome);
        assert_eq!(outcome["upstream"][1]["host"], "host 2");
        assert_eq!(outcome["log"][0]["host"], "host 1");
    }
}
