//! From a file to the texts of its documents.

/// The documents, each with the line that it begins at. Comments stay with the document
/// that follows them.
pub(crate) fn split(text: &str) -> Vec<(usize, String)> {
    let mut pieces = vec![(1, String::new())];
    for (index, line) in text.lines().enumerate() {
        let marker = marker(line);
        if marker.is_some() || line.trim_end() == "..." {
            pieces.push((index + 2, String::new()));
        }
        let Some((begin, piece)) = pieces.last_mut() else { continue };
        match marker {
            // What follows the marker is the new document's first line.
            Some(rest) if has_content(rest) => {
                *begin = index + 1;
                piece.push_str(rest.trim_start());
            }
            Some(_) => continue,
            None if line.trim_end() == "..." => continue,
            None => piece.push_str(line),
        }
        piece.push('\n');
    }
    // Before the first marker, and after a last one, there may be nothing at all.
    pieces.retain(|(_, piece)| !piece.trim().is_empty());
    pieces
}

/// What follows a `---` that begins a document.
fn marker(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("---")?;
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then_some(rest)
}

fn has_content(rest: &str) -> bool {
    !rest.trim().is_empty() && !rest.trim_start().starts_with('#')
}

/// Whether a document is only comments and blank lines.
pub(crate) fn says_nothing(piece: &str) -> bool {
    piece.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_texts_and_lines() {
        let text = "# first\nkind: A\n---\n# nothing\n---\n# second\nkind: B\n--- # third\nkind: C\n--- {d: 1}\n...\n";
        let expected = [
            (1, "# first\nkind: A\n"),
            (4, "# nothing\n"),
            (6, "# second\nkind: B\n"),
            (9, "kind: C\n"),
            (10, "{d: 1}\n"),
        ];
        let expected: Vec<_> = expected.iter().map(|(line, t)| (*line, t.to_string())).collect();
        assert_eq!(split(text), expected);
    }

    #[test]
    fn a_marker_must_stand_alone() {
        assert_eq!(split("a: |\n  ---\n").len(), 1);
        assert_eq!(split("---a: 1\n").len(), 1);
        assert_eq!(split("---\n---\n"), []);
    }

    #[test]
    fn comments_say_nothing() {
        assert!(says_nothing("# a\n\n  # b\n"));
        assert!(!says_nothing("a: 1 # b\n"));
    }
}
