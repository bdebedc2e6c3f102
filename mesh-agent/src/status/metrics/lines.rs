//! Somebody else's metrics, line by line, made fit for a page of several.

use axum::body::Bytes;

const MAX_LINE: usize = 64 << 10;
/// A million lines. More is a mistake; Prometheus' own advice is a thousandth of it.
const MAX_TOTAL: usize = 128 << 20;

/// Passes on whole lines only.
pub(super) struct Lines {
    /// Make text that is nearly OpenMetrics into such.
    to_openmetrics: bool,
    open: Vec<u8>,
    total: usize,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TooLarge {
    #[error("a line has more than {MAX_LINE} bytes")]
    Line,
    #[error("there are more than {MAX_TOTAL} bytes")]
    Total,
}

impl Lines {
    pub(super) fn new(to_openmetrics: bool) -> Self {
        Self { to_openmetrics, open: Vec::new(), total: 0 }
    }

    /// The lines that `bytes` has completed.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Bytes, TooLarge> {
        self.total += bytes.len();
        if self.total > MAX_TOTAL {
            return Err(TooLarge::Total);
        }
        let mut whole = Vec::with_capacity(self.open.len() + bytes.len());
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            self.open.extend_from_slice(&rest[..at]);
            self.finish_line(&mut whole);
            rest = &rest[at + 1..];
        }
        self.open.extend_from_slice(rest);
        match self.open.len() > MAX_LINE {
            true => Err(TooLarge::Line),
            false => Ok(whole.into()),
        }
    }

    /// What is left at the good end: a last line without its newline.
    pub(super) fn end(&mut self) -> Bytes {
        let mut last = Vec::new();
        self.finish_line(&mut last);
        last.into()
    }

    fn finish_line(&mut self, out: &mut Vec<u8>) {
        let line = self.open.trim_ascii_end();
        // The end is only at the end of the whole page.
        if !line.is_empty() && line != b"# EOF" {
            match self.to_openmetrics {
                true => openmetrics(line, out),
                false => push_line(line, out),
            }
        }
        self.open.clear();
    }
}

fn push_line(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(line);
    out.push(b'\n');
}

/// OpenMetrics has no free comments, and wants `_total` behind a counter's name, which
/// Envoy's do not have: their type is then `unknown`.
fn openmetrics(line: &[u8], out: &mut Vec<u8>) {
    let is_metadata = [b"# HELP ".as_slice(), b"# TYPE ", b"# UNIT "];
    if line.starts_with(b"#") && !is_metadata.iter().any(|start| line.starts_with(start)) {
        return;
    }
    match line.strip_suffix(b" counter") {
        Some(start) if line.starts_with(b"# TYPE ") => {
            out.extend_from_slice(start);
            out.extend_from_slice(b" unknown\n");
        }
        _ => push_line(line, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_and_no_end_in_the_middle() {
        let mut lines = Lines::new(false);
        assert_eq!(lines.push(b"# free\na 1\nb").unwrap(), "# free\na 1\n");
        assert_eq!(lines.push(b" 2\r\n\n# EOF\nc 3").unwrap(), "b 2\n");
        assert_eq!(lines.end(), "c 3\n");
        assert_eq!(lines.end(), "");
    }

    #[test]
    fn text_becomes_openmetrics() {
        let mut lines = Lines::new(true);
        let text = b"# free\n# HELP a b counter\n# TYPE a counter\na{x=\"y\"} 1\n";
        let expected = "# HELP a b counter\n# TYPE a unknown\na{x=\"y\"} 1\n";
        assert_eq!(lines.push(text).unwrap(), expected);
    }

    #[test]
    fn a_line_has_its_limit() {
        let mut lines = Lines::new(false);
        assert!(lines.push(&[b'a'; MAX_LINE]).is_ok());
        assert!(matches!(lines.push(b"a"), Err(TooLarge::Line)));
    }
}
