//! `Metadata`, as far as anybody here asks for it.

use mesh_proto::envoy::config::core::v3 as core;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use crate::config::{Labels, Name};

/// What is under a filter's name.
pub(super) fn of_filter(metadata: Option<&core::Metadata>, filter: &str) -> Labels {
    let fields = metadata.and_then(|metadata| metadata.filter_metadata.get(filter));
    fields.map(labels).unwrap_or_default()
}

/// The fields of a struct; see [`Labels`] for those that are no text.
pub(super) fn labels(fields: &Struct) -> Labels {
    let label = |(key, value): (&String, &Value)| (Name::from(key.as_str()), text(value));
    fields.fields.iter().map(label).collect()
}

fn text(value: &Value) -> Name {
    match &value.kind {
        Some(Kind::StringValue(text)) => text.as_str().into(),
        _ => format!("\0{}", json(value)).into(),
    }
}

fn json(value: &Value) -> serde_json::Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(value)) => (*value).into(),
        Some(Kind::NumberValue(value)) => (*value).into(),
        Some(Kind::StringValue(value)) => value.as_str().into(),
        Some(Kind::ListValue(ListValue { values })) => values.iter().map(json).collect(),
        Some(Kind::StructValue(Struct { fields })) => {
            fields.iter().map(|(key, value)| (key.clone(), json(value))).collect()
        }
    }
}
