//! Keeps private keys out of what the pages show.

use serde_json::Value;

const REDACTED: &str = "[redacted]";
/// The same in base64, for fields of bytes; as Envoy writes it.
const REDACTED_BYTES: &str = "W3JlZGFjdGVkXQ==";

/// The fields that hold secrets (`udpa.annotations.sensitive` in Envoy's messages).
const SECRET: [&str; 5] =
    ["private_key", "pkcs12", "password", "session_ticket_keys", "generic_secret"];

/// Replaces all that is secret in a message written as JSON.
pub(super) fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if SECRET.contains(&name.as_str()) { blank(value) } else { redact(value) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

/// Replaces every text of a secret field.
fn blank(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "inline_bytes" => {
                        REDACTED_BYTES.clone_into(text);
                    }
                    value => blank(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(blank),
        Value::String(text) => REDACTED.clone_into(text),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_not_shown_wherever_they_stand() {
        let mut value = json!({"a": [{"private_key": {"inline_string": "k"}, "certificate_chain": {"inline_string": "c"}},
            {"private_key": {"inline_bytes": "aw=="}}], "generic_secret": {"secret": {"filename": "f"}}});
        redact(&mut value);
        let expected = json!({"a": [{"private_key": {"inline_string": "[redacted]"}, "certificate_chain": {"inline_string": "c"}},
            {"private_key": {"inline_bytes": "W3JlZGFjdGVkXQ=="}}], "generic_secret": {"secret": {"filename": "[redacted]"}}});
        assert_eq!(value, expected);
    }
}
