//! `--set a.b=1,c=x`, as Helm reads it.

use serde_json::{Map, Value};

/// What [`parse`] does not understand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--set {text}: {message}")]
pub struct SetError {
    /// What was typed.
    pub text: String,
    /// What was expected.
    pub message: String,
}

/// Values to be laid over others. `true`, `false`, `null` and whole numbers are what they look
/// like, `{a,b}` is a list, everything else a text. `\` before `,`, `.`, `=` or `\` takes
/// its meaning away.
///
/// # Errors
/// Says what was expected.
pub fn parse(text: &str) -> Result<Value, SetError> {
    let fail = |message: &str| SetError { text: text.to_owned(), message: message.to_owned() };
    let mut values = Value::Object(Map::new());
    for part in split(text, ',') {
        let Some((path, value)) = split_once(part, '=') else {
            return Err(fail("expected PATH=VALUE, such as pilot.replicas=3"));
        };
        let keys: Vec<String> = split(path, '.').into_iter().map(unescape).collect();
        if keys.iter().any(String::is_empty) {
            return Err(fail("a name is missing"));
        }
        if path.ends_with(']') {
            return Err(fail("items of a list cannot be set; give the list, as {a,b}, or a file"));
        }
        let mut at = &mut values;
        for key in keys {
            if !at.is_object() {
                return Err(fail("a value is set, and something inside of it as well"));
            }
            at = &mut at[key];
            if at.is_null() {
                *at = Value::Object(Map::new());
            }
        }
        *at = typed(value);
    }
    Ok(values)
}

fn typed(text: &str) -> Value {
    if let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let items = if inner.is_empty() { Vec::new() } else { split(inner, ',') };
        return items.into_iter().map(typed).collect();
    }
    let is_number = text == "0" || !text.trim_start_matches('-').starts_with('0');
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        _ => match text.parse::<i64>() {
            Ok(number) if is_number => Value::from(number),
            _ => Value::from(unescape(text)),
        },
    }
}

/// At `by` outside of braces, where no `\` is before it.
fn split(text: &str, by: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((part, after)) = split_once(rest, by) {
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

fn split_once(text: &str, by: char) -> Option<(&str, &str)> {
    let (mut depth, mut escaped) = (0, false);
    for (index, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if char == by && depth == 0 => {
                return Some((&text[..index], &text[index + char.len_utf8()..]));
            }
            _ => {}
        }
    }
    None
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        out.push(if char == '\\' { chars.next().unwrap_or('\\') } else { char });
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_typed_and_nested() {
        for (text, expected) in [
            ("a.b=1,a.c=x", json!({"a": {"b": 1, "c": "x"}})),
            ("a=true,b=null,c=", json!({"a": true, "b": null, "c": ""})),
            ("a={x,1}", json!({"a": ["x", 1]})),
            ("tag=1.10", json!({"tag": "1.10"})),
            ("tag=010", json!({"tag": "010"})),
            (r"n.prometheus\.io/port=1\,2", json!({"n": {"prometheus.io/port": "1,2"}})),
            ("x=a=b", json!({"x": "a=b"})),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_says_what_was_expected() {
        for (text, expected) in [
            ("a", "PATH=VALUE"),
            ("a..b=1", "a name is missing"),
            ("a[0]=1", "list"),
            ("a=1,a.b=2", "inside of it"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(text), "{error}");
        }
    }
}
