//! What mesh-load's report says of failures, in short.

use serde_json::{Value, json};

/// A line for each kind of clients with failures: how many of which kind, and the first one.
pub(crate) fn failures(report: &Value) -> String {
    let clients = report["clients"].as_array().into_iter().flatten();
    let failed = clients.filter(|client| client["failures"] != json!({}));
    let line = |client: &Value| {
        let (name, failures, first) = (&client["name"], &client["failures"], &client["told"][0]);
        format!("{name}: {failures}, the first at {} ms: {}", first["at_ms"], first["what"])
    };
    failed.map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_that_failed_have_a_line() {
        let report = json!({"clients": [
            {"name": "good", "failures": {}, "told": []},
            {"name": "bad", "failures": {"timeout": 2}, "told": [{"at_ms": 7, "what": "late"}]},
        ]});
        let line = r#""bad": {"timeout":2}, the first at 7 ms: "late""#;
        assert_eq!(failures(&report), line);
    }
}
