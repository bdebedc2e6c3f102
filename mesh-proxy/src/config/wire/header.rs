//! Changes of headers.

use http::{HeaderName, HeaderValue};
use mesh_proto::envoy::config::core::v3 as core;

use super::common::{enumeration, refuse_set, required};
use crate::config::{Error, HeaderOp, Path};

/// `*_headers_to_remove` and `*_headers_to_add`, in the order in which Envoy applies them:
/// what is removed goes first. `fields` are the prefix of the two fields' names.
pub(super) fn header_ops(
    path: &Path,
    prefix: &str,
    to_add: Vec<core::HeaderValueOption>,
    to_remove: &[String],
) -> Result<Vec<HeaderOp>, Error> {
    let mut ops = Vec::with_capacity(to_add.len() + to_remove.len());
    let removed = path.field(&format!("{prefix}_headers_to_remove"));
    for (index, name) in to_remove.iter().enumerate() {
        ops.push(HeaderOp::Remove(header_name(&removed.index(index), name)?));
    }
    let added = path.field(&format!("{prefix}_headers_to_add"));
    for (index, option) in to_add.into_iter().enumerate() {
        ops.extend(header_op(&added.index(index), option)?);
    }
    Ok(ops)
}

/// `None` for an empty value, which is not added unless `keep_empty_value` says so.
fn header_op(path: &Path, option: core::HeaderValueOption) -> Result<Option<HeaderOp>, Error> {
    use core::header_value_option::HeaderAppendAction as Append;
    let core::HeaderValueOption { header, append, append_action, keep_empty_value } = option;
    let core::HeaderValue { key, value, raw_value } = required(path, "header", header)?;
    let path = path.field("header");
    refuse_set!(&path, HeaderValue, raw_value);
    let name = header_name(&path.field("key"), &key)?;
    let value = header_value(&path.field("value"), &value)?;
    if value.is_empty() && !keep_empty_value {
        return Ok(None);
    }
    let action = enumeration(&path, "append_action", append_action)?;
    Ok(Some(match (append, action) {
        (Some(false), Append::AppendIfExistsOrAdd) => HeaderOp::Set(name, value),
        (Some(_), Append::AppendIfExistsOrAdd) => HeaderOp::Append(name, value),
        (Some(_), _) => {
            let message = "append and append_action exclude each other; keep append_action";
            return Err(path.error(message));
        }
        (None, Append::AppendIfExistsOrAdd) => HeaderOp::Append(name, value),
        (None, Append::AddIfAbsent) => HeaderOp::AddIfAbsent(name, value),
        (None, Append::OverwriteIfExistsOrAdd) => HeaderOp::Set(name, value),
        (None, Append::OverwriteIfExists) => HeaderOp::Overwrite(name, value),
    }))
}

/// The name of a header that may be changed: not Host, and no pseudo-header.
fn header_name(path: &Path, name: &str) -> Result<HeaderName, Error> {
    if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
        return Err(path.error(format!(
            "found {name:?}: neither Host nor a name that starts with a colon may be changed"
        )));
    }
    name.parse().map_err(|_| path.error(format!("found {name:?}, which is no header name")))
}

/// A header's value; `%%` is a percent sign, and command operators are not honoured.
pub(super) fn header_value(path: &Path, value: &str) -> Result<HeaderValue, Error> {
    let literal = value.replace("%%", "\u{0}");
    if literal.contains('%') {
        return Err(path.error(format!(
            "found {value:?}: command operators are not honoured here; write %% for a percent sign"
        )));
    }
    HeaderValue::from_str(&literal.replace('\u{0}', "%"))
        .map_err(|_| path.error(format!("found {value:?}, which is no header value")))
}
