//! A file as texts and actions, and an action as words.

use super::error::{Result, at};

/// A piece of a file.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Action { line: usize, words: Vec<Word> },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word {
    /// `if`, `quote`, `end`.
    Name(String),
    /// `.Values.a`, `.`, `$`, `$.Release.Name`: whether it begins at the root, and the fields.
    Path {
        root: bool,
        fields: Vec<String>,
    },
    Text(String),
    Integer(i64),
    Pipe,
    Open,
    Close,
}

/// Cuts a file at its actions. `{{-` and `-}}` take the white space beside them away, and a
/// comment is nothing.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let (mut rest, mut line, mut trim) = (text, 1, false);
    while let Some(start) = rest.find("{{") {
        let (before, inside) = (&rest[..start], &rest[start + 2..]);
        let at_line = line + count(before);
        let Some(end) = end_of(inside) else {
            return at(at_line, "this {{ has no }}");
        };
        let (mut action, after) = (&inside[..end], &inside[end + 2..]);
        let trim_before = action.starts_with("- ") || action.starts_with("-/*");
        let trim_after = action.ends_with(" -") || action.ends_with("*/-");
        push_text(&mut pieces, before, trim, trim_before);
        action = action.strip_prefix('-').filter(|_| trim_before).unwrap_or(action);
        action = action.strip_suffix('-').filter(|_| trim_after).unwrap_or(action);
        if !action.trim().starts_with("/*") {
            pieces.push(Piece::Action { line: at_line, words: words(action, at_line)? });
        }
        line = at_line + count(&rest[start..rest.len() - after.len()]);
        (rest, trim) = (after, trim_after);
    }
    push_text(&mut pieces, rest, trim, false);
    Ok(pieces)
}

fn count(text: &str) -> usize {
    text.matches('\n').count()
}

/// Where the action ends: at the first `}}` outside a text or a comment.
fn end_of(inside: &str) -> Option<usize> {
    let trimmed = inside.trim_start_matches(['-', ' ']);
    if trimmed.starts_with("/*") {
        let close = inside.find("*/")?;
        return inside[close..].find("}}").map(|end| close + end);
    }
    let mut quote = None;
    let mut escaped = false;
    for (index, char) in inside.char_indices() {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if char == '\\' => escaped = true,
            Some(open) if char == open => quote = None,
            Some(_) => {}
            None if char == '"' || char == '`' => quote = Some(char),
            None if inside[index..].starts_with("}}") => return Some(index),
            None => {}
        }
    }
    None
}

fn push_text(pieces: &mut Vec<Piece>, text: &str, trim_start: bool, trim_end: bool) {
    let text = if trim_start { text.trim_start() } else { text };
    let text = if trim_end { text.trim_end() } else { text };
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

fn words(action: &str, line: usize) -> Result<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = action.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, length) = match first {
            '|' => (Word::Pipe, 1),
            '(' => (Word::Open, 1),
            ')' => (Word::Close, 1),
            '"' | '`' => text(rest, first, line)?,
            _ => plain(rest, line)?,
        };
        words.push(word);
        rest = rest[length..].trim_start();
    }
    Ok(words)
}

fn text(rest: &str, quote: char, line: usize) -> Result<(Word, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((index, char)) = chars.next() {
        match char {
            _ if char == quote => return Ok((Word::Text(text), index + 1)),
            '\\' if quote == '"' => match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                _ => return at(line, "of escapes only \\n, \\\" and \\\\ are understood"),
            },
            _ => text.push(char),
        }
    }
    at(line, "this text has no end")
}

fn plain(rest: &str, line: usize) -> Result<(Word, usize)> {
    let end = rest.find(|char: char| char.is_whitespace() || "|()\"`".contains(char));
    let word = &rest[..end.unwrap_or(rest.len())];
    let path = word.strip_prefix('$').or(word.starts_with('.').then_some(word));
    if let Some(path) = path {
        let fields: Vec<_> = path.split('.').skip(1).map(str::to_owned).collect();
        let is_dot = path == "." || path.is_empty();
        let good = |field: &String| {
            !field.is_empty() && field.chars().all(|char| char.is_alphanumeric() || char == '_')
        };
        if !(is_dot || path.starts_with('.') && fields.iter().all(good)) {
            return at(line, format!("{word:?} is not a path such as .Values.pilot.replicas"));
        }
        let fields = if is_dot { Vec::new() } else { fields };
        return Ok((Word::Path { root: word.starts_with('$'), fields }, word.len()));
    }
    if word.starts_with(|char: char| char.is_ascii_digit() || char == '-') {
        return match word.parse() {
            Ok(number) => Ok((Word::Integer(number), word.len())),
            Err(_) => at(line, format!("{word:?} is not a whole number")),
        };
    }
    if word.chars().all(char::is_alphanumeric) {
        return Ok((Word::Name(word.to_owned()), word.len()));
    }
    at(line, format!("{word:?} is not understood"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> String {
        let piece = |piece| match piece {
            Piece::Text(text) => text,
            Piece::Action { line, .. } => format!("<{line}>"),
        };
        pieces(text).unwrap().into_iter().map(piece).collect()
    }

    #[test]
    fn dashes_take_white_space_away_and_comments_are_nothing() {
        assert_eq!(texts("a\n{{- .x }}\nb {{ .y -}}\n  c"), "a<2>\nb <3>c");
        assert_eq!(texts("a\n{{- /* }} */ -}}\nb"), "ab");
        assert_eq!(texts("{{ \"}}\" }}{{`}}`}}"), "<1><1>");
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_line() {
        for (text, line, expected) in [
            ("a\n{{ .x", 2, "no }}"),
            ("\n\n{{ .Values.a-b }}", 3, ".Values.a-b"),
            ("{{ $x }}", 1, "$x"),
            ("{{ 1.5 }}", 1, "1.5"),
            ("{{ \"a\\t\" }}", 1, "escapes"),
            ("{{ a := 1 }}", 1, ":="),
        ] {
            let error = pieces(text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.message.contains(expected), "{text}: {}", error.message);
        }
    }
}
