//! Reading and growing a JSON tree. A null counts as absent: YAML makes one of `labels:`
//! with nothing behind it.

use serde_json::{Map, Value};

use crate::Error;

pub(crate) type Object = Map<String, Value>;

/// `value` as an object, made when absent.
pub(crate) fn object<'a>(value: &'a mut Value, path: &str) -> Result<&'a mut Object, Error> {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    let found = describe(value);
    value.as_object_mut().ok_or_else(|| Error::field(path, found, "a map"))
}

/// `parent[key]` as an object, made when absent.
pub(crate) fn object_at<'a>(
    parent: &'a mut Object,
    key: &str,
    path: &str,
) -> Result<&'a mut Object, Error> {
    object(parent.entry(key).or_insert(Value::Null), path)
}

/// `parent[key]` as a list, made when absent.
pub(crate) fn list_at<'a>(
    parent: &'a mut Object,
    key: &str,
    path: &str,
) -> Result<&'a mut Vec<Value>, Error> {
    let value = parent.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Array(Vec::new());
    }
    let found = describe(value);
    value.as_array_mut().ok_or_else(|| Error::field(path, found, "a list"))
}

/// The value at a path of keys; none when a step is missing or null.
pub(crate) fn get<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().try_fold(value, |value, key| value.get(key)).filter(|value| !value.is_null())
}

/// The text at a path of keys.
pub(crate) fn text<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a str> {
    get(value, keys)?.as_str()
}

/// As text, the same for every order of keys: the API server has another one than users.
pub(crate) fn sorted_text(value: &Value) -> String {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    sorted.to_string()
}

/// What an error calls the value.
pub(crate) fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "missing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
