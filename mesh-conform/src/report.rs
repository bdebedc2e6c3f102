//! What is printed.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::area::Outcome;
use crate::wanted::{self, Wanted};

/// Texts longer than this are cut.
const WIDTH: usize = 400;

/// All areas that have run so far.
#[derive(Default)]
pub(crate) struct Report {
    areas: Vec<Value>,
    differences: Vec<Value>,
    cases: usize,
    unlisted: usize,
}

impl Report {
    /// Takes an area in, and gives what is printed of it: a line, and what differs.
    pub(crate) fn area(
        &mut self,
        name: &str,
        outcomes: &[Outcome],
        took: Duration,
        list: &[Wanted],
    ) -> String {
        let (mut different, mut listed) = (0, 0);
        let mut details = String::new();
        for outcome in outcomes {
            wanted::ran(list, &outcome.case);
            let unlisted = self.case(outcome, list, &mut details);
            different += usize::from(unlisted > 0);
            listed += usize::from(unlisted == 0 && !outcome.differences.is_empty());
        }
        let cases = outcomes.len();
        self.cases += cases;
        self.unlisted += different;
        let seconds = took.as_secs_f64();
        self.areas.push(json!({
            "area": name, "cases": cases, "different": different, "wanted": listed,
            "seconds": (seconds * 10.0).round() / 10.0,
        }));
        format!(
            "{name:24} {cases:3} cases  {different:3} different  {listed:3} differ as wanted  \
             {seconds:5.1} s\n{details}"
        )
    }

    /// How many of the case's differences are not listed.
    fn case(&mut self, outcome: &Outcome, list: &[Wanted], details: &mut String) -> usize {
        let mut unlisted = 0;
        for difference in &outcome.differences {
            let reason = wanted::reason(list, &outcome.case, &difference.path);
            self.differences.push(json!({
                "case": outcome.case, "path": difference.path, "envoy": difference.envoy,
                "mesh_proxy": difference.mesh_proxy, "wanted": reason,
            }));
            if reason.is_some() {
                continue;
            }
            unlisted += 1;
            if unlisted == 1 {
                let _ = writeln!(details, "  {}", outcome.case);
            }
            let _ = writeln!(details, "    {}", difference.path);
            let _ = writeln!(details, "      Envoy       {}", shown(difference.envoy.as_ref()));
            let _ =
                writeln!(details, "      mesh-proxy  {}", shown(difference.mesh_proxy.as_ref()));
        }
        if unlisted > 0 {
            for (kind, said) in &outcome.refusals {
                let _ = writeln!(details, "    {} said: {}", kind.name(), said.trim());
            }
        }
        unlisted
    }

    /// The last lines, and whether all is as it should be.
    pub(crate) fn end(&self, stale: &[String]) -> (String, bool) {
        let mut text = format!("{} cases, {} different", self.cases, self.unlisted);
        for entry in stale {
            let _ = write!(text, "\nlisted as wanted, but no longer different: {entry}");
        }
        (text, self.unlisted == 0 && stale.is_empty())
    }

    pub(crate) fn json(&self, stale: &[String]) -> Value {
        json!({
            "cases": self.cases,
            "different": self.unlisted,
            "areas": self.areas,
            "differences": self.differences,
            "no_longer_different": stale,
        })
    }
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "(nothing)".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff;

    #[test]
    fn an_unlisted_difference_is_shown_and_counted() {
        let (envoy, mesh_proxy) = (json!({"status": 200}), json!({"status": 404}));
        let outcome = Outcome {
            case: "a/b".to_owned(),
            differences: diff::diff(&envoy, &mesh_proxy),
            envoy,
            mesh_proxy,
            refusals: Vec::new(),
        };
        let mut report = Report::default();
        let text = report.area("a", &[outcome], Duration::from_secs(1), &[]);
        assert!(text.contains("1 different") && text.contains("mesh-proxy  404"), "{text}");
        assert!(!report.end(&[]).1);
    }
}
