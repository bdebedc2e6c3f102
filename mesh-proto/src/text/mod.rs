//! Messages as YAML and JSON, after protobuf's JSON mapping.
//!
//! Fields may be written as in the `.proto` file or in camelCase; `Any` is written with
//! its `@type` beside its fields. What is not understood is an [`Error`] with the field's
//! path, never skipped.
//!
//! Reading and writing needs the descriptors of all messages, about 7 MB while in use.
//! Each function loads them and lets them go; nothing stays behind.

mod read;
mod scalar;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

const DESCRIPTORS: &[u8] = include_bytes!("../generated/descriptors.binpb");

/// What is wrong in a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not YAML or JSON at all; the message has line and column.
    #[error("{0}")]
    Syntax(String),
    /// A field that is unknown or has the wrong type.
    #[error("{path}: {message}")]
    Field {
        /// From the message's root: `static_resources.listeners[0].name`.
        path: String,
        /// What was found and what was expected.
        message: String,
    },
    /// A message that cannot be written as text, such as an `Any` of an unknown type.
    #[error("{0}")]
    Unwritable(String),
}

/// Reads one message from YAML or JSON.
pub fn from_yaml<M: Message + Name + Default>(text: &str) -> Result<M, Error> {
    let value: Value = mesh_yaml::read(text).map_err(|error| Error::Syntax(error.to_string()))?;
    from_json(&value)
}

/// Reads one message from a JSON tree.
pub fn from_json<M: Message + Name + Default>(value: &Value) -> Result<M, Error> {
    let pool = pool()?;
    let descriptor = pool.get_message_by_name(&M::full_name()).ok_or_else(|| unknown::<M>())?;
    let message = read::message(&descriptor, value, "")?;
    message.transcode_to().map_err(|error| Error::Unwritable(error.to_string()))
}

/// Writes a message as a JSON tree, with the field names of the `.proto` file and without
/// the fields that have their default.
pub fn to_json<M: Message + Name>(message: &M) -> Result<Value, Error> {
    encoded_to_json(&M::full_name(), &message.encode_to_vec())
}

/// Writes an encoded message, known by its full name or type URL, as a JSON tree.
pub fn encoded_to_json(type_url: &str, bytes: &[u8]) -> Result<Value, Error> {
    let name = crate::any::type_name(type_url);
    let descriptor = pool()?
        .get_message_by_name(name)
        .ok_or_else(|| Error::Unwritable(format!("unknown message type {name}")))?;
    let message = DynamicMessage::decode(descriptor, bytes)
        .map_err(|error| Error::Unwritable(format!("{name}: {error}")))?;
    let options = SerializeOptions::new().use_proto_field_name(true);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| Error::Unwritable(format!("{name}: {error}")))
}

/// Writes a message as YAML.
pub fn to_yaml<M: Message + Name>(message: &M) -> Result<String, Error> {
    mesh_yaml::write(&to_json(message)?).map_err(|error| Error::Unwritable(error.to_string()))
}

#[cfg(not(fuzzing))]
fn pool() -> Result<DescriptorPool, Error> {
    decoded_pool()
}

/// Kept: it is what takes the longest.
#[cfg(fuzzing)]
fn pool() -> Result<DescriptorPool, Error> {
    static POOL: std::sync::OnceLock<Result<DescriptorPool, Error>> = std::sync::OnceLock::new();
    POOL.get_or_init(decoded_pool).clone()
}

fn decoded_pool() -> Result<DescriptorPool, Error> {
    DescriptorPool::decode(DESCRIPTORS).map_err(|error| Error::Unwritable(error.to_string()))
}

fn unknown<M: Name>() -> Error {
    Error::Unwritable(format!("unknown message type {}", M::full_name()))
}

#[cfg(test)]
mod tests;
