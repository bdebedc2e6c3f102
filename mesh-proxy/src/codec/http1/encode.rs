//! Heads and bodies as they are written (RFC 9112).

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version, request, response};
use http_body::Frame;

use super::output::Output;
use super::spelling::{self, Spelling};
use crate::config::{Http1Options, KeyFormat};

/// How the body that is being written ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoder {
    /// Nothing more of it is written.
    Done,
    Length(u64),
    Chunked {
        trailers: bool,
    },
    /// With the connection.
    UntilClose,
}

/// What decides how a response is written, besides its head.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) version: Version,
    /// The connection ends with this response.
    pub(super) closes: bool,
}

/// Writes a response's head; `size` is that of its body, when that is known.
pub(super) fn response(
    output: &mut Output,
    head: &response::Parts,
    size: Option<u64>,
    asked: &Asked<'_>,
    options: &Http1Options,
) -> Encoder {
    let text = output.text();
    let spelling = head.extensions.get::<Spelling>();
    let is_old = asked.version == Version::HTTP_10;
    text.extend_from_slice(if is_old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    text.extend_from_slice(head.status.as_str().as_bytes());
    text.put_u8(b' ');
    text.extend_from_slice(reason(head, spelling, options));
    text.extend_from_slice(b"\r\n");
    fields(text, &head.headers, options.key_format, spelling);
    let encoder = of_response(text, head, size, asked, options);
    let closes = asked.closes || (is_old && encoder == Encoder::UntilClose);
    if closes && !is_tunnel(head, asked) {
        field(text, "connection: ", "Connection: ", "close", options.key_format);
    } else if is_old {
        field(text, "connection: ", "Connection: ", "keep-alive", options.key_format);
    }
    text.extend_from_slice(b"\r\n");
    encoder
}

fn is_tunnel(head: &response::Parts, asked: &Asked<'_>) -> bool {
    head.status == StatusCode::SWITCHING_PROTOCOLS
        || (*asked.method == Method::CONNECT && head.status.is_success())
}

/// As Envoy has it: what has no length says so, but where there can be no body.
fn of_response(
    text: &mut BytesMut,
    head: &response::Parts,
    size: Option<u64>,
    asked: &Asked<'_>,
    options: &Http1Options,
) -> Encoder {
    let format = options.key_format;
    let length = length(&head.headers);
    let is_to_head = *asked.method == Method::HEAD;
    let has_none = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || head.status.is_informational();
    if is_tunnel(head, asked) {
        return Encoder::UntilClose;
    }
    match length {
        _ if has_none => Encoder::Done,
        Some(_) if is_to_head => Encoder::Done,
        Some(length) => Encoder::of_length(length),
        None if is_to_head => {
            field(text, "transfer-encoding: ", "Transfer-Encoding: ", "chunked", format);
            Encoder::Done
        }
        None => match size {
            Some(size) => {
                field(text, "content-length: ", "Content-Length: ", &size.to_string(), format);
                Encoder::of_length(size)
            }
            None if asked.version == Version::HTTP_10 => Encoder::UntilClose,
            None => {
                field(text, "transfer-encoding: ", "Transfer-Encoding: ", "chunked", format);
                Encoder::Chunked { trailers: options.enable_trailers }
            }
        },
    }
}

fn reason<'a>(
    head: &response::Parts,
    spelling: Option<&'a Spelling>,
    options: &Http1Options,
) -> &'a [u8] {
    let kept = match options.key_format {
        KeyFormat::Preserve { reason: true, .. } => {
            spelling.and_then(|spelling| spelling.reason.as_ref())
        }
        _ => None,
    };
    let canonical = || head.status.canonical_reason().unwrap_or("Unknown").as_bytes();
    kept.map_or_else(canonical, |kept| &kept[..])
}

/// Writes a request's head, which has an origin-form target; `is_empty` says that no body
/// comes. A tunnel's body has no frame.
pub(super) fn request(
    output: &mut Output,
    head: &request::Parts,
    is_empty: bool,
    is_tunnel: bool,
    options: &Http1Options,
) -> Encoder {
    let text = output.text();
    let spelling = head.extensions.get::<Spelling>();
    text.extend_from_slice(head.method.as_str().as_bytes());
    text.put_u8(b' ');
    target(text, head, options);
    text.extend_from_slice(b" HTTP/1.1\r\n");
    fields(text, &head.headers, options.key_format, spelling);
    let format = options.key_format;
    let encoder = match length(&head.headers) {
        _ if is_tunnel => Encoder::UntilClose,
        Some(length) => Encoder::of_length(length),
        None if !is_empty => {
            field(text, "transfer-encoding: ", "Transfer-Encoding: ", "chunked", format);
            Encoder::Chunked { trailers: options.enable_trailers }
        }
        None => {
            // Others may wait for a body (RFC 9110, section 8.6).
            if !matches!(
                head.method,
                Method::GET | Method::HEAD | Method::DELETE | Method::TRACE | Method::CONNECT
            ) {
                field(text, "content-length: ", "Content-Length: ", "0", format);
            }
            Encoder::Done
        }
    };
    text.extend_from_slice(b"\r\n");
    encoder
}

fn target(text: &mut BytesMut, head: &request::Parts, options: &Http1Options) {
    let host = head.headers.get(http::header::HOST).map_or(&b""[..], |host| host.as_bytes());
    if head.method == Method::CONNECT {
        return text.extend_from_slice(host);
    }
    if options.send_fully_qualified_url {
        let proto = head.headers.get("x-forwarded-proto");
        text.extend_from_slice(proto.map_or(&b"http"[..], |proto| proto.as_bytes()));
        text.extend_from_slice(b"://");
        text.extend_from_slice(host);
    }
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    text.extend_from_slice(path.as_bytes());
}

/// A field of the codec's own, whose name is known in both spellings.
fn field(text: &mut BytesMut, lower: &str, proper: &str, value: &str, format: KeyFormat) {
    let is_proper =
        matches!(format, KeyFormat::ProperWords | KeyFormat::Preserve { proper_others: true, .. });
    text.extend_from_slice(if is_proper { proper } else { lower }.as_bytes());
    text.extend_from_slice(value.as_bytes());
    text.extend_from_slice(b"\r\n");
}

/// All fields but those that belong to the codec.
fn fields(
    text: &mut BytesMut,
    headers: &HeaderMap,
    format: KeyFormat,
    spelling: Option<&Spelling>,
) {
    text.reserve(headers.len() * 48);
    for (name, value) in headers {
        if name == TRANSFER_ENCODING {
            continue;
        }
        spelling::write(name, format, spelling, text);
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Encoder {
    fn of_length(length: u64) -> Self {
        if length == 0 { Self::Done } else { Self::Length(length) }
    }

    pub(super) fn is_done(self) -> bool {
        self == Self::Done
    }

    /// Writes a frame of the body. What goes beyond the length that was promised is dropped:
    /// it would be taken for the next message.
    pub(super) fn frame(&mut self, output: &mut Output, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => self.data(output, data),
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.trailers(output, &trailers);
                }
            }
        }
    }

    fn data(&mut self, output: &mut Output, mut data: Bytes) {
        match self {
            _ if data.is_empty() => {}
            Self::Done => {}
            Self::Length(left) => {
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data.len() as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                output.push(data);
            }
            Self::Chunked { .. } => {
                let text = output.text();
                hex(text, data.len());
                text.extend_from_slice(b"\r\n");
                output.push(data);
                output.text().extend_from_slice(b"\r\n");
            }
            Self::UntilClose => output.push(data),
        }
    }

    fn trailers(&mut self, output: &mut Output, trailers: &HeaderMap) {
        if let Self::Chunked { trailers: true } = self {
            let text = output.text();
            text.extend_from_slice(b"0\r\n");
            fields(text, trailers, KeyFormat::Lower, None);
            text.extend_from_slice(b"\r\n");
            *self = Self::Done;
        } else {
            self.end(output);
        }
    }

    /// Writes the end of the body; `false` when less came than was promised.
    pub(super) fn end(&mut self, output: &mut Output) -> bool {
        if let Self::Chunked { .. } = self {
            output.text().extend_from_slice(b"0\r\n\r\n");
        }
        let is_whole = !matches!(self, Self::Length(_));
        *self = Self::Done;
        is_whole
    }
}

fn hex(text: &mut BytesMut, mut number: usize) {
    let mut digits = [0; 16];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[number & 0xf];
        number >>= 4;
        if number == 0 || at == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[at..]);
}
