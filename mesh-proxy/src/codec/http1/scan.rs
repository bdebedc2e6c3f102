//! Where a block of lines ends: a head, or trailers.

use memchr::memchr;

use super::Malformed;

/// How far a block was looked at: what comes in pieces is looked at once.
#[derive(Default)]
pub(super) struct Scan {
    line: usize,
    seen: usize,
}

impl Scan {
    /// Where the block ends that `bytes` begin with, behind its empty line; `None` when more
    /// must come. Each line ends with CR LF: a line feed alone (RFC 9112, section 2.2, lets
    /// a recipient take one) is how requests are smuggled past whoever does not.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        while let Some(found) = memchr(b'\n', bytes.get(self.seen..).unwrap_or_default()) {
            let feed = self.seen + found;
            let is_ended_well = feed > self.line && bytes.get(feed - 1) == Some(&b'\r');
            if !is_ended_well {
                return Err(Malformed::Syntax);
            }
            let is_empty = feed - 1 == self.line;
            self.line = feed + 1;
            self.seen = self.line;
            if is_empty {
                return Ok(Some(self.line));
            }
        }
        self.seen = bytes.len();
        Ok(None)
    }
}

/// The first line of a block, without its CR LF, and how long it is with it.
pub(super) fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let feed = memchr(b'\n', bytes)?;
    let line = bytes.get(..feed)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), feed + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_ends_with_an_empty_line_however_it_comes() {
        let block = b"GET / HTTP/1.1\r\na: b\r\n\r\nrest";
        assert_eq!(Scan::default().end(block), Ok(Some(24)));
        let mut scan = Scan::default();
        for length in 0..24 {
            assert_eq!(scan.end(&block[..length]), Ok(None), "{length}");
        }
        assert_eq!(scan.end(&block[..24]), Ok(Some(24)));
        assert_eq!(Scan::default().end(b"\r\n"), Ok(Some(2)));
    }

    #[test]
    fn a_line_feed_alone_ends_no_line() {
        for block in ["GET / HTTP/1.1\n", "a: b\r\n\n", "\n"] {
            assert_eq!(Scan::default().end(block.as_bytes()), Err(Malformed::Syntax), "{block:?}");
        }
    }
}
