//! From a JSON tree to a message, keeping the path.

use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, MapKey, MessageDescriptor,
    Value as Field,
};
use serde_json::{Map, Value};

use super::Error;
use super::scalar;

/// Reads `value` as a message of this type.
pub(super) fn message(
    descriptor: &MessageDescriptor,
    value: &Value,
    path: &str,
) -> Result<DynamicMessage, Error> {
    match descriptor.full_name() {
        "google.protobuf.Any" => any(descriptor, value, path),
        name if has_own_mapping(name) => well_known(descriptor, value, path),
        _ => fields(descriptor, object(value, path)?, path, None),
    }
}

/// Types that protobuf's JSON mapping writes otherwise than as an object of their fields.
fn has_own_mapping(full_name: &str) -> bool {
    matches!(
        full_name.strip_prefix("google.protobuf."),
        Some(
            "Duration"
                | "Timestamp"
                | "FieldMask"
                | "Struct"
                | "Value"
                | "ListValue"
                | "Empty"
                | "BoolValue"
                | "BytesValue"
                | "DoubleValue"
                | "FloatValue"
                | "Int32Value"
                | "Int64Value"
                | "StringValue"
                | "UInt32Value"
                | "UInt64Value"
        )
    )
}

fn well_known(
    descriptor: &MessageDescriptor,
    value: &Value,
    path: &str,
) -> Result<DynamicMessage, Error> {
    let options = DeserializeOptions::new();
    DynamicMessage::deserialize_with_options(descriptor.clone(), value, &options).map_err(|_| {
        let expected = scalar::expectation(descriptor.name());
        at(path, format!("found {}, expected {expected}", scalar::shown(value)))
    })
}

/// An `Any`: the fields of the message that `@type` names, or, when that type has a
/// mapping of its own, `value`; `{}` is one that holds nothing.
fn any(descriptor: &MessageDescriptor, value: &Value, path: &str) -> Result<DynamicMessage, Error> {
    let map = object(value, path)?;
    if map.is_empty() {
        return Ok(DynamicMessage::new(descriptor.clone()));
    }
    let Some(Value::String(type_url)) = map.get("@type") else {
        return Err(at(
            path,
            "has no \"@type\"; expected one such as \"type.googleapis.com/envoy.…\"",
        ));
    };
    let name = crate::any::type_name(type_url);
    let Some(inner) = descriptor.parent_pool().get_message_by_name(name) else {
        return Err(at(&join(path, "@type"), unknown_type(descriptor.parent_pool(), type_url)));
    };
    let content = if has_own_mapping(name) {
        message(&inner, map.get("value").unwrap_or(&Value::Null), &join(path, "value"))?
    } else {
        fields(&inner, map, path, Some("@type"))?
    };
    let mut any = DynamicMessage::new(descriptor.clone());
    any.set_field_by_number(1, Field::String(type_url.clone()));
    any.set_field_by_number(2, Field::Bytes(content.encode_to_vec().into()));
    Ok(any)
}

fn fields(
    descriptor: &MessageDescriptor,
    map: &Map<String, Value>,
    path: &str,
    skip: Option<&str>,
) -> Result<DynamicMessage, Error> {
    let mut message = DynamicMessage::new(descriptor.clone());
    for (key, value) in map.iter().filter(|(key, _)| Some(key.as_str()) != skip) {
        let Some(field) = find(descriptor, key) else {
            return Err(at(&join(path, key), unknown_field(descriptor, key)));
        };
        // Null stands for the default, but for the one type of which it is a value.
        if value.is_null() && !takes_null(&field) {
            continue;
        }
        refuse_second_of_oneof(&message, &field, path)?;
        message.set_field(&field, any_field(&field, value, &join(path, key))?);
    }
    Ok(message)
}

fn find(descriptor: &MessageDescriptor, key: &str) -> Option<FieldDescriptor> {
    descriptor.get_field_by_name(key).or_else(|| descriptor.get_field_by_json_name(key))
}

fn takes_null(field: &FieldDescriptor) -> bool {
    field.kind().as_message().is_some_and(|m| m.full_name() == "google.protobuf.Value")
}

fn refuse_second_of_oneof(
    message: &DynamicMessage,
    field: &FieldDescriptor,
    path: &str,
) -> Result<(), Error> {
    let Some(oneof) = field.containing_oneof() else { return Ok(()) };
    match oneof.fields().find(|other| other != field && message.has_field(other)) {
        Some(other) => Err(at(
            &join(path, field.name()),
            format!("only one of {:?} and {:?} may be set", other.name(), field.name()),
        )),
        None => Ok(()),
    }
}

fn any_field(field: &FieldDescriptor, value: &Value, path: &str) -> Result<Field, Error> {
    if field.is_map() {
        return map_field(field, value, path);
    }
    if !field.is_list() {
        return single(field, value, path);
    }
    let Value::Array(items) = value else {
        return Err(at(path, format!("found {}, expected a list", scalar::shown(value))));
    };
    let items = items.iter().enumerate();
    let list = items.map(|(index, item)| single(field, item, &format!("{path}[{index}]")));
    Ok(Field::List(list.collect::<Result<_, _>>()?))
}

fn map_field(field: &FieldDescriptor, value: &Value, path: &str) -> Result<Field, Error> {
    let kind = field.kind();
    let Some(entry) = kind.as_message() else {
        return Err(at(path, "is a map without an entry type"));
    };
    let values = entry.map_entry_value_field();
    let keys = entry.map_entry_key_field();
    let mut result = std::collections::HashMap::new();
    for (key, item) in object(value, path)? {
        let path = format!("{path}[{key:?}]");
        let key: MapKey = scalar::map_key(&keys.kind(), key).map_err(|e| at(&path, e))?;
        result.insert(key, single(&values, item, &path)?);
    }
    Ok(Field::Map(result))
}

fn single(field: &FieldDescriptor, value: &Value, path: &str) -> Result<Field, Error> {
    match field.kind().as_message() {
        Some(descriptor) => Ok(Field::Message(message(descriptor, value, path)?)),
        None => scalar::read(&field.kind(), value).map_err(|message| at(path, message)),
    }
}

fn object<'a>(value: &'a Value, path: &str) -> Result<&'a Map<String, Value>, Error> {
    value
        .as_object()
        .ok_or_else(|| at(path, format!("found {}, expected an object", scalar::shown(value))))
}

fn unknown_field(descriptor: &MessageDescriptor, key: &str) -> String {
    let message = format!("unknown field {key:?}");
    let fields: Vec<FieldDescriptor> = descriptor.fields().collect();
    // As it would be written in the style of this one, too.
    let names: Vec<String> = fields
        .iter()
        .flat_map(|field| [field.name().to_owned(), field.json_name().to_owned()])
        .collect();
    if let Some(name) = nearest(key, &names) {
        return format!("{message}, did you mean {name:?}?");
    }
    let mut names: Vec<&str> = fields.iter().map(FieldDescriptor::name).collect();
    names.sort_unstable();
    match names.len() {
        0 => format!("{message}; {} has no fields", descriptor.name()),
        1..=MOST_NAMES => format!("{message}, expected one of {}", names.join(", ")),
        count => {
            names.sort_by(|a, b| similarity(key, b).total_cmp(&similarity(key, a)));
            names.truncate(MOST_NAMES / 2);
            let rest = count - names.len();
            format!("{message}, expected one of {} or {rest} others", names.join(", "))
        }
    }
}

/// More names than this are not listed.
const MOST_NAMES: usize = 20;

fn similarity(found: &str, name: &str) -> f64 {
    strsim::jaro_winkler(found, name)
}

fn unknown_type(pool: &DescriptorPool, type_url: &str) -> String {
    let names: Vec<String> = pool.all_messages().map(|m| m.full_name().to_owned()).collect();
    // Names of types are long and much alike: only a slip of the pen is near.
    match within(SLIP, crate::any::type_name(type_url), &names) {
        Some(name) => format!("unknown type {type_url:?}, did you mean {name:?}?"),
        None => format!("unknown type {type_url:?}"),
    }
}

/// So many letters may differ in the name of a type.
const SLIP: usize = 2;

/// The name that was probably meant, when one is close.
pub(super) fn nearest<'a>(found: &str, names: &'a [String]) -> Option<&'a String> {
    within(1 + found.len() / 5, found, names)
}

fn within<'a>(most: usize, found: &str, names: &'a [String]) -> Option<&'a String> {
    let distance = |name: &String| strsim::damerau_levenshtein(found, name);
    let best = names.iter().min_by_key(|name| distance(name))?;
    (distance(best) <= most).then_some(best)
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

fn at(path: &str, message: impl Into<String>) -> Error {
    let path = if path.is_empty() { "(the whole message)" } else { path };
    Error::Field { path: path.to_owned(), message: message.into() }
}
