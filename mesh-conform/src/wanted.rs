//! The differences that we want, each with its reason.

use std::cell::Cell;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::case::OneOrMore;

/// One entry of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// `AREA/NAME`, one or more.
    case: OneOrMore<String>,
    /// The paths that differ, each of them in each of the cases.
    differs: Vec<String>,
    /// Why it is better so.
    reason: String,
}

/// One path that differs in one case.
#[derive(Debug)]
pub(crate) struct Wanted {
    case: String,
    path: String,
    reason: String,
    /// Whether it did.
    used: Cell<bool>,
    /// Whether its case has run.
    ran: Cell<bool>,
}

/// Reads the list.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read(file: &Path) -> Result<Vec<Wanted>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    parse(&text).with_context(|| file.display().to_string())
}

fn parse(text: &str) -> Result<Vec<Wanted>> {
    let entries: Vec<Entry> = mesh_yaml::read(text)?;
    let mut list = Vec::new();
    for Entry { case, differs, reason } in entries {
        for case in case.into_vec() {
            list.extend(differs.iter().map(|path| Wanted {
                case: case.clone(),
                path: path.clone(),
                reason: reason.clone(),
                used: Cell::new(false),
                ran: Cell::new(false),
            }));
        }
    }
    Ok(list)
}

/// Why this difference is wanted, if it is.
pub(crate) fn reason<'a>(list: &'a [Wanted], case: &str, path: &str) -> Option<&'a str> {
    let wanted = list.iter().find(|wanted| wanted.case == case && wanted.path == path)?;
    wanted.used.set(true);
    Some(&wanted.reason)
}

/// Says that a case has run.
pub(crate) fn ran(list: &[Wanted], case: &str) {
    list.iter().filter(|wanted| wanted.case == case).for_each(|wanted| wanted.ran.set(true));
}

/// What does not differ any more, as cases and paths: of the cases that have run, or of
/// `all`.
pub(crate) fn stale(list: &[Wanted], all: bool) -> Vec<String> {
    let judged = list.iter().filter(|wanted| all || wanted.ran.get());
    let unused = judged.filter(|wanted| !wanted.used.get());
    unused.map(|Wanted { case, path, .. }| format!("{case}: {path}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Vec<Wanted> {
        let text =
            "[{case: [wire/a, wire/b], differs: ['log[0].flags', stats.x], reason: stricter}]";
        parse(text).unwrap()
    }

    #[test]
    fn what_no_longer_differs_is_told() {
        let list = list();
        assert!(stale(&list, false).is_empty(), "no case has run");
        ran(&list, "wire/a");
        assert_eq!(reason(&list, "wire/a", "log[0].flags"), Some("stricter"));
        assert_eq!(reason(&list, "wire/a", "log[0].host"), None);
        assert_eq!(reason(&list, "wire/c", "log[0].flags"), None);
        assert_eq!(stale(&list, false), ["wire/a: stats.x"]);
    }

    #[test]
    fn a_case_that_is_gone_is_told_when_all_have_run() {
        assert_eq!(stale(&list(), true).len(), 4);
    }
}
