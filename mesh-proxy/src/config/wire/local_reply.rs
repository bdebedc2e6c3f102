//! `LocalReplyConfig`.

use std::sync::Arc;

use http::HeaderValue;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3 as proto;

use super::access_log::substitution_format;
use super::common::required;
use super::header::header_additions;
use super::log_filter::log_filter;
use super::route::{inline, own_status};
use crate::config::{
    Error, HeaderChanges, LocalReplyConfig, LogFormat, Path, ReplyFormat, ResponseMapper,
};

/// `local_reply_config`
pub(super) fn local_replies(
    path: &Path,
    wire: Option<proto::LocalReplyConfig>,
) -> Result<Option<Arc<LocalReplyConfig>>, Error> {
    let Some(proto::LocalReplyConfig { mappers, body_format }) = wire else { return Ok(None) };
    let list = path.field("mappers");
    let mappers = mappers.into_iter().enumerate();
    let mappers = mappers.map(|(index, wire)| mapper(&list.index(index), wire));
    Ok(Some(Arc::new(LocalReplyConfig {
        mappers: mappers.collect::<Result<_, _>>()?,
        format: format(&path.field("body_format"), body_format)?,
    })))
}

fn mapper(path: &Path, wire: proto::ResponseMapper) -> Result<ResponseMapper, Error> {
    let proto::ResponseMapper { filter, status_code, body, body_format_override, headers_to_add } =
        wire;
    let status = path.field("status_code");
    let headers = header_additions(&path.field("headers_to_add"), headers_to_add)?;
    Ok(ResponseMapper {
        filter: log_filter(&path.field("filter"), required(path, "filter", filter)?)?,
        status: status_code.map(|code| own_status(&status, code)).transpose()?,
        body: body.map(|body| inline(body, &path.field("body"))).transpose()?,
        format: format(&path.field("body_format_override"), body_format_override)?,
        headers: Arc::new(HeaderChanges::new(Vec::new(), headers)),
    })
}

fn format(
    path: &Path,
    wire: Option<core::SubstitutionFormatString>,
) -> Result<Option<ReplyFormat>, Error> {
    let Some(mut wire) = wire else { return Ok(None) };
    let content_type = std::mem::take(&mut wire.content_type);
    let omit_empty = wire.omit_empty_values;
    let format = substitution_format(path, wire)?;
    let content_type = match (&*content_type, &format) {
        ("", LogFormat::Json(_)) => HeaderValue::from_static("application/json"),
        ("", LogFormat::Text(_)) => HeaderValue::from_static("text/plain"),
        (given, _) => HeaderValue::from_str(given).map_err(|_| {
            path.field("content_type").error(format!("found {given:?}, which is no header value"))
        })?,
    };
    Ok(Some(ReplyFormat { content_type, format, omit_empty }))
}
