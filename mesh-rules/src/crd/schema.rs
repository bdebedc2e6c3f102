//! A type's fields as a Kubernetes API server wants them: a structural schema, which
//! `kubectl explain` shows.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The schema of a rule's spec. Of fields that we know it has type and meaning; what else there
/// may be passes, and must reach us to be refused by name.
pub(super) fn of<S: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    structural(settings.into_generator().into_root_schema_for::<S>().as_value())
}

/// With nothing in it but what a structural schema may have.
fn structural(schema: &Value) -> Value {
    let is_null = |value: &Value| value == "null";
    // An `Option`: one of them is `null`.
    let either = schema.get("anyOf").and_then(Value::as_array);
    let inner = either.and_then(|all| all.iter().find(|one| !is_null(&one["type"])));
    let inner = inner.unwrap_or(schema);
    let types: Vec<&Value> = match &inner["type"] {
        Value::Array(types) => types.iter().collect(),
        one => vec![one],
    };
    let nullable = either.is_some() || types.iter().any(|one| is_null(one));
    let kind = types.iter().filter_map(|one| one.as_str()).find(|one| *one != "null");
    let kind = kind.unwrap_or("object");

    let mut made = Map::new();
    let description = schema.get("description").or_else(|| inner.get("description"));
    if let Some(text) = description.and_then(Value::as_str) {
        made.insert("description".to_owned(), plain(text).into());
    }
    made.insert("type".to_owned(), kind.into());
    if nullable {
        made.insert("nullable".to_owned(), true.into());
    }
    match kind {
        "array" => {
            made.insert("items".to_owned(), structural(&inner["items"]));
        }
        "object" => made.extend(object(inner)),
        _ => {}
    }
    Value::Object(made)
}

fn object(schema: &Value) -> Map<String, Value> {
    let fields = schema.get("properties").and_then(Value::as_object);
    let values = schema.get("additionalProperties").filter(|values| values.is_object());
    let made = match (fields, values) {
        (None, Some(values)) => json!({"additionalProperties": structural(values)}),
        (fields, _) => {
            let fields = fields.into_iter().flatten();
            let fields: Map<_, _> =
                fields.map(|(name, field)| (name.clone(), structural(field))).collect();
            json!({"x-kubernetes-preserve-unknown-fields": true, "properties": fields})
        }
    };
    made.as_object().cloned().unwrap_or_default()
}

/// A doc comment in one line, without its links.
fn plain(text: &str) -> String {
    let text = text.replace("[`", "`").replace("`]", "`");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::istio::VirtualServiceSpec;

    #[test]
    fn fields_have_types_and_meanings() {
        let spec = of::<VirtualServiceSpec>();
        let http = &spec["properties"]["http"]["items"]["properties"];
        assert_eq!(
            http["timeout"],
            json!({"description": "For the whole request; `0s`: none.", "type": "string",
                "nullable": true})
        );
        let headers = &http["match"]["items"]["properties"]["headers"];
        assert_eq!(headers["additionalProperties"]["properties"]["exact"]["type"], "string");
        let redirect = &http["redirect"];
        assert_eq!(redirect["description"], "The answer, instead of a destination.");
        assert_eq!((&redirect["type"], &redirect["nullable"]), (&json!("object"), &json!(true)));
        assert_eq!(redirect["properties"]["port"]["type"], "integer");
    }
}
