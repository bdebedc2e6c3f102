//! The heads of requests (RFC 9112, sections 3 and 6).

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::decode::Decoder;
use super::spelling::Spelling;
use super::{Limits, Malformed, fields, scan};
use crate::codec::Fragment;
use crate::config::{Http1Options, KeyFormat};

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// As long as the longest method.
const MAX_METHOD: usize = 16;

/// How many headers `Connection` may name (Envoy's limit).
const MAX_NOMINATED: usize = 10;

/// The methods that Envoy takes when `allow_custom_methods` is not set.
const METHODS: [&str; 35] = [
    "ACL",
    "BIND",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "MSEARCH",
    "M-SEARCH",
    "NOTIFY",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "TRACE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];

/// A request's head, and what it says of its body and connection.
pub(super) struct Head {
    pub(super) parts: Parts,
    pub(super) decoder: Decoder,
    /// The client takes another response on this connection.
    pub(super) keep_alive: bool,
    /// `Expect: 100-continue`, which is still there.
    pub(super) expects_continue: bool,
}

/// Takes the head off what was read, of which `end` bytes are it.
pub(super) fn take(
    input: &mut BytesMut,
    end: usize,
    limits: Limits,
    options: &Http1Options,
) -> Result<Head, Malformed> {
    let block = input.split_to(end).freeze();
    let (line, length) = scan::line(&block).ok_or(Malformed::Syntax)?;
    let (method, uri, version, has_fragment) = request_line(&block, line, options)?;
    let mut spelling = keeps_spelling(options).then(Spelling::default);
    let fields = block.slice(length..);
    let headers = fields::parse(&fields, limits.count, spelling.as_mut())?;
    let mut parts = Request::new(()).into_parts().0;
    (parts.method, parts.uri, parts.version, parts.headers) = (method, uri, version, headers);
    if let Some(spelling) = spelling {
        parts.extensions.insert(spelling);
    }
    if has_fragment {
        parts.extensions.insert(Fragment);
    }
    finish(parts, options)
}

/// Whether a request may begin so: whoever speaks another protocol is told at once.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let mut method = bytes.iter().take(MAX_METHOD).take_while(|byte| !byte.is_ascii_whitespace());
    method.all(u8::is_ascii_graphic)
}

pub(super) fn keeps_spelling(options: &Http1Options) -> bool {
    matches!(options.key_format, KeyFormat::Preserve { .. })
}

/// The method and its target, separated by one blank each (section 3).
fn request_line(
    block: &Bytes,
    line: &[u8],
    options: &Http1Options,
) -> Result<(Method, Uri, Version, bool), Malformed> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(Malformed::Syntax);
    };
    let method = method_of(method, options)?;
    let version = match words.next() {
        // HTTP/0.9.
        None if target.starts_with(b"/") => return Err(Malformed::Version),
        None => return Err(Malformed::Syntax),
        Some(version) if words.next().is_none() => version_of(version, options)?,
        Some(_) => return Err(Malformed::Syntax),
    };
    if !target.iter().all(u8::is_ascii_graphic) {
        // A byte above 127 is no character at all (Envoy's words for it).
        let is_ascii = target.is_ascii();
        return Err(if is_ascii { Malformed::Characters } else { Malformed::Syntax });
    }
    let uri = target_of(&method, target, block, options)?;
    Ok((method, uri, version, target.contains(&b'#')))
}

fn method_of(method: &[u8], options: &Http1Options) -> Result<Method, Malformed> {
    let is_known = METHODS.iter().any(|known| known.as_bytes() == method);
    if !is_known && !options.allow_custom_methods {
        return Err(Malformed::Syntax);
    }
    Method::from_bytes(method).map_err(|_| Malformed::Syntax)
}

fn version_of(version: &[u8], options: &Http1Options) -> Result<Version, Malformed> {
    match version {
        b"HTTP/1.1" => Ok(Version::HTTP_11),
        b"HTTP/1.0" if options.accept_http_10 => Ok(Version::HTTP_10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Malformed::Version)
        }
        _ => Err(Malformed::Syntax),
    }
}

/// The four forms of section 3.2.
fn target_of(
    method: &Method,
    target: &[u8],
    block: &Bytes,
    options: &Http1Options,
) -> Result<Uri, Malformed> {
    let uri = || Uri::from_maybe_shared(block.slice_ref(target)).map_err(|_| Malformed::Url);
    if *method == Method::CONNECT {
        let uri = uri()?;
        let is_authority = uri.path_and_query().is_none() && uri.port_u16().is_some();
        return if is_authority { Ok(uri) } else { Err(Malformed::Url) };
    }
    match target {
        [b'/', ..] => uri(),
        b"*" if *method == Method::OPTIONS => uri(),
        b"*" => Err(Malformed::Url),
        _ => {
            let colon = target.windows(3).position(|part| part == b"://");
            let scheme = colon.and_then(|colon| target.get(..colon)).ok_or(Malformed::Syntax)?;
            if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
                return Err(Malformed::Scheme);
            }
            if options.refuse_absolute_url { Err(Malformed::Url) } else { uri() }
        }
    }
}

/// What the headers say of the connection and of the body.
fn finish(mut parts: Parts, options: &Http1Options) -> Result<Head, Malformed> {
    let is_old = parts.version == Version::HTTP_10;
    let connection = connection(&parts.headers)?;
    let keep_alive = if is_old { connection.keep_alive } else { !connection.close };
    if is_old
        && !parts.headers.contains_key(HOST)
        && let Some(host) = &options.default_host_for_http_10
    {
        parts.headers.insert(HOST, host.clone());
    }
    let body = body(&mut parts.headers, options, is_old)?;
    let is_tunnel =
        parts.method == Method::CONNECT || (connection.upgrade && is_upgrade(&mut parts.headers));
    let decoder = match body {
        _ if !is_tunnel => body,
        Decoder::Done => Decoder::UntilClose,
        // Whoever answers does not know where the tunnel begins.
        _ => return Err(Malformed::Syntax),
    };
    let expects_continue = expects_continue(&parts.headers);
    Ok(Head { parts, decoder, keep_alive, expects_continue })
}

/// What `Connection` lists.
#[derive(Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

fn connection(headers: &HeaderMap) -> Result<Connection, Malformed> {
    let mut found = Connection::default();
    let mut count = 0;
    for value in headers.get_all(CONNECTION) {
        for item in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            count += 1;
            let is = |name: &str| item.eq_ignore_ascii_case(name.as_bytes());
            found.close |= is("close");
            found.keep_alive |= is("keep-alive");
            found.upgrade |= is("upgrade");
            // Envoy's list: what tells who speaks to whom is not the client's to remove.
            let is_needed = ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
            if is_needed.into_iter().any(is) || item.starts_with(b":") || count > MAX_NOMINATED {
                return Err(Malformed::Connection);
            }
        }
    }
    Ok(found)
}

/// Where the body ends (section 6.3).
fn body(
    headers: &mut HeaderMap,
    options: &Http1Options,
    is_old: bool,
) -> Result<Decoder, Malformed> {
    let length = content_length(headers)?;
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return Ok(length.filter(|length| *length > 0).map_or(Decoder::Done, Decoder::Length));
    };
    if length.is_some() && !options.allow_chunked_length {
        return Err(Malformed::LengthAndChunks);
    }
    if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(Malformed::TransferEncoding);
    }
    if is_old {
        return Err(Malformed::Syntax);
    }
    headers.remove(CONTENT_LENGTH);
    Ok(Decoder::chunked())
}

/// The one `Content-Length`, in digits alone.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(None) };
    let text = length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length = text.and_then(|text| text.parse().ok()).ok_or(Malformed::Syntax)?;
    if lengths.next().is_some() { Err(Malformed::Syntax) } else { Ok(Some(length)) }
}

/// Whether another protocol is asked for. `h2c` never is: HTTP/2 has no upgrade any more
/// (RFC 9113, section 3.1).
fn is_upgrade(headers: &mut HeaderMap) -> bool {
    let Some(upgrade) = headers.get(UPGRADE).map(HeaderValue::as_bytes) else { return false };
    let is_ignored = upgrade.eq_ignore_ascii_case(b"h2c");
    if is_ignored {
        headers.remove(UPGRADE);
        headers.remove(HTTP2_SETTINGS);
    }
    !is_ignored
}

/// Whether the client waits until it is told to go on (RFC 9110, section 10.1.1).
pub(super) fn expects_continue(headers: &HeaderMap) -> bool {
    let expect = headers.get(EXPECT).map(HeaderValue::as_bytes);
    expect.is_some_and(|expect| expect.eq_ignore_ascii_case(b"100-continue"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Head, Malformed> {
        let mut input = BytesMut::from(text.as_bytes());
        let end = scan::Scan::default().end(&input)?.unwrap();
        take(&mut input, end, Limits::default(), &Http1Options::default())
    }

    fn refused(text: &str) -> Malformed {
        match parsed(text) {
            Ok(head) => panic!("{text:?} was taken: {:?}", head.parts),
            Err(error) => error,
        }
    }

    #[test]
    fn a_head_is_taken_apart() {
        let head = parsed("POST /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n").unwrap();
        assert_eq!((head.parts.method, head.parts.uri), (Method::POST, "/a?b".parse().unwrap()));
        assert!(matches!(head.decoder, Decoder::Length(3)));
        assert!(head.keep_alive && !head.expects_continue);
        let head = parsed("GET http://a/b HTTP/1.1\r\nConnection: x, Close\r\n\r\n").unwrap();
        assert_eq!(head.parts.uri, "http://a/b");
        assert!(head.decoder.is_done() && !head.keep_alive);
        let head = parsed("PUT / HTTP/1.1\r\nexpect: 100-Continue\r\n\r\n").unwrap();
        assert!(head.expects_continue);
    }

    #[test]
    fn tunnels_last_until_the_connection_ends() {
        for text in [
            "GET / HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n",
            "CONNECT a:1 HTTP/1.1\r\n\r\n",
        ] {
            assert!(matches!(parsed(text).unwrap().decoder, Decoder::UntilClose), "{text:?}");
        }
        for text in [
            "GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n",
            "GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        ] {
            assert!(parsed(text).unwrap().decoder.is_done(), "{text:?}");
        }
    }

    #[test]
    fn other_protocols_are_told_by_their_first_bytes() {
        assert!(may_begin(b"") && may_begin(b"GE") && may_begin(b"GET /\xff"));
        assert!(!may_begin(b"\x16\x03\x01") && !may_begin(b"\0") && !may_begin(b"G\xff"));
    }

    #[test]
    fn bad_request_lines() {
        for (line, error) in [
            ("GET  / HTTP/1.1", Malformed::Syntax),
            ("GET /  HTTP/1.1", Malformed::Syntax),
            ("GET / HTTP/1.1 ", Malformed::Syntax),
            (" GET / HTTP/1.1", Malformed::Syntax),
            ("GET\t/\tHTTP/1.1", Malformed::Syntax),
            ("get / HTTP/1.1", Malformed::Syntax),
            ("NONE / HTTP/1.1", Malformed::Syntax),
            ("GET / http/1.1", Malformed::Syntax),
            ("GET HTTP/1.1", Malformed::Syntax),
            ("GET a HTTP/1.1", Malformed::Syntax),
            ("GET /", Malformed::Version),
            ("GET / HTTP/1.0", Malformed::Version),
            ("GET / HTTP/1.2", Malformed::Version),
            ("GET / HTTP/2.0", Malformed::Version),
            ("GET /\0 HTTP/1.1", Malformed::Characters),
            ("GET /\u{e4} HTTP/1.1", Malformed::Syntax),
            ("GET * HTTP/1.1", Malformed::Url),
            ("CONNECT / HTTP/1.1", Malformed::Url),
            ("CONNECT a HTTP/1.1", Malformed::Url),
            ("GET ftp://a/ HTTP/1.1", Malformed::Scheme),
            ("GET http:///a HTTP/1.1", Malformed::Url),
        ] {
            assert_eq!(refused(&format!("{line}\r\nhost: a\r\n\r\n")), error, "{line:?}");
        }
    }

    #[test]
    fn bad_ends_of_bodies() {
        for (fields, error) in [
            ("content-length: 1\r\ncontent-length: 1", Malformed::Syntax),
            ("content-length: 1, 1", Malformed::Syntax),
            ("content-length: +1", Malformed::Syntax),
            ("content-length: ", Malformed::Syntax),
            ("content-length: 18446744073709551616", Malformed::Syntax),
            ("transfer-encoding: gzip", Malformed::TransferEncoding),
            ("transfer-encoding: gzip, chunked", Malformed::TransferEncoding),
            (
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
                Malformed::TransferEncoding,
            ),
            ("transfer-encoding: chunked\r\ncontent-length: 0", Malformed::LengthAndChunks),
            ("connection: host", Malformed::Connection),
            ("connection: a,b,c,d,e,f,g,h,i,j,k", Malformed::Connection),
            ("connection: upgrade\r\nupgrade: x\r\ncontent-length: 1", Malformed::Syntax),
        ] {
            let text = format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
            assert_eq!(refused(&text), error, "{fields:?}");
        }
    }
}
