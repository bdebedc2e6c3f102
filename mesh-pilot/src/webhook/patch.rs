//! From what an object was to what it shall be, as a JSON Patch.

use serde_json::{Map, Value, json};

/// Operations on the fields of one part of the object, such as `spec`. Each is replaced as a
/// whole: the API server applies them to just this object, so that nobody's change is lost.
pub(super) fn patch(part: &str, before: &Value, after: &Value) -> Vec<Value> {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => changes(part, old, new),
        _ if before == after => Vec::new(),
        // Adding takes the place of what is there (RFC 6902, section 4.1).
        _ => vec![json!({"op": "add", "path": format!("/{part}"), "value": after})],
    }
}

fn changes(part: &str, old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<Value> {
    let path = |field: &str| format!("/{part}/{}", field.replace('~', "~0").replace('/', "~1"));
    let gone = old.keys().filter(|field| !new.contains_key(*field));
    let gone = gone.map(|field| json!({"op": "remove", "path": path(field)}));
    let changed = new.iter().filter(|(field, value)| old.get(*field) != Some(*value));
    let changed =
        changed.map(|(field, value)| json!({"op": "add", "path": path(field), "value": value}));
    gone.chain(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_written() {
        let before = json!({"containers": [1], "a/b": true, "same": {"deep": []}});
        let after = json!({"containers": [1, 2], "same": {"deep": []}, "c~d": {}});
        assert_eq!(
            patch("spec", &before, &after),
            [
                json!({"op": "remove", "path": "/spec/a~1b"}),
                json!({"op": "add", "path": "/spec/containers", "value": [1, 2]}),
                json!({"op": "add", "path": "/spec/c~0d", "value": {}}),
            ]
        );
        assert!(patch("spec", &before, &before).is_empty());
    }

    #[test]
    fn a_part_that_is_missing_is_made() {
        let patch = patch("metadata", &Value::Null, &json!({"a": 1}));
        assert_eq!(patch, [json!({"op": "add", "path": "/metadata", "value": {"a": 1}})]);
    }
}
