//! `DataSource`: bytes that are given, or found elsewhere.

use mesh_proto::envoy::config::core::v3 as core;

use super::common::refuse_set;
use crate::config::{Error, Name, Path};

/// What a source gave.
pub(super) struct Data {
    /// Of the field that says where.
    pub(super) path: Path,
    pub(super) text: String,
    /// The file's name, or the words that Envoy has for the other places.
    pub(super) origin: Name,
}

/// PEM from wherever it is; no message says what was found there. `None` when the field is
/// not set.
pub(super) fn data_source(
    path: &Path,
    field: &str,
    source: Option<core::DataSource>,
) -> Result<Option<Data>, Error> {
    use core::data_source::Specifier;
    let Some(core::DataSource { watched_directory, specifier }) = source else { return Ok(None) };
    let path = path.field(field);
    refuse_set!(&path, DataSource, watched_directory);
    let (path, bytes, origin) =
        match specifier {
            Some(Specifier::Filename(name)) => {
                let path = path.field("filename");
                let bytes = std::fs::read(&name)
                    .map_err(|error| path.error(format!("cannot read {name:?}: {error}")))?;
                (path, bytes, Name::from(name))
            }
            Some(Specifier::InlineBytes(bytes)) => {
                (path.field("inline_bytes"), bytes, "<inline>".into())
            }
            Some(Specifier::InlineString(text)) => {
                (path.field("inline_string"), text.into_bytes(), "<inline>".into())
            }
            Some(Specifier::EnvironmentVariable(name)) => {
                let path = path.field("environment_variable");
                let text = std::env::var(&name)
                    .map_err(|error| path.error(format!("cannot read {name:?}: {error}")))?;
                (path, text.into_bytes(), "<inline>".into())
            }
            None => return Err(path.error(
                "missing: expected filename, inline_string, inline_bytes or environment_variable",
            )),
        };
    match String::from_utf8(bytes) {
        Ok(text) if !text.trim().is_empty() => Ok(Some(Data { path, text, origin })),
        Ok(_) => Err(path.error("found nothing, expected PEM")),
        Err(_) => Err(path.error("found bytes that are no text, expected PEM")),
    }
}
