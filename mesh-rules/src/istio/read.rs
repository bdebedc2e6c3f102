//! From a document to a typed resource, or to the field that is wrong.

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::{API_VERSIONS, Resource, SECURITY_API_VERSIONS, not_yet};
use crate::nearest::did_you_mean;
use crate::{Document, Problem, gateway_api};

/// Reads a resource whose spec is `S`. The caller has looked at its kind.
pub fn read<S: DeserializeOwned>(document: &Document) -> Result<Resource<S>, Problem> {
    let problem = |path: &str, message: String| Problem {
        source: document.source.clone(),
        path: path.to_owned(),
        message,
    };
    let versions: &[&str] = match (document.group(), document.kind()) {
        (gateway_api::GROUP, _) => &gateway_api::API_VERSIONS,
        (_, "PeerAuthentication") => &SECURITY_API_VERSIONS,
        _ => &API_VERSIONS,
    };
    if !versions.contains(&document.api_version()) {
        let message = format!(
            "\"{}\" is not supported; expected one of {}",
            document.api_version(),
            versions.join(", ")
        );
        return Err(problem("apiVersion", message));
    }
    serde_path_to_error::deserialize(&document.value).map_err(|error| {
        let path = error.path();
        let message = error.inner().to_string();
        let text = path.to_string();
        match message.strip_prefix("unknown field ") {
            Some(rest) => problem(&text, unknown_field(document.kind(), path, rest)),
            None => problem(if text == "." { "" } else { &text }, message),
        }
    })
}

/// `rest` is what serde says: the field and those that it knows, in backticks.
fn unknown_field(kind: &str, path: &serde_path_to_error::Path, rest: &str) -> String {
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let field = quoted.next().unwrap_or_default();
    let honoured: Vec<_> = quoted.collect();
    let not_yet = not_yet::at(kind, &holder(path));
    if not_yet.contains(&field) {
        return "there is such a field, but it is not supported yet; take it out".to_owned();
    }
    let hint = did_you_mean(field, honoured.iter().copied().chain(not_yet));
    if !hint.is_empty() {
        return format!("there is no such field{hint}");
    }
    format!("there is no such field; there are {}", honoured.join(", "))
}

/// The path of the object that holds the field, without positions in lists.
fn holder(path: &serde_path_to_error::Path) -> String {
    let mut names: Vec<String> = path
        .iter()
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            _ => None,
        })
        .collect();
    names.pop();
    names.join(".")
}
