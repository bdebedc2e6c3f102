//! What the fuzz targets hold against the codec: bytes mean the same however they come, and
//! what is written means what was read.

use bytes::BytesMut;
use http::header::TRANSFER_ENCODING;
use http::{HeaderMap, Method, Version};

use super::decode::{Decoder, Piece};
use super::encode::{self, Asked};
use super::output::Output;
use super::scan::Scan;
use super::{Limits, Malformed, request, response};
use crate::config::{Http1Options, KeyFormat};

/// What was understood of a connection.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    heads: Vec<String>,
    body: Vec<u8>,
    trailers: Vec<HeaderMap>,
    /// Not which one: of two that are wrong, the other may be found first.
    is_malformed: bool,
}

/// The bytes as requests, and as responses, one behind the other.
pub(crate) fn fuzz(bytes: &[u8]) {
    for options in [Http1Options::default(), lenient()] {
        check(bytes, &|input, end| {
            let head = request::take(input, end, Limits::default(), &options)?;
            forwarded_request(&head, &options);
            Ok((format!("{:?}", head.parts), head.decoder))
        });
        for method in [Method::GET, Method::HEAD] {
            check(bytes, &|input, end| {
                let head = response::take(input, end, &method, Limits::default(), &options)?;
                forwarded_response(&head, &method, &options);
                Ok((format!("{:?}", head.parts), head.decoder))
            });
        }
    }
}

fn lenient() -> Http1Options {
    Http1Options {
        accept_http_10: true,
        key_format: KeyFormat::Preserve { proper_others: true, reason: true },
        enable_trailers: true,
        allow_chunked_length: true,
        allow_custom_methods: true,
        ..Http1Options::default()
    }
}

type Take<'a> = &'a dyn Fn(&mut BytesMut, usize) -> Result<(String, Decoder), Malformed>;

fn check(bytes: &[u8], take: Take<'_>) {
    let at_once = seen(bytes, bytes.len().max(1), take);
    assert_eq!(at_once, seen(bytes, 1, take), "at once, and byte by byte");
}

fn seen(bytes: &[u8], size: usize, take: Take<'_>) -> Seen {
    let mut seen = Seen::default();
    let mut input = BytesMut::new();
    let (mut scan, mut decoder) = (Scan::default(), Decoder::Done);
    for piece in bytes.chunks(size) {
        input.extend_from_slice(piece);
        match read(&mut input, &mut scan, &mut decoder, &mut seen, take) {
            Ok(()) => {}
            Err(_) => {
                seen.is_malformed = true;
                break;
            }
        }
    }
    seen
}

/// Reads until more must come.
fn read(
    input: &mut BytesMut,
    scan: &mut Scan,
    decoder: &mut Decoder,
    seen: &mut Seen,
    take: Take<'_>,
) -> Result<(), Malformed> {
    loop {
        if decoder.is_done() {
            let Some(end) = scan.end(input)? else { return Ok(()) };
            *scan = Scan::default();
            let (head, body) = take(input, end)?;
            seen.heads.push(head);
            *decoder = body;
            continue;
        }
        match decoder.decode(input, Limits::default())? {
            Some(Piece::Data(data)) => seen.body.extend_from_slice(&data),
            Some(Piece::Trailers(trailers)) => seen.trailers.push(trailers),
            Some(Piece::End) => {}
            None => return Ok(()),
        }
    }
}

/// Room for what is added.
const WRITTEN: Limits = Limits { bytes: usize::MAX, count: usize::MAX };

/// Whoever reads what is written of it must see the same request.
fn forwarded_request(head: &request::Head, options: &Http1Options) {
    let is_origin = head.parts.uri.authority().is_none() && head.parts.method != Method::CONNECT;
    if !is_origin || matches!(head.decoder, Decoder::UntilClose) {
        return;
    }
    let mut output = Output::default();
    encode::request(&mut output, &head.parts, head.decoder.is_done(), false, options);
    let mut text = output.text().clone();
    let end = whole(&text);
    let Ok(again) = request::take(&mut text, end, WRITTEN, options) else {
        panic!("{:?} is not read again", head.parts)
    };
    assert_eq!((&again.parts.method, &again.parts.uri), (&head.parts.method, &head.parts.uri));
    assert!(is_same_body(&again.decoder, &head.decoder), "{:?}", head.parts);
    assert_kept(&head.parts.headers, &again.parts.headers);
}

/// As [`forwarded_request`].
fn forwarded_response(head: &response::Head, method: &Method, options: &Http1Options) {
    if head.parts.status.is_informational() {
        return;
    }
    let asked = Asked { method, version: Version::HTTP_11, closes: false };
    let mut output = Output::default();
    encode::response(&mut output, &head.parts, None, &asked, options);
    let mut text = output.text().clone();
    let end = whole(&text);
    let Ok(again) = response::take(&mut text, end, method, WRITTEN, options) else {
        panic!("{:?} is not read again", head.parts)
    };
    assert_eq!(again.parts.status, head.parts.status);
    // One that lasts until the connection ends is written in chunks.
    let is_same = is_same_body(&again.decoder, &head.decoder);
    assert!(is_same || matches!(head.decoder, Decoder::UntilClose), "{:?}", head.parts);
    assert_kept(&head.parts.headers, &again.parts.headers);
}

fn whole(text: &BytesMut) -> usize {
    let end = Scan::default().end(text);
    assert_eq!(end, Ok(Some(text.len())), "one head: {text:?}");
    text.len()
}

fn is_same_body(one: &Decoder, other: &Decoder) -> bool {
    match (one, other) {
        (Decoder::Length(one), Decoder::Length(other)) => one == other,
        (Decoder::Chunked(_), Decoder::Chunked(_)) | (Decoder::Done, Decoder::Done) => true,
        _ => false,
    }
}

fn assert_kept(before: &HeaderMap, after: &HeaderMap) {
    for name in before.keys().filter(|name| *name != TRANSFER_ENCODING) {
        let (before, after) = (before.get_all(name), after.get_all(name));
        assert!(before.iter().eq(after.iter()), "{name}");
    }
}
