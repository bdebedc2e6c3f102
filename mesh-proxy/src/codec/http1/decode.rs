//! Where a body ends (RFC 9112, sections 6 and 7).

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use memchr::memchr;

use super::scan::Scan;
use super::{Limits, Malformed, fields};

/// The longest line of a chunk: its size, and extensions, which nobody reads.
const MAX_CHUNK_LINE: usize = 4096;

/// What is still to come of a body.
pub(super) enum Decoder {
    Done,
    Length(u64),
    Chunked(Chunk),
    /// All that comes until the connection ends: of a response that does not say its length,
    /// or of a tunnel.
    UntilClose,
}

/// What comes next of a body in chunks.
pub(super) enum Chunk {
    Size,
    Data(u64),
    DataEnd,
    Trailers(Scan),
}

/// A part of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

impl Decoder {
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunk::Size)
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// The next part of the body out of `input`; `None` when more must come.
    pub(super) fn decode(
        &mut self,
        input: &mut BytesMut,
        limits: Limits,
    ) -> Result<Option<Piece>, Malformed> {
        match self {
            Self::Done => Ok(Some(Piece::End)),
            Self::UntilClose if input.is_empty() => Ok(None),
            Self::UntilClose => Ok(Some(Piece::Data(input.split().freeze()))),
            Self::Length(left) => {
                let data = take(input, left);
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(data.map(Piece::Data))
            }
            Self::Chunked(chunk) => {
                let piece = chunk.decode(input, limits)?;
                if matches!(piece, Some(Piece::End | Piece::Trailers(_))) {
                    *self = Self::Done;
                }
                Ok(piece)
            }
        }
    }
}

/// What is there of so many bytes.
fn take(input: &mut BytesMut, left: &mut u64) -> Option<Bytes> {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    *left -= count as u64;
    (count > 0).then(|| input.split_to(count).freeze())
}

impl Chunk {
    fn decode(&mut self, input: &mut BytesMut, limits: Limits) -> Result<Option<Piece>, Malformed> {
        loop {
            match self {
                Self::Size => {
                    let Some(size) = size(input)? else { return Ok(None) };
                    *self = match size {
                        0 => Self::Trailers(Scan::default()),
                        size => Self::Data(size),
                    };
                }
                Self::Data(left) => {
                    let data = take(input, left);
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(data.map(Piece::Data));
                }
                Self::DataEnd => {
                    if input.len() < 2 {
                        return if b"\r\n".starts_with(input) { Ok(None) } else { bad() };
                    }
                    if !input.starts_with(b"\r\n") {
                        return bad();
                    }
                    input.advance(2);
                    *self = Self::Size;
                }
                Self::Trailers(scan) => {
                    let end = scan.end(input)?;
                    if end.unwrap_or(input.len()) > limits.bytes {
                        return Err(Malformed::TooLarge);
                    }
                    let Some(end) = end else { return Ok(None) };
                    let block = input.split_to(end).freeze();
                    let trailers = fields::parse(&block, limits.count, None)?;
                    let is_end = trailers.is_empty();
                    return Ok(Some(if is_end { Piece::End } else { Piece::Trailers(trailers) }));
                }
            }
        }
    }
}

fn bad<T>() -> Result<T, Malformed> {
    Err(Malformed::Syntax)
}

/// The size that the next chunk begins with, taken with its line.
fn size(input: &mut BytesMut) -> Result<Option<u64>, Malformed> {
    let Some(feed) = memchr(b'\n', input) else {
        return if input.len() > MAX_CHUNK_LINE { bad() } else { Ok(None) };
    };
    let line = input.get(..feed).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.filter(|line| line.len() <= MAX_CHUNK_LINE).ok_or(Malformed::Syntax)?;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at(digits);
    let size = std::str::from_utf8(digits).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let size = size.ok_or(Malformed::Syntax)?;
    // Behind it may only be an extension, after blanks that nobody should send.
    let extension = rest.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    let is_text = rest.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t');
    if !is_text || extension.is_some_and(|first| *first != b';') {
        return bad();
    }
    input.advance(feed + 1);
    Ok(Some(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bytes: 64, count: 2 };

    /// All pieces, when the bytes come one after the other.
    fn decoded(bytes: &[u8]) -> Result<Vec<Piece>, Malformed> {
        let mut decoder = Decoder::chunked();
        let (mut input, mut pieces) = (BytesMut::new(), Vec::new());
        for byte in bytes {
            input.extend_from_slice(&[*byte]);
            while !decoder.is_done()
                && let Some(piece) = decoder.decode(&mut input, LIMITS)?
            {
                pieces.push(piece);
            }
        }
        assert!(decoder.is_done());
        Ok(pieces)
    }

    #[test]
    fn chunks_are_put_together() {
        let data = |text: &'static str| Piece::Data(Bytes::from_static(text.as_bytes()));
        let pieces = decoded(b"2\r\nab\r\n01 ;x=y\r\nc\r\n0\r\n\r\n").unwrap();
        assert_eq!(pieces, [data("a"), data("b"), data("c"), Piece::End]);
        let trailers = decoded(b"0\r\nA: b\r\n\r\n").unwrap();
        let [Piece::Trailers(trailers)] = &trailers[..] else { panic!("{trailers:?}") };
        assert_eq!(trailers["a"], "b");
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for (bytes, error) in [
            (&b"x\r\n"[..], Malformed::Syntax),
            (b"\r\n", Malformed::Syntax),
            (b"-1\r\n", Malformed::Syntax),
            (b"+1\r\n", Malformed::Syntax),
            (b"0x1\r\n", Malformed::Syntax),
            (b" 1\r\n", Malformed::Syntax),
            (b"1 2\r\n", Malformed::Syntax),
            (b"1\n", Malformed::Syntax),
            (b"1;\0\r\n", Malformed::Syntax),
            (b"fffffffffffffffff\r\n", Malformed::Syntax),
            (b"1\r\nab\r\n", Malformed::Syntax),
            (b"1\r\na\n", Malformed::Syntax),
            (b"0\r\n\n", Malformed::Syntax),
            (b"0\r\na b\r\n\r\n", Malformed::Syntax),
            (b"0\r\na: 1\r\na: 2\r\na: 3\r\n\r\n", Malformed::TooMany),
            (&[b"0\r\na: ", &[b'x'; 64][..]].concat(), Malformed::TooLarge),
            (&[b"1;", &[b'x'; MAX_CHUNK_LINE][..]].concat(), Malformed::Syntax),
        ] {
            assert_eq!(decoded(bytes), Err(error), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_length_is_kept() {
        let mut decoder = Decoder::Length(3);
        let mut input = BytesMut::from(&b"abcd"[..]);
        let piece = decoder.decode(&mut input, LIMITS).unwrap();
        assert_eq!(piece, Some(Piece::Data(Bytes::from_static(b"abc"))));
        assert!(decoder.is_done());
        assert_eq!(input, "d");
    }
}
