//! The differences that we want, each with its reason.

use std::cell::Cell;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::diff;

/// One entry of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// `AREA/NAME`, or a pattern with `*`.
    pub(crate) case: String,
    /// Patterns of the paths that differ; each of them must.
    pub(crate) differs: Vec<String>,
    /// Why it is better so.
    pub(crate) reason: String,
    /// Which of the patterns have been of use.
    #[serde(skip)]
    used: Vec<Cell<bool>>,
    /// Whether a case of it has run.
    #[serde(skip)]
    ran: Cell<bool>,
}

/// Reads the list.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read(file: &Path) -> Result<Vec<Wanted>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut list: Vec<Wanted> =
        mesh_yaml::read(&text).with_context(|| file.display().to_string())?;
    for wanted in &mut list {
        wanted.used = vec![Cell::new(false); wanted.differs.len()];
    }
    Ok(list)
}

/// Why this difference is wanted, if it is.
pub(crate) fn reason<'a>(list: &'a [Wanted], case: &str, path: &str) -> Option<&'a str> {
    let mut reason = None;
    for wanted in list.iter().filter(|wanted| diff::matches(&wanted.case, case)) {
        for (pattern, used) in wanted.differs.iter().zip(&wanted.used) {
            if diff::matches(pattern, path) {
                used.set(true);
                reason = Some(&*wanted.reason);
            }
        }
    }
    reason
}

/// Says that a case has run.
pub(crate) fn ran(list: &[Wanted], case: &str) {
    for wanted in list.iter().filter(|wanted| diff::matches(&wanted.case, case)) {
        wanted.ran.set(true);
    }
}

/// Patterns by which nothing differs any more, with their cases. An entry for many cases
/// counts only when `all` have run.
pub(crate) fn stale(list: &[Wanted], all: bool) -> Vec<String> {
    let judged =
        list.iter().filter(|wanted| all || (wanted.ran.get() && !wanted.case.contains('*')));
    let patterns = judged.flat_map(|wanted| {
        let unused = wanted.differs.iter().zip(&wanted.used).filter(|(_, used)| !used.get());
        unused.map(|(pattern, _)| format!("{}: {pattern}", wanted.case))
    });
    patterns.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Vec<Wanted> {
        let one = Wanted {
            case: "wire/a".to_owned(),
            differs: vec!["log*".to_owned(), "stats.x".to_owned()],
            reason: "stricter".to_owned(),
            used: vec![Cell::new(false), Cell::new(false)],
            ran: Cell::new(false),
        };
        vec![one]
    }

    #[test]
    fn what_no_longer_differs_is_told() {
        let list = list();
        assert!(stale(&list, false).is_empty(), "the case has not run");
        ran(&list, "wire/a");
        assert_eq!(reason(&list, "wire/a", "log[0].flags"), Some("stricter"));
        assert_eq!(reason(&list, "wire/b", "log[0].flags"), None);
        assert_eq!(stale(&list, false), ["wire/a: stats.x"]);
    }

    #[test]
    fn a_case_that_is_gone_is_told_when_all_have_run() {
        assert_eq!(stale(&list(), true).len(), 2);
    }
}
