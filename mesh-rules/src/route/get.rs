//! `meshctl route get`.

use mesh_model::{
    Action, HeaderMatch, HttpMatch, PathMatch, StringMatch, TrafficRoute, ValueMatch,
};

use crate::{Meaning, Rule};

/// One route, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The rule's namespace.
    pub namespace: String,
    /// The service's name, with the namespace unless it is the rule's.
    pub service: String,
    /// Which requests it takes: `*`, or `header end-user = jason`.
    pub matches: String,
    /// Where they go: `v1 50%, v3 50%`.
    pub destinations: String,
}

/// The routes of `rules`, in their order.
pub fn get(rules: &[Rule]) -> Vec<Row> {
    let mut rows = Vec::new();
    for rule in rules {
        match &rule.meaning {
            Meaning::Route(route) => rows.extend(rows_of(route)),
            Meaning::Routes(routes) => rows.extend(routes.iter().flat_map(rows_of)),
            _ => {}
        }
    }
    rows
}

fn rows_of(route: &TrafficRoute) -> Vec<Row> {
    let hosts = route.hosts.iter();
    let rows = hosts.flat_map(|host| {
        route.http.iter().map(move |http| Row {
            namespace: route.name.namespace.clone(),
            service: short(host, &route.name.namespace),
            matches: any_of(&http.matches),
            destinations: action(&http.action, host),
        })
    });
    rows.collect()
}

/// `reviews`, or `reviews.shop` outside of its namespace.
fn short(host: &str, namespace: &str) -> String {
    let mut labels = host.split('.');
    match (labels.next(), labels.next(), labels.next()) {
        (Some(name), Some(own), Some("svc")) if own == namespace => name.to_owned(),
        (Some(name), Some(own), Some("svc")) => format!("{name}.{own}"),
        _ => host.to_owned(),
    }
}

fn any_of(matches: &[HttpMatch]) -> String {
    let texts: Vec<_> = matches.iter().map(all_of).collect();
    if texts.is_empty() { "*".to_owned() } else { texts.join(" or ") }
}

fn all_of(matcher: &HttpMatch) -> String {
    let mut parts = Vec::new();
    parts.extend(matcher.path.as_ref().map(path));
    parts.extend(matcher.method.as_ref().map(|method| text("method", method)));
    parts.extend(matcher.headers.iter().map(header));
    parts.extend(
        matcher.query.iter().map(|query| value(&format!("query {}", query.name), &query.value)),
    );
    parts.extend(matcher.port.map(|port| format!("port {port}")));
    if parts.is_empty() { "*".to_owned() } else { parts.join(" and ") }
}

fn path(matcher: &PathMatch) -> String {
    match matcher {
        PathMatch::Exact(path) => format!("path = {path}"),
        PathMatch::Prefix(path) => format!("path = {path}*"),
        PathMatch::Segments(path) => format!("path = {path} or {path}/*"),
        PathMatch::Regex(regex) => format!("path ~ {regex}"),
    }
}

fn header(header: &HeaderMatch) -> String {
    let not = if header.invert { "not " } else { "" };
    let what = format!("{not}header {}", header.name);
    value(&what, &header.value)
}

fn value(what: &str, matcher: &ValueMatch) -> String {
    match matcher {
        ValueMatch::Present => what.to_owned(),
        ValueMatch::Is(value) => text(what, value),
    }
}

fn text(what: &str, matcher: &StringMatch) -> String {
    match matcher {
        StringMatch::Exact(value) => format!("{what} = {value}"),
        StringMatch::Prefix(value) => format!("{what} = {value}*"),
        StringMatch::Regex(regex) => format!("{what} ~ {regex}"),
    }
}

fn action(action: &Action, host: &str) -> String {
    match action {
        Action::Redirect(to) => format!(
            "redirect {} to {}{}{}{}",
            to.code,
            to.scheme.as_ref().map_or_else(String::new, |scheme| format!("{scheme}://")),
            to.authority.as_deref().unwrap_or_default(),
            to.port.map_or_else(String::new, |port| format!(":{port}")),
            to.path.as_deref().unwrap_or_default()
        ),
        Action::Forward { destinations, .. } => {
            let total: u32 = destinations.iter().map(|destination| destination.weight).sum();
            let share = |weight: u32| f64::from(weight) * 100.0 / f64::from(total.max(1));
            let texts = destinations.iter().map(|destination| {
                let subset = destination.subset.as_deref().unwrap_or("all versions");
                let name = match destination.host == host {
                    true => subset.to_owned(),
                    false => format!("{} {subset}", destination.host),
                };
                format!("{name} {}%", (share(destination.weight) * 10.0).round() / 10.0)
            });
            texts.collect::<Vec<_>>().join(", ")
        }
    }
}
