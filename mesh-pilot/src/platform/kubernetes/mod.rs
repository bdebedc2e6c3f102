//! Kubernetes' own objects, turned into the model. Shared by all adapters that read them.

mod endpoints;
mod pod;
mod service;
mod slice;

use serde::de::DeserializeOwned;
use serde_json::Value;

pub(super) use endpoints::services;
pub(super) use pod::workload;
pub(super) use service::{DeclaredService, declared_service};
pub(super) use slice::{DeclaredSlice, declared_slice};

/// A field that cannot be what it is.
#[derive(Debug)]
pub(super) struct FieldError {
    pub(super) path: String,
    pub(super) message: String,
}

fn field_error(path: impl Into<String>, message: impl Into<String>) -> FieldError {
    FieldError { path: path.into(), message: message.into() }
}

/// Reads an object. Fields that Kubernetes does not know are not looked at: its API server
/// lets them pass too.
fn typed<T: DeserializeOwned>(value: &Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        field_error(if path == "." { "" } else { &path }, error.inner().to_string())
    })
}

fn port(path: impl Into<String>, number: i32) -> Result<u16, FieldError> {
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(field_error(path, format!("{number} is no port; expected 1 to 65535"))),
    }
}

fn address(path: impl Into<String>, text: &str) -> Result<std::net::IpAddr, FieldError> {
    text.parse().map_err(|_| field_error(path, format!("\"{text}\" is no IP address")))
}

fn namespace(namespace: Option<String>) -> String {
    namespace.filter(|namespace| !namespace.is_empty()).unwrap_or_else(|| "default".to_owned())
}

fn name(name: Option<String>) -> Result<String, FieldError> {
    let given = name.filter(|name| !name.is_empty());
    given.ok_or_else(|| field_error("metadata.name", "it is missing"))
}
