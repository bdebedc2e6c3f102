//! Responses of the proxy's own, as Envoy words them.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::{ResponseBody, Stream};
use crate::codec::{Body, grpc};

/// A response with a text; to a gRPC client the same as a gRPC status.
pub(crate) fn local_reply(
    stream: &Stream,
    status: StatusCode,
    text: impl Into<Bytes>,
) -> Response<ResponseBody> {
    let text = text.into();
    if stream.is_grpc() {
        return grpc(status, &text);
    }
    let has_text = !text.is_empty();
    let mut response = Response::new(ResponseBody::local(Body::full(text)));
    *response.status_mut() = status;
    if has_text {
        let plain = HeaderValue::from_static("text/plain");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
    }
    response
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
