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

use super::common::{decode, refuse_set, required_name, unknown_type};
use super::format::{default_format, format};
use super::log_filter::log_filter;
use super::route::inline;
use crate::config::{AccessLog, Error, JsonValue, LogFormat, LogTarget, Path};

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
    let filter = filter.map(|wire| log_filter(&path.field("filter"), wire)).transpose()?;
    let log = logger(&path.field("typed_config"), config_type)?;
    Ok(AccessLog { filter, ..log })
}

fn logger(
    path: &Path,
    config_type: Option<proto::access_log::ConfigType>,
) -> Result<AccessLog, Error> {
    let any = config_type.map(|proto::access_log::ConfigType::TypedConfig(any)| any);
    match &any {
        Some(any) if any::is::<FileAccessLog>(any) => file(path, decode(path, any)?),
        Some(any) if any::is::<StdoutAccessLog>(any) => {
            let log: StdoutAccessLog = decode(path, any)?;
            let format = log
                .access_log_format
                .map(|stdout_access_log::AccessLogFormat::LogFormat(format)| format);
            log_format(path, LogTarget::Stdout, format)
        }
        Some(any) if any::is::<StderrAccessLog>(any) => {
            let log: StderrAccessLog = decode(path, any)?;
            let format = log
                .access_log_format
                .map(|stderr_access_log::AccessLogFormat::LogFormat(format)| format);
            log_format(path, LogTarget::Stderr, format)
        }
        other => Err(unknown_type(
            path,
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
        Some(AccessLogFormat::LogFormat(format)) => return log_format(path, target, Some(format)),
        Some(AccessLogFormat::Format(text)) if !text.is_empty() => {
            LogFormat::Text(format(&path.field("format"), &text)?)
        }
        Some(AccessLogFormat::Format(_)) | None => LogFormat::Text(default_format()),
        Some(AccessLogFormat::JsonFormat(json)) => json_format(&path.field("json_format"), json)?,
        Some(AccessLogFormat::TypedJsonFormat(json)) => {
            json_format(&path.field("typed_json_format"), json)?
        }
    };
    Ok(AccessLog { target, format, omit_empty: false, filter: None })
}

/// `log_format`, or Envoy's default format without one.
fn log_format(
    path: &Path,
    target: LogTarget,
    wire: Option<core::SubstitutionFormatString>,
) -> Result<AccessLog, Error> {
    let Some(wire) = wire else {
        let format = LogFormat::Text(default_format());
        return Ok(AccessLog { target, format, omit_empty: false, filter: None });
    };
    let omit_empty = wire.omit_empty_values;
    let format = substitution_format(&path.field("log_format"), wire)?;
    Ok(AccessLog { target, format, omit_empty, filter: None })
}

/// What a `SubstitutionFormatString` writes.
pub(super) fn substitution_format(
    path: &Path,
    wire: core::SubstitutionFormatString,
) -> Result<LogFormat, Error> {
    use core::substitution_format_string::Format;
    let core::SubstitutionFormatString {
        omit_empty_values: _,
        content_type,
        formatters,
        json_format_options,
        format: wire,
    } = wire;
    refuse_set!(path, AccessLogFormat, content_type, formatters, json_format_options);
    Ok(match wire {
        Some(Format::TextFormat(text)) => {
            LogFormat::Text(format(&path.field("text_format"), &text)?)
        }
        Some(Format::TextFormatSource(source)) => {
            let path = path.field("text_format_source");
            let bytes = inline(source, &path)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| path.error("is not UTF-8 text"))?;
            LogFormat::Text(format(&path, text)?)
        }
        Some(Format::JsonFormat(json)) => json_format(&path.field("json_format"), json)?,
        None => return Err(path.error("missing: expected text_format_source or json_format")),
    })
}

fn json_format(path: &Path, json: prost_types::Struct) -> Result<LogFormat, Error> {
    json_object(path, json).map(LogFormat::Json)
}

/// Keys in alphabetical order.
fn json_object(path: &Path, json: prost_types::Struct) -> Result<Vec<(String, JsonValue)>, Error> {
    let entry = |(key, value): (String, prost_types::Value)| {
        json_value(&path.field(&key), value).map(|value| (key, value))
    };
    json.fields.into_iter().map(entry).collect()
}

fn json_value(path: &Path, value: prost_types::Value) -> Result<JsonValue, Error> {
    Ok(match value.kind {
        Some(Kind::StringValue(text)) => JsonValue::Text(format(path, &text)?),
        Some(Kind::StructValue(object)) => JsonValue::Object(json_object(path, object)?),
        Some(Kind::ListValue(list)) => {
            let values = list.values.into_iter().enumerate();
            let values = values.map(|(index, value)| json_value(&path.index(index), value));
            JsonValue::List(values.collect::<Result<_, _>>()?)
        }
        Some(Kind::NumberValue(number)) => JsonValue::Literal(number.to_string()),
        Some(Kind::BoolValue(value)) => JsonValue::Literal(value.to_string()),
        Some(Kind::NullValue(_)) | None => JsonValue::Literal("null".to_owned()),
    })
}
