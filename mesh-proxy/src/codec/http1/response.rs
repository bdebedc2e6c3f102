//! The heads of responses (RFC 9112, sections 4 and 6).

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, Method, Response, StatusCode, Version};

use super::decode::Decoder;
use super::request::{content_length, keeps_spelling};
use super::spelling::Spelling;
use super::{Limits, Malformed, fields, scan};
use crate::config::Http1Options;

/// A response's head, and what it says of its body and connection.
pub(super) struct Head {
    pub(super) parts: Parts,
    pub(super) decoder: Decoder,
    /// The upstream takes another request on this connection.
    pub(super) keep_alive: bool,
}

/// Takes the head off what was read, of which `end` bytes are it.
pub(super) fn take(
    input: &mut BytesMut,
    end: usize,
    method: &Method,
    limits: Limits,
    options: &Http1Options,
) -> Result<Head, Malformed> {
    let block = input.split_to(end).freeze();
    let (line, length) = scan::line(&block).ok_or(Malformed::Syntax)?;
    let (version, status, reason) = status_line(line)?;
    let mut spelling = keeps_spelling(options).then(Spelling::default);
    let fields = block.slice(length..);
    let mut headers = fields::parse(&fields, limits.count, spelling.as_mut())?;
    let decoder = body(&mut headers, method, status, options)?;
    let keep_alive = keeps_alive(&headers, version) && !matches!(decoder, Decoder::UntilClose);
    let mut parts = Response::new(()).into_parts().0;
    (parts.status, parts.version, parts.headers) = (status, version, headers);
    if let Some(mut spelling) = spelling {
        spelling.reason = Some(block.slice_ref(reason));
        parts.extensions.insert(spelling);
    }
    Ok(Head { parts, decoder, keep_alive })
}

/// Version, status, and a reason phrase that may be missing with its blank.
fn status_line(line: &[u8]) -> Result<(Version, StatusCode, &[u8]), Malformed> {
    let (version, rest) = line.split_at_checked(9).ok_or(Malformed::Syntax)?;
    let version = match version {
        b"HTTP/1.1 " => Version::HTTP_11,
        b"HTTP/1.0 " => Version::HTTP_10,
        _ => return Err(Malformed::Syntax),
    };
    let (status, reason) = rest.split_at_checked(3).ok_or(Malformed::Syntax)?;
    let status = StatusCode::from_bytes(status).map_err(|_| Malformed::Syntax)?;
    let reason = match reason {
        [] => reason,
        [b' ', reason @ ..] => reason,
        _ => return Err(Malformed::Syntax),
    };
    let is_text = reason.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t');
    if is_text { Ok((version, status, reason)) } else { Err(Malformed::Characters) }
}

/// Where the body ends (section 6.3).
fn body(
    headers: &mut HeaderMap,
    method: &Method,
    status: StatusCode,
    options: &Http1Options,
) -> Result<Decoder, Malformed> {
    let length = content_length(headers)?;
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
        (Some(_), _) => return Err(Malformed::TransferEncoding),
    };
    let has_none = status == StatusCode::NO_CONTENT || status.is_informational();
    if has_none && (is_chunked || length.is_some_and(|length| length > 0)) {
        return Err(Malformed::Syntax);
    }
    if is_chunked && length.is_some() {
        if !options.allow_chunked_length {
            return Err(Malformed::LengthAndChunks);
        }
        headers.remove(CONTENT_LENGTH);
    }
    let is_tunnel = status == StatusCode::SWITCHING_PROTOCOLS
        || (*method == Method::CONNECT && status.is_success());
    let has_none = has_none || *method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
    Ok(match length {
        _ if is_tunnel => Decoder::UntilClose,
        _ if has_none => Decoder::Done,
        _ if is_chunked => Decoder::chunked(),
        Some(0) => Decoder::Done,
        Some(length) => Decoder::Length(length),
        None => Decoder::UntilClose,
    })
}

fn keeps_alive(headers: &HeaderMap, version: Version) -> bool {
    let lists = |item: &[u8]| {
        let values = headers.get_all(CONNECTION).iter();
        values
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .any(|found| found.trim_ascii().eq_ignore_ascii_case(item))
    };
    if version == Version::HTTP_11 { !lists(b"close") } else { lists(b"keep-alive") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(method: Method, text: &str) -> Result<Head, Malformed> {
        let mut input = BytesMut::from(text.as_bytes());
        let end = scan::Scan::default().end(&input)?.unwrap();
        take(&mut input, end, &method, Limits::default(), &Http1Options::default())
    }

    #[test]
    fn bodies_end_where_the_head_says() {
        let ok = |fields: &str| parsed(Method::GET, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        assert!(matches!(ok("content-length: 2\r\n").unwrap().decoder, Decoder::Length(2)));
        assert!(matches!(ok("").unwrap().decoder, Decoder::UntilClose));
        assert!(matches!(
            ok("transfer-encoding: chunked\r\n").unwrap().decoder,
            Decoder::Chunked(_)
        ));
        let to_head = parsed(Method::HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").unwrap();
        assert!(to_head.decoder.is_done() && to_head.keep_alive);
        let empty = parsed(Method::GET, "HTTP/1.1 204\r\n\r\n").unwrap();
        assert!(empty.decoder.is_done());
        let old = parsed(Method::GET, "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
        assert!(!old.keep_alive);
    }

    #[test]
    fn what_is_no_response_is_refused() {
        for text in [
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 200 \0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
            "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n",
        ] {
            assert!(parsed(Method::GET, text).is_err(), "{text:?}");
        }
    }
}
