//! Changes of headers.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use mesh_proto::envoy::config::core::v3 as core;

use super::common::{enumeration, required};
use super::format::format;
use crate::config::{
    AppendAction, Error, FormatPart, HeaderAddition, HeaderChanges, HeaderText, Path,
};

/// `request_headers_to_add` and `request_headers_to_remove` of what is at `path`.
pub(super) fn request_changes(
    path: &Path,
    to_add: Vec<core::HeaderValueOption>,
    to_remove: &[String],
) -> Result<Arc<HeaderChanges>, Error> {
    header_changes(path, "request", to_add, to_remove)
}

/// `response_headers_to_add` and `response_headers_to_remove` of what is at `path`.
pub(super) fn response_changes(
    path: &Path,
    to_add: Vec<core::HeaderValueOption>,
    to_remove: &[String],
) -> Result<Arc<HeaderChanges>, Error> {
    header_changes(path, "response", to_add, to_remove)
}

/// `prefix` is that of the two fields' names.
fn header_changes(
    path: &Path,
    prefix: &str,
    to_add: Vec<core::HeaderValueOption>,
    to_remove: &[String],
) -> Result<Arc<HeaderChanges>, Error> {
    let removed = path.field(&format!("{prefix}_headers_to_remove"));
    let remove = to_remove.iter().enumerate();
    let remove = remove.map(|(index, name)| header_name(&removed.index(index), name));
    let add = header_additions(&path.field(&format!("{prefix}_headers_to_add")), to_add)?;
    Ok(Arc::new(HeaderChanges::new(remove.collect::<Result<_, _>>()?, add)))
}

/// A list of headers to add.
pub(super) fn header_additions(
    path: &Path,
    to_add: Vec<core::HeaderValueOption>,
) -> Result<Vec<HeaderAddition>, Error> {
    let add = to_add.into_iter().enumerate();
    add.map(|(index, option)| header_addition(&path.index(index), option)).collect()
}

/// Envoy's `HeaderValueOption`.
pub(super) fn header_addition(
    path: &Path,
    option: core::HeaderValueOption,
) -> Result<HeaderAddition, Error> {
    use core::header_value_option::HeaderAppendAction as Append;
    let core::HeaderValueOption { header, append, append_action, keep_empty_value } = option;
    let core::HeaderValue { key, value, raw_value } = required(path, "header", header)?;
    let action = match (append, enumeration(path, "append_action", append_action)?) {
        (Some(false), Append::AppendIfExistsOrAdd) => AppendAction::Set,
        (Some(true) | None, Append::AppendIfExistsOrAdd) => AppendAction::Append,
        (Some(_), _) => {
            let message = "append and append_action exclude each other; keep append_action";
            return Err(path.error(message));
        }
        (None, Append::AddIfAbsent) => AppendAction::AddIfAbsent,
        (None, Append::OverwriteIfExistsOrAdd) => AppendAction::Set,
        (None, Append::OverwriteIfExists) => AppendAction::Overwrite,
    };
    let path = path.field("header");
    let name = header_name(&path.field("key"), &key)?;
    let value = match (raw_value.is_empty(), value.is_empty()) {
        (true, _) => header_text(&path.field("value"), &value)?,
        (false, true) => {
            HeaderText::Literal(HeaderValue::from_bytes(&raw_value).map_err(|_| {
                path.field("raw_value").error("has bytes that a header's value cannot have")
            })?)
        }
        (false, false) => {
            return Err(path.error("value and raw_value exclude each other; keep one of them"));
        }
    };
    Ok(HeaderAddition { name, value, action, keep_empty: keep_empty_value })
}

/// The name of a header that may be changed: not Host, and no pseudo-header.
pub(super) fn header_name(path: &Path, name: &str) -> Result<HeaderName, Error> {
    if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
        return Err(path.error(format!(
            "found {name:?}: neither Host nor a name that starts with a colon may be changed"
        )));
    }
    name.parse().map_err(|_| path.error(format!("found {name:?}, which is no header name")))
}

/// The name of a header that is looked at. `:authority` is in Host, whatever the protocol.
pub(super) fn name_of_header(path: &Path, name: &str) -> Result<HeaderName, Error> {
    match name {
        ":authority" => Ok(http::header::HOST),
        name => {
            name.parse().map_err(|_| path.error(format!("found {name:?}, which is no header name")))
        }
    }
}

/// A text with command operators; `%%` is a percent sign.
fn header_text(path: &Path, value: &str) -> Result<HeaderText, Error> {
    let format = format(path, value)?;
    let literal = match format.0.as_slice() {
        [] => "",
        [FormatPart::Literal(literal)] => literal,
        _ => return Ok(HeaderText::Format(format)),
    };
    header_value(path, literal).map(HeaderText::Literal)
}

/// A value that is taken as it is.
pub(super) fn header_value(path: &Path, value: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(value)
        .map_err(|_| path.error(format!("found {value:?}, which is no header value")))
}
