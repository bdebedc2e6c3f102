//! The chart's `values.schema.json`, as far as it goes: the words listed in
//! `deploy/chart/README.md`.

use serde_json::Value;

/// Every value that is not what the schema wants, each with its path.
pub(super) fn check(values: &Value, schema: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    check_at("", values, schema, &mut problems);
    problems
}

fn check_at(path: &str, value: &Value, schema: &Value, problems: &mut Vec<String>) {
    if let Some(expected) = wrong_type(value, &schema["type"]) {
        problems.push(format!("{path}: {value} is not {expected}"));
        return;
    }
    if let Some(expected) = wrong_content(value, schema) {
        problems.push(format!("{path}: {value} is not {expected}"));
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match &schema["properties"][name] {
                    Value::Null if schema["additionalProperties"] == false => {
                        problems.push(format!("{path}: there is no such value; {}", known(schema)));
                    }
                    Value::Null => {}
                    schema => check_at(&path, value, schema, problems),
                }
            }
        }
        Value::Array(items) if schema["items"].is_object() => {
            for (index, item) in items.iter().enumerate() {
                check_at(&format!("{path}[{index}]"), item, &schema["items"], problems);
            }
        }
        _ => {}
    }
}

fn known(schema: &Value) -> String {
    let fields = schema["properties"].as_object();
    let names: Vec<_> = fields.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    format!("there are {}", names.join(", "))
}

/// The types that it should be of, as a person says them.
fn wrong_type(value: &Value, types: &Value) -> Option<String> {
    let types: Vec<&str> = match types {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_right =
        types.iter().any(|one| *one == found || (*one == "number" && found == "integer"));
    let said = |one: &&str| match *one {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        _ => "a map",
    };
    (!is_right).then(|| types.iter().map(said).collect::<Vec<_>>().join(" or "))
}

fn wrong_content(value: &Value, schema: &Value) -> Option<String> {
    if let Some(choices) = schema["enum"].as_array().filter(|choices| !choices.contains(value)) {
        let said = |choice: &Value| choice.as_str().map_or(choice.to_string(), str::to_owned);
        return Some(format!("one of {}", choices.iter().map(said).collect::<Vec<_>>().join(", ")));
    }
    if let Some(number) = value.as_f64() {
        let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            let said = |bound: &Value| bound.as_i64().map(|bound| bound.to_string());
            return Some(match (said(&schema["minimum"]), said(&schema["maximum"])) {
                (Some(least), Some(most)) => format!("between {least} and {most}"),
                (Some(least), None) => format!("{least} or more"),
                (_, most) => format!("{} or less", most.unwrap_or_default()),
            });
        }
    }
    let pattern = schema["pattern"].as_str()?;
    let text = value.as_str()?;
    // A pattern that is none is found by the test of the schema.
    let fits = regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text));
    (!fits).then(|| schema["description"].as_str().unwrap_or(pattern).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_problem_has_its_path_and_what_was_expected() {
        let schema = json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "a": {"type": "object", "additionalProperties": false, "properties": {
                    "replicas": {"type": "integer", "minimum": 1, "maximum": 5},
                    "policy": {"enum": ["Always", "Never"]},
                    "list": {"type": "array", "items": {"type": "string"}},
                    "name": {"type": "string", "pattern": "^[a-z]+$", "description": "small letters"},
                }},
                "free": {"type": "object"},
            },
        });
        let values = json!({
            "a": {"replicas": 9, "policy": "Some", "list": ["a", 1], "name": "A", "nmae": 1},
            "free": {"any": [1, {"thing": null}]},
            "b": true,
        });
        assert_eq!(
            check(&values, &schema),
            [
                "a.replicas: 9 is not between 1 and 5",
                "a.policy: \"Some\" is not one of Always, Never",
                "a.list[1]: 1 is not a text",
                "a.name: \"A\" is not small letters",
                "a.nmae: there is no such value; there are replicas, policy, list, name",
                "b: there is no such value; there are a, free",
            ]
        );
        assert_eq!(check(&json!({"free": 1}), &schema), ["free: 1 is not a map"]);
    }
}
