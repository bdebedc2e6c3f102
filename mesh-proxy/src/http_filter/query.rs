//! Changes of a request's query.

use std::collections::BTreeMap;

use http::Uri;

use crate::config::{AppendAction, QueryMutation};
use crate::formatter;
use crate::router::Stream;

/// The parameters of a query, by name: Envoy writes them in this order.
type Parameters = BTreeMap<String, Vec<String>>;

/// Changes the parameters of the request's query.
pub(super) fn change(stream: &mut Stream, mutations: &[QueryMutation]) {
    let Some(target) = stream.head.uri.path_and_query().filter(|_| !mutations.is_empty()) else {
        return;
    };
    let mut parameters = parsed(target.query().unwrap_or_default());
    for mutation in mutations {
        match mutation {
            QueryMutation::Remove(name) => _ = parameters.remove(name),
            QueryMutation::Set { name, value, action } => {
                let mut text = Vec::new();
                formatter::text(value, &stream.record(), "", &mut text);
                let value = String::from_utf8_lossy(&text).into_owned();
                set(&mut parameters, name, value, *action);
            }
        }
    }
    let changed = format!("{}{}", target.path(), written(&parameters));
    // What does not fit into a path changes nothing.
    if let Ok(uri) = Uri::try_from(changed) {
        stream.head.uri = uri;
    }
}

fn set(parameters: &mut Parameters, name: &str, value: String, action: AppendAction) {
    let is_there = parameters.contains_key(name);
    match action {
        AppendAction::Append => {}
        AppendAction::AddIfAbsent if is_there => return,
        AppendAction::Overwrite if !is_there => return,
        AppendAction::AddIfAbsent => {}
        AppendAction::Set | AppendAction::Overwrite => _ = parameters.remove(name),
    }
    parameters.entry(name.to_owned()).or_default().push(value);
}

fn parsed(query: &str) -> Parameters {
    let mut parameters = Parameters::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        parameters.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    parameters
}

fn written(parameters: &Parameters) -> String {
    let pairs = parameters.iter().flat_map(|(name, values)| values.iter().map(move |v| (name, v)));
    let pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_changed_one_by_one() {
        use AppendAction::{AddIfAbsent, Append, Overwrite, Set};
        let mut parameters = parsed("b=2&a=1&b=3&flag");
        for (name, value, action) in [
            ("a", "2", Append),
            ("b", "4", Set),
            ("c", "1", AddIfAbsent),
            ("c", "2", AddIfAbsent),
            ("d", "1", Overwrite),
            ("flag", "x", Overwrite),
        ] {
            set(&mut parameters, name, value.to_owned(), action);
        }
        assert_eq!(written(&parameters), "?a=1&a=2&b=4&c=1&flag=x");
        assert_eq!(written(&parsed("")), "");
    }
}
