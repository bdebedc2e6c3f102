//! Responses of the proxy's own, as Envoy words them.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::header_changes::change_told;
use super::{ResponseBody, Stream};
use crate::access_log::{self, Filter};
use crate::codec::{Body, grpc};
use crate::config::{LocalReplyConfig, ReplyFormat, ResponseMapper};
use crate::formatter::Record;

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain");

/// What a connection manager makes of its own answers (`local_reply_config`).
pub(crate) struct LocalReplies {
    mappers: Vec<Mapper>,
    format: Option<ReplyFormat>,
}

struct Mapper {
    filter: Filter,
    config: ResponseMapper,
}

/// A response with a text, or what the connection manager makes of it; to a gRPC client the
/// same as a gRPC status.
pub(crate) fn local_reply(
    stream: &Stream,
    status: StatusCode,
    text: impl Into<Bytes>,
) -> Response<ResponseBody> {
    match &stream.local_replies {
        None => reply(stream, status, text.into(), PLAIN),
        Some(replies) => replies.reply(stream, status, text.into()),
    }
}

fn reply(
    stream: &Stream,
    status: StatusCode,
    text: Bytes,
    content_type: HeaderValue,
) -> Response<ResponseBody> {
    if stream.is_grpc() {
        return grpc(status, &text);
    }
    let has_text = !text.is_empty();
    let mut response = Response::new(ResponseBody::local(Body::full(text)));
    *response.status_mut() = status;
    if has_text {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    response
}

impl LocalReplies {
    pub(crate) fn new(config: &LocalReplyConfig) -> Self {
        let mapper = |config: &ResponseMapper| Mapper {
            filter: Filter::new(&config.filter),
            config: config.clone(),
        };
        let mappers = config.mappers.iter().map(mapper).collect();
        Self { mappers, format: config.format.clone() }
    }

    fn reply(&self, stream: &Stream, status: StatusCode, text: Bytes) -> Response<ResponseBody> {
        let details = stream.details_with_reason();
        let mut record = stream.record();
        record.response_code_details = Some(&*details).filter(|details| !details.is_empty());
        record.response_code = status.as_u16();
        record.response_status = status.as_u16();
        let mapper = self.mappers.iter().find(|mapper| mapper.filter.takes(&record));
        let mapper = mapper.map(|mapper| &mapper.config);
        let status = mapper.and_then(|mapper| mapper.status).unwrap_or(status);
        let text = mapper.and_then(|mapper| mapper.body.clone()).unwrap_or(text);
        let format = mapper.and_then(|mapper| mapper.format.as_ref()).or(self.format.as_ref());
        let (text, content_type) = match format {
            None => (text, PLAIN),
            Some(format) => format.write(&Record {
                response_code: status.as_u16(),
                response_status: status.as_u16(),
                local_reply_body: &text,
                ..record
            }),
        };
        let mut response = reply(stream, status, text, content_type);
        // Envoy: the headers of a mapper tell the status as it was.
        if let Some(mapper) = mapper {
            change_told(&mapper.headers, &record, &mut response);
        }
        response
    }
}

impl ReplyFormat {
    fn write(&self, record: &Record<'_>) -> (Bytes, HeaderValue) {
        let mut text = Vec::new();
        access_log::write(&self.format, self.omit_empty, record, &mut text);
        (text.into(), self.content_type.clone())
    }
}

/// A response with trailers only (gRPC over HTTP/2, "Responses").
fn grpc(status: StatusCode, text: &[u8]) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::local(Body::empty()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(grpc::status_for(status)));
    if let Ok(message) = HeaderValue::try_from(percent_encoded(text))
        && !text.is_empty()
    {
        headers.insert("grpc-message", message);
    }
    response
}

fn percent_encoded(text: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b'%' | 0..=0x1f | 0x7f.. => encoded.push_str(&format!("%{byte:02X}")),
            printable => encoded.push(char::from(*printable)),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_messages_are_encoded() {
        assert_eq!(percent_encoded("50% é\n".as_bytes()), "50%25 %C3%A9%0A");
    }
}
