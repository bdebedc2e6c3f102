//! The functions that templates may call. They do what Helm's of the same name do.

use aws_lc_rs::digest;
use serde_json::Value;

/// Calls `name`; an error says what it expected.
pub(super) fn call(name: &str, arguments: Vec<Value>) -> Result<Value, String> {
    match (name, &arguments[..]) {
        ("quote", [value]) => Ok(Value::from(go_quoted(&text(value)?))),
        ("toYaml", [value]) => {
            let yaml = mesh_yaml::write(&sorted(value)).map_err(|error| error.to_string())?;
            Ok(Value::from(yaml.trim_end()))
        }
        ("sha256sum", [value]) => Ok(Value::from(sha256sum(&text(value)?))),
        ("indent", [Value::Number(by), value]) => Ok(Value::from(indent(by, &text(value)?))),
        ("nindent", [Value::Number(by), value]) => {
            Ok(Value::from(format!("\n{}", indent(by, &text(value)?))))
        }
        ("default", [default, value]) => {
            Ok(if is_empty(value) { default.clone() } else { value.clone() })
        }
        ("eq", [one, others @ ..]) if !others.is_empty() => {
            Ok(Value::from(others.iter().any(|other| other == one)))
        }
        ("ne", [one, other]) => Ok(Value::from(one != other)),
        ("not", [value]) => Ok(Value::from(is_empty(value))),
        ("and", [.., last]) => {
            Ok(arguments.iter().find(|value| is_empty(value)).unwrap_or(last).clone())
        }
        ("or", [.., last]) => {
            Ok(arguments.iter().find(|value| !is_empty(value)).unwrap_or(last).clone())
        }
        (
            "quote" | "toYaml" | "indent" | "nindent" | "default" | "eq" | "ne" | "not" | "and"
            | "or" | "sha256sum",
            _,
        ) => Err(format!("{name} does not take these {} arguments", arguments.len())),
        _ => Err(format!(
            "there is no function {name:?}; those of the subset are quote, toYaml, indent, \
             nindent, default, eq, ne, not, and, or, sha256sum, include"
        )),
    }
}

/// In hexadecimal.
fn sha256sum(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Go's idea of false: nothing, zero, and what has nothing in it.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// A value as it is printed. Helm prints nothing for null, and Go's inner form of lists and
/// maps; neither is ever what a template wants.
pub(super) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Null => Err("there is no such value".to_owned()),
        Value::Array(_) => Err("a list needs toYaml".to_owned()),
        Value::Object(_) => Err("a map needs toYaml".to_owned()),
    }
}

fn indent(by: &serde_json::Number, text: &str) -> String {
    let spaces =
        " ".repeat(by.as_u64().and_then(|by| usize::try_from(by).ok()).unwrap_or_default());
    format!("{spaces}{}", text.replace('\n', &format!("\n{spaces}")))
}

/// With the names of maps in order, as Go writes them.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(fields) => {
            let mut names: Vec<_> = fields.keys().collect();
            names.sort();
            names.into_iter().map(|name| (name.clone(), sorted(&fields[name]))).collect()
        }
        plain => plain.clone(),
    }
}

/// As Go's %q does it, which YAML reads back.
fn go_quoted(text: &str) -> String {
    Value::from(text).to_string()
}
