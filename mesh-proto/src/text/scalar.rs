//! Numbers, texts, bytes and enums.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use prost_reflect::{EnumDescriptor, Kind, MapKey, Value as Field};
use serde_json::Value;

use super::read::nearest;

/// The JSON value as a field of this kind, or what was expected instead.
pub(super) fn read(kind: &Kind, value: &Value) -> Result<Field, String> {
    match kind {
        Kind::Bool => value.as_bool().map(Field::Bool),
        Kind::String => value.as_str().map(|text| Field::String(text.to_owned())),
        Kind::Bytes => value.as_str().and_then(base64).map(|bytes| Field::Bytes(bytes.into())),
        Kind::Double => float(value).map(Field::F64),
        Kind::Float => float(value).map(|number| Field::F32(number as f32)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer(value).map(Field::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer(value).map(Field::I64),
        Kind::Uint32 | Kind::Fixed32 => integer(value).map(Field::U32),
        Kind::Uint64 | Kind::Fixed64 => integer(value).map(Field::U64),
        Kind::Enum(descriptor) => return enumeration(descriptor, value),
        Kind::Message(_) => None,
    }
    .ok_or_else(|| mismatch(kind, value))
}

/// A map's key, which JSON always writes as a text.
pub(super) fn map_key(kind: &Kind, key: &str) -> Result<MapKey, String> {
    let as_text = Value::String(key.to_owned());
    let field = match kind {
        Kind::Bool => key.parse().map(Field::Bool).map_err(|_| mismatch(kind, &as_text)),
        _ => read(kind, &as_text),
    }?;
    field.into_map_key().ok_or_else(|| mismatch(kind, &as_text))
}

/// Whole numbers may be written as texts too, and as floats without a fraction.
fn integer<T: TryFrom<i128>>(value: &Value) -> Option<T> {
    let number: i128 = match value {
        Value::String(text) => text.parse().ok()?,
        Value::Number(number) => match number.as_i128() {
            Some(whole) => whole,
            None => number.as_f64().filter(|float| float.fract() == 0.0)? as i128,
        },
        _ => return None,
    };
    T::try_from(number).ok()
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            "NaN" => Some(f64::NAN),
            other => other.parse().ok().filter(|float: &f64| float.is_finite()),
        },
        _ => None,
    }
}

/// Standard or URL-safe, padded or not.
fn base64(text: &str) -> Option<Vec<u8>> {
    [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
        .iter()
        .find_map(|engine| engine.decode(text).ok())
}

fn enumeration(descriptor: &EnumDescriptor, value: &Value) -> Result<Field, String> {
    let number = match value {
        Value::String(name) => descriptor.get_value_by_name(name).map(|value| value.number()),
        _ => integer(value).filter(|number| descriptor.get_value(*number).is_some()),
    };
    number.map(Field::EnumNumber).ok_or_else(|| {
        let names: Vec<String> = descriptor.values().map(|v| v.name().to_owned()).collect();
        let hint = value.as_str().and_then(|text| nearest(text, &names));
        match hint {
            Some(name) => format!("found {}, did you mean {name:?}?", shown(value)),
            None => format!("found {}, expected one of {}", shown(value), names.join(", ")),
        }
    })
}

fn mismatch(kind: &Kind, value: &Value) -> String {
    let expected = match kind {
        Kind::Bool => "true or false",
        Kind::String => "a text",
        Kind::Bytes => "base64 text",
        Kind::Double | Kind::Float => "a number",
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "a whole number of 32 bits",
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "a whole number of 64 bits",
        Kind::Uint32 | Kind::Fixed32 => "a whole number from 0 to 4294967295",
        Kind::Uint64 | Kind::Fixed64 => "a whole number from 0 to 18446744073709551615",
        Kind::Enum(_) | Kind::Message(_) => "another type",
    };
    let hint = match (kind, value) {
        (Kind::String, Value::Number(_) | Value::Bool(_)) => " (put it in quotes)",
        _ => "",
    };
    format!("found {}, expected {expected}{hint}", shown(value))
}

/// What a well-known type looks like in JSON, for an error.
pub(super) fn expectation(type_name: &str) -> &'static str {
    match type_name {
        "Duration" => "a duration in seconds such as \"0.25s\"",
        "Timestamp" => "a time such as \"2026-01-31T12:00:00Z\"",
        "FieldMask" => "a list of fields such as \"a,b.c\"",
        "Struct" | "Empty" => "an object",
        "ListValue" => "a list",
        "BoolValue" => "true or false",
        "StringValue" => "a text",
        "BytesValue" => "base64 text",
        "DoubleValue" | "FloatValue" => "a number",
        "UInt32Value" => "a whole number from 0 to 4294967295",
        "UInt64Value" => "a whole number from 0 to 18446744073709551615",
        "Int32Value" => "a whole number of 32 bits",
        "Int64Value" => "a whole number of 64 bits",
        _ => "another value",
    }
}

/// The value as an error shows it: short, and with its type.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) if text.chars().count() > 60 => {
            format!("{:?}…", text.chars().take(60).collect::<String>())
        }
        other => other.to_string(),
    }
}
