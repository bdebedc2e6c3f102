//! `/logging`: what the program's parts log, and changing it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mesh_runtime::telemetry::Levels;

use super::query::Query;

/// The program's parts, and the crates below that have something to say.
const LOGGERS: [(&str, &str); 23] = [
    ("access_log", "mesh_proxy::access_log"),
    ("admin", "mesh_proxy::admin"),
    ("cluster", "mesh_proxy::cluster"),
    ("codec", "mesh_proxy::codec"),
    ("h2", "h2"),
    ("hot_restart", "mesh_proxy::hot_restart"),
    ("http", "mesh_proxy::network::http_connection_manager"),
    ("http_filter", "mesh_proxy::http_filter"),
    ("hyper", "hyper"),
    ("listener", "mesh_proxy::listener"),
    ("load_balancer", "mesh_proxy::load_balancer"),
    ("mesh_xds", "mesh_xds"),
    ("pool", "mesh_proxy::pool"),
    ("router", "mesh_proxy::router"),
    ("routes", "mesh_proxy::routes"),
    ("rustls", "rustls"),
    ("secrets", "mesh_proxy::secrets"),
    ("server", "mesh_proxy::server"),
    ("tcp_proxy", "mesh_proxy::network::tcp_proxy"),
    ("tonic", "tonic"),
    ("transport", "mesh_proxy::transport"),
    ("worker", "mesh_proxy::worker"),
    ("xds", "mesh_proxy::xds"),
];

const USAGE: &str = "\
usage: /logging?<name>=<level> (change single level)
usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)
usage: /logging?level=<level> (change all levels)
levels: trace debug info warning error critical off\n";

/// The page after a change. The error is a page, too.
pub(super) fn page(levels: &Levels, query: &Query) -> Result<String, String> {
    let changed = change(&levels.current(), query)
        .and_then(|to| to.map_or(Ok(()), |to| levels.set(&to).map_err(|error| error.to_string())));
    let list = list(&levels.current());
    match changed {
        Ok(()) => Ok(list),
        Err(error) => Err(format!("error: {error}\n\n{USAGE}{list}")),
    }
}

/// The levels that are to be in force; `None` when nothing is asked for.
fn change(current: &str, query: &Query) -> Result<Option<String>, String> {
    match query.only()? {
        None => Ok(None),
        Some(("level", level)) => Ok(Some(ours(level)?.to_owned())),
        Some(("paths", paths)) => {
            let pairs = paths.split(',').map(|pair| {
                pair.split_once(':').ok_or_else(|| format!("expected name:level, found {pair:?}"))
            });
            changed(current, &pairs.collect::<Result<Vec<_>, _>>()?).map(Some)
        }
        Some(pair) => changed(current, &[pair]).map(Some),
    }
}

/// The current levels with those of some loggers replaced.
fn changed(current: &str, pairs: &[(&str, &str)]) -> Result<String, String> {
    // Of each target the last one counts.
    let mut all: BTreeMap<&str, &str> = directives(current).collect();
    for (name, level) in pairs {
        let found = LOGGERS.iter().find(|(known, _)| known == name);
        let (_, target) = found.ok_or("unknown logger name")?;
        all.insert(target, ours(level)?);
    }
    let all: Vec<String> = all
        .into_iter()
        .map(|(target, level)| match target {
            "" => level.to_owned(),
            target => format!("{target}={level}"),
        })
        .collect();
    Ok(all.join(","))
}

/// The targets and their levels; that of the rest has none.
fn directives(levels: &str) -> impl Iterator<Item = (&str, &str)> {
    levels.split(',').map(|directive| match directive.split_once('=') {
        Some((target, level)) => (target, level),
        None => ("", ours(directive).unwrap_or(directive)),
    })
}

/// The level by tracing's names.
fn ours(level: &str) -> Result<&str, String> {
    match level {
        "trace" | "debug" | "info" | "error" | "off" | "warn" => Ok(level),
        "warning" => Ok("warn"),
        "critical" => Ok("error"),
        _ => Err("unknown logger level".to_owned()),
    }
}

fn list(levels: &str) -> String {
    let mut page = "active loggers:\n".to_owned();
    for (name, target) in LOGGERS {
        let is_above = |above: &str| {
            target
                .strip_prefix(above)
                .is_some_and(|rest| above.is_empty() || rest.is_empty() || rest.starts_with("::"))
        };
        let found = directives(levels).filter(|(above, _)| is_above(above));
        let level = found.max_by_key(|(above, _)| above.len()).map_or("error", |(_, level)| level);
        let level = if level == "warn" { "warning" } else { level };
        // Writing to a String cannot fail.
        let _ = writeln!(page, "  {name}: {level}");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::new(Some(text.to_owned()))
    }

    #[test]
    fn one_several_or_all_levels_change() {
        let after = |current: &str, asked: &str| change(current, &query(asked)).unwrap().unwrap();
        assert_eq!(after("info", "pool=debug"), "info,mesh_proxy::pool=debug");
        assert_eq!(
            after("info,mesh_proxy::pool=debug", "paths=pool:warning,h2:trace"),
            "info,h2=trace,mesh_proxy::pool=warn"
        );
        assert_eq!(after("info,h2=trace", "level=critical"), "error");
        assert_eq!(change("info", &query("")), Ok(None));
        for (asked, error) in [
            ("nope=debug", "unknown logger name"),
            ("pool=loud", "unknown logger level"),
            ("level=loud", "unknown logger level"),
            ("pool=info&h2=info", "invalid number of parameters"),
            ("paths=pool", "expected name:level, found \"pool\""),
        ] {
            assert_eq!(change("info", &query(asked)).unwrap_err(), error);
        }
    }

    #[test]
    fn the_nearest_target_says_a_loggers_level() {
        let list = list("warning,mesh_proxy=debug,mesh_proxy::pool=trace,h2=off");
        for line in ["  pool: trace", "  router: debug", "  hyper: warning", "  h2: off"] {
            assert!(list.lines().any(|found| found == line), "{line} in\n{list}");
        }
    }
}
