//! What two outcomes differ in, by path, and patterns of paths.

use serde_json::Value;

/// A place where two values are not the same.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    /// Such as `requests[0].responses[0].headers.server`.
    pub(crate) path: String,
    /// `None` where there is nothing.
    pub(crate) envoy: Option<Value>,
    pub(crate) mesh_proxy: Option<Value>,
}

/// Every place, the deepest ones.
pub(crate) fn diff(envoy: &Value, mesh_proxy: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), Some(envoy), Some(mesh_proxy), &mut found);
    found
}

fn compare(path: String, left: Option<&Value>, right: Option<&Value>, found: &mut Vec<Difference>) {
    match (left, right) {
        (Some(Value::Object(left)), Some(Value::Object(right))) => {
            let more = right.keys().filter(|name| !left.contains_key(*name));
            for name in left.keys().chain(more) {
                compare(field(&path, name), left.get(name), right.get(name), found);
            }
        }
        (Some(Value::Array(left)), Some(Value::Array(right))) => {
            for index in 0..left.len().max(right.len()) {
                compare(item(&path, index), left.get(index), right.get(index), found);
            }
        }
        (left, right) if left != right => {
            found.push(Difference { path, envoy: left.cloned(), mesh_proxy: right.cloned() })
        }
        _ => {}
    }
}

fn field(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// Takes away what lies at paths for which `is_out` holds.
pub(crate) fn remove(value: &mut Value, path: &str, is_out: &dyn Fn(&str) -> bool) {
    match value {
        Value::Object(map) => {
            map.retain(|name, _| !is_out(&field(path, name)));
            map.iter_mut().for_each(|(name, value)| remove(value, &field(path, name), is_out));
        }
        Value::Array(list) => {
            for (index, value) in list.iter_mut().enumerate() {
                remove(value, &item(path, index), is_out);
            }
        }
        _ => {}
    }
}

/// Whether a pattern takes the whole text: `*` stands for anything.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            starts.into_iter().any(|at| matches(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_deepest_places() {
        let left = json!({"a": [1, {"b": 2}], "same": true});
        let right = json!({"same": true, "a": [1, {"b": 3}, 4]});
        let found = diff(&left, &right);
        let paths: Vec<&str> = found.iter().map(|one| &*one.path).collect();
        assert_eq!(paths, ["a[1].b", "a[2]"]);
        assert_eq!(found[1].envoy, None);
        assert_eq!(diff(&left, &left), []);
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("log[0].flags", "log[0].flags", true),
            ("log[*].flags", "log[12].flags", true),
            ("log*", "log[0].flags", true),
            ("*.flags", "log[0].flags", true),
            ("log[*].flag", "log[0].flags", false),
            ("flags", "log[0].flags", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_taken_away() {
        let mut value = json!({"log": [{"sent": 1, "flags": "-"}]});
        remove(&mut value, "", &|path| matches("log[*].sent", path));
        assert_eq!(value, json!({"log": [{"flags": "-"}]}));
    }
}
