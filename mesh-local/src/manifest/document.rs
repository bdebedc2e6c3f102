//! One YAML document with the place that it came from.

use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Key;
use crate::error::{Context, Error, Result};

/// One YAML document.
#[derive(Debug, Clone)]
pub struct Document {
    /// File and number, for messages: `bookinfo.yaml document 3 (line 41)`.
    pub at: String,
    /// The text as the user wrote it.
    pub text: String,
    /// The same, parsed.
    pub value: Value,
}

impl Document {
    /// Reads a file; `-` is standard input.
    ///
    /// # Errors
    /// When it cannot be read or a document is not YAML.
    pub fn read(file: &Path) -> Result<Vec<Self>> {
        if file == Path::new("-") {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context(|| "standard input".to_owned())?;
            return Self::parse("standard input", &text);
        }
        let text = std::fs::read_to_string(file).context(|| file.display().to_string())?;
        Self::parse(&file.display().to_string(), &text)
    }

    /// Splits a text at its `---` lines; empty documents are left out.
    ///
    /// # Errors
    /// Names the document that is not YAML.
    pub fn parse(source: &str, text: &str) -> Result<Vec<Self>> {
        let place = |number, line| format!("{source} document {number} (line {line})");
        let documents = mesh_yaml::documents(text).map_err(|error| {
            Error::manifest(place(error.document, error.line), error.to_string())
        })?;
        let documents = documents.into_iter().filter(|document| !document.value.is_null());
        let named = documents.map(|document| Self {
            at: place(document.number, document.line),
            text: document.text,
            value: document.value,
        });
        Ok(named.collect())
    }

    /// `kind`, or nothing.
    pub fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    /// `apiVersion`, or nothing.
    pub fn api_version(&self) -> &str {
        self.value["apiVersion"].as_str().unwrap_or_default()
    }

    /// Whether it is a rule of the mesh, of Istio's or of the Gateway API: for the pilot.
    pub fn is_rule(&self) -> bool {
        let group = self.api_version().split('/').next().unwrap_or_default();
        group.ends_with(".istio.io") || group == "gateway.networking.k8s.io"
    }

    /// `metadata.namespace` and `metadata.name`.
    pub(crate) fn key(&self) -> Result<Key> {
        let key = key_of(&self.value)
            .ok_or_else(|| Error::manifest(&self.at, "metadata.name is missing"))?;
        check_name("metadata.name", &key.name)
            .and_then(|()| check_label("metadata.namespace", &key.namespace))
            .map_err(|message| Error::manifest(&self.at, message))?;
        Ok(key)
    }

    /// One top-level section as a type.
    pub(crate) fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        T::deserialize(&self.value[name])
            .map_err(|error| Error::manifest(&self.at, format!("{name}: {error}")))
    }
}

/// Namespace and name of any Kubernetes object; nothing without a name.
pub(crate) fn key_of(object: &Value) -> Option<Key> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().filter(|name| !name.is_empty())?.to_owned();
    let namespace = metadata["namespace"].as_str().unwrap_or("default").to_owned();
    Some(Key { namespace, name })
}

/// Names become parts of paths and of commands, so they are held to Kubernetes' form (a DNS
/// subdomain, RFC 1123).
pub(crate) fn check_name(field: &str, name: &str) -> std::result::Result<(), String> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = name.len() <= 253
        && name.starts_with(letter)
        && name.ends_with(letter)
        && name.chars().all(|c| letter(c) || c == '-' || c == '.');
    match good {
        true => Ok(()),
        false => Err(format!(
            "{field}: {name:?} is not a name: small letters, digits, - and . are, at most 253"
        )),
    }
}

/// The same for names that files join to others with dots, which have none themselves (a DNS
/// label).
pub(crate) fn check_label(field: &str, name: &str) -> std::result::Result<(), String> {
    match check_name(field, name).is_ok() && name.len() <= 63 && !name.contains('.') {
        true => Ok(()),
        false => Err(format!(
            "{field}: {name:?} is not a name: small letters, digits and - are, at most 63"
        )),
    }
}
