//! Access logs: file, standard output and standard error.

use std::sync::Arc;

use mesh_proto::any;
use mesh_proto::envoy::config::accesslog::v3 as proto;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::access_loggers::file::v3::{FileAccessLog, file_access_log};
use mesh_proto::envoy::extensions::access_loggers::stream::v3::{
    StderrAccessLog, StdoutAccessLog, stderr_access_log, stdout_access_log,
};
use prost::Name as _;
use prost_types::value::Kind;

use super::common::{decode, not_honoured, refuse_set, required_name, unknown_type};
use super::log_format::{default_format, parts};
use super::route::inline;
use crate::config::{AccessLog, Error, LogFormat, LogTarget, Path};

/// A list of Envoy's `AccessLog`.
pub(super) fn access_logs(
    path: &Path,
    logs: Vec<proto::AccessLog>,
) -> Result<Vec<Arc<AccessLog>>, Error> {
    let log = |(index, log)| access_log(&path.index(index), log).map(Arc::new);
    logs.into_iter().enumerate().map(log).collect()
}

fn access_log(path: &Path, log: proto::AccessLog) -> Result<AccessLog, Error> {
    let proto::AccessLog { name: _, filter, config_type } = log;
    refuse_set!(path, AccessLog, filter);
    let path = path.field("typed_config");
    let any = config_type.map(|proto::access_log::ConfigType::TypedConfig(any)| any);
    match &any {
        Some(any) if any::is::<FileAccessLog>(any) => file(&path, decode(&path, any)?),
        Some(any) if any::is::<StdoutAccessLog>(any) => {
            let log: StdoutAccessLog = decode(&path, any)?;
            let format = log
                .access_log_format
                .map(|stdout_access_log::AccessLogFormat::LogFormat(format)| format);
            Ok(AccessLog { target: LogTarget::Stdout, format: log_format(&path, format)? })
        }
        Some(any) if any::is::<StderrAccessLog>(any) => {
            let log: StderrAccessLog = decode(&path, any)?;
            let format = log
                .access_log_format
                .map(|stderr_access_log::AccessLogFormat::LogFormat(format)| format);
            Ok(AccessLog { target: LogTarget::Stderr, format: log_format(&path, format)? })
        }
        other => Err(unknown_type(
            &path,
            other.as_ref(),
            &[
                FileAccessLog::full_name(),
                StdoutAccessLog::full_name(),
                StderrAccessLog::full_name(),
            ],
        )),
    }
}

fn file(path: &Path, log: FileAccessLog) -> Result<AccessLog, Error> {
    use file_access_log::AccessLogFormat;
    let FileAccessLog { path: file, access_log_format } = log;
    let name = required_name(path, "path", &file)?;
    // Opening these by their paths fails for a pipe or a socket of another user.
    let target = match &*name {
        "/dev/stdout" | "/proc/self/fd/1" => LogTarget::Stdout,
        "/dev/stderr" | "/proc/self/fd/2" => LogTarget::Stderr,
        _ => LogTarget::File(file.into()),
    };
    let format = match access_log_format {
        Some(AccessLogFormat::LogFormat(format)) => log_format(path, Some(format))?,
        Some(AccessLogFormat::Format(text)) if !text.is_empty() => {
            LogFormat::Text(parts(&path.field("format"), &text)?)
        }
        Some(AccessLogFormat::Format(_)) | None => LogFormat::Text(default_format()),
        Some(AccessLogFormat::JsonFormat(json)) => json_format(&path.field("json_format"), json)?,
        Some(AccessLogFormat::TypedJsonFormat(_)) => {
            return Err(not_honoured(&path.field("typed_json_format")));
        }
    };
    Ok(AccessLog { target, format })
}

/// `log_format`, or Envoy's default format without one.
fn log_format(
    path: &Path,
    format: Option<core::SubstitutionFormatString>,
) -> Result<LogFormat, Error> {
    use core::substitution_format_string::Format;
    let Some(core::SubstitutionFormatString {
        omit_empty_values,
        content_type,
        formatters,
        json_format_options,
        format,
    }) = format
    else {
        return Ok(LogFormat::Text(default_format()));
    };
    let path = path.field("log_format");
    refuse_set!(
        &path,
        AccessLogFormat,
        omit_empty_values,
        content_type,
        formatters,
        json_format_options,
    );
    match format {
        Some(Format::TextFormat(text)) => {
            Ok(LogFormat::Text(parts(&path.field("text_format"), &text)?))
        }
        Some(Format::TextFormatSource(source)) => {
            let path = path.field("text_format_source");
            let bytes = inline(source, &path)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| path.error("is not UTF-8 text"))?;
            Ok(LogFormat::Text(parts(&path, text)?))
        }
        Some(Format::JsonFormat(json)) => json_format(&path.field("json_format"), json),
        None => Err(path.error("missing: expected text_format_source or json_format")),
    }
}

/// An object of texts, its keys in alphabetical order.
fn json_format(path: &Path, json: prost_types::Struct) -> Result<LogFormat, Error> {
    let entry = |(key, value): (String, prost_types::Value)| {
        let path = path.field(&key);
        match value.kind {
            Some(Kind::StringValue(text)) => parts(&path, &text).map(|parts| (key, parts)),
            _ => Err(path.error("expected a text; other values are not honoured")),
        }
    };
    json.fields.into_iter().map(entry).collect::<Result<_, _>>().map(LogFormat::Json)
}
