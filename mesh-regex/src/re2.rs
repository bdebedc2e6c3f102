//! From RE2's syntax to that of the crate `regex`.
//!
//! The two are nearly the same (<https://github.com/google/re2/wiki/Syntax>). What differs: RE2's
//! classes `\d`, `\w`, `\s` and its word boundaries are ASCII; in a bracket expression it knows no
//! nested ones and no `&&`, `--`, `~~`; a brace that begins no repetition is a brace; `\<` and
//! `\>` are what they look like; `\Q` quotes until `\E`, and `\C` is any byte.

use std::str::Chars;

use super::Error;

/// The same expression for the crate `regex`.
///
/// # Errors
/// A group that is closed and was not opened: in brackets of ours it would close those.
pub(super) fn translate(re2: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(re2.len() + 16);
    let mut chars = re2.chars();
    let mut depth = 0_usize;
    while let Some(next) = chars.next() {
        match next {
            '\\' => escape(&mut chars, &mut out),
            '[' => brackets(&mut chars, &mut out),
            '{' if !begins_repetition(chars.as_str()) => out.push_str(r"\{"),
            '(' | ')' => {
                let deeper = if next == '(' { depth.checked_add(1) } else { depth.checked_sub(1) };
                depth = deeper.ok_or_else(|| Error("unopened group".to_owned()))?;
                out.push(next);
            }
            other => out.push(other),
        }
    }
    Ok(out)
}

/// What follows a backslash outside of brackets.
fn escape(chars: &mut Chars<'_>, out: &mut String) {
    match chars.next() {
        Some('Q') => quoted(chars, out),
        Some('C') => out.push_str("(?s-u:.)"),
        Some('b') => out.push_str(r"(?-u:\b)"),
        Some('B') => out.push_str(r"(?-u:\B)"),
        Some(next) => escaped(next, out),
        // For the compiler to refuse.
        None => out.push('\\'),
    }
}

/// What means the same in brackets and outside.
fn escaped(next: char, out: &mut String) {
    match next {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(r"[\t\n\f\r ]"),
        'S' => out.push_str(r"[^\t\n\f\r ]"),
        '<' | '>' => out.push(next),
        other => out.extend(['\\', other]),
    }
}

/// Literal text until `\E`, or the end.
fn quoted(chars: &mut Chars<'_>, out: &mut String) {
    let rest = chars.as_str();
    let (text, behind) = rest.split_once(r"\E").unwrap_or((rest, ""));
    out.push_str(&regex::escape(text));
    *chars = behind.chars();
}

/// A bracket expression, after its first bracket.
fn brackets(chars: &mut Chars<'_>, out: &mut String) {
    out.push('[');
    if let Some(behind) = chars.as_str().strip_prefix('^') {
        out.push('^');
        *chars = behind.chars();
    }
    let mut is_first = true;
    let mut after_dash = false;
    while let Some(next) = chars.next() {
        let was_dash = std::mem::replace(&mut after_dash, false);
        match next {
            ']' if !is_first => return out.push(']'),
            '[' if chars.as_str().starts_with(':') => posix_class(chars, out),
            '[' | ']' | '&' | '~' => out.extend(['\\', next]),
            '-' if is_first || was_dash => out.push_str(r"\-"),
            '\\' => match chars.next() {
                Some(next) => escaped(next, out),
                None => out.push('\\'),
            },
            other => {
                after_dash = other == '-';
                out.push(other);
            }
        }
        is_first = false;
    }
}

/// `[:alpha:]`, after its first bracket.
fn posix_class(chars: &mut Chars<'_>, out: &mut String) {
    out.push('[');
    for next in chars.by_ref() {
        out.push(next);
        if next == ']' {
            return;
        }
    }
}

/// Whether what follows a brace makes it a repetition: `2}`, `2,}` or `2,3}`.
fn begins_repetition(rest: &str) -> bool {
    // No further than it has to: of many braces each one looks.
    let end = rest.find(|next: char| !next.is_ascii_digit() && next != ',');
    let Some((inside, behind)) = end.map(|end| rest.split_at(end)) else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_repetition = match inside.split_once(',') {
        Some((from, to)) => is_number(from) && (to.is_empty() || is_number(to)),
        None => is_number(inside),
    };
    is_repetition && behind.starts_with('}')
}

#[cfg(test)]
mod tests {
    use crate::whole;

    #[test]
    fn means_what_it_means_to_re2() {
        for (text, matching, others) in [
            (r"\d+", &["12", "٣"][..1], &["٣", ""][..]),
            (r"[\w-]+", &["a-b_9"], &["ä", "a b"]),
            (r"[^\s]", &["x", "\u{b}"], &[" ", "\t"]),
            ("[[a]", &["[", "a"], &["b"]),
            ("[a&&b]", &["a", "b", "&"], &["c"]),
            ("[]a]", &["]", "a"], &["b"]),
            ("[^]a]", &["b"], &["]", "a"]),
            ("[[:digit:]x]", &["1", "x"], &[":", "d"]),
            ("[--/]", &["-", ".", "/"], &["0"]),
            ("[a-c-]", &["b", "-"], &["d"]),
            ("/{id}", &["/{id}"], &["/id"]),
            ("a{2,3}", &["aa", "aaa"], &["a", "a{2,3}"]),
            ("a{,2}", &["a{,2}"], &["aa"]),
            ("a{2", &["a{2"], &["aa"]),
            (r"\<a\>", &["<a>"], &["a"]),
            (r"\Qa.b\E.", &["a.bc"], &["axbc"]),
            (r"\Qa.(", &["a.("], &["ab("]),
            (r"a\b.*", &["a b", "aä"], &["ab"]),
        ] {
            let regex = whole(text).unwrap();
            for value in matching {
                assert!(regex.is_match(value.as_bytes()), "{text} and {value}");
            }
            for value in others {
                assert!(!regex.is_match(value.as_bytes()), "{text} and {value}");
            }
        }
        assert!(whole(r"\C").unwrap().is_match(b"\xff"));
        assert!(!whole(".").unwrap().is_match(b"\xff"));
    }

    #[test]
    fn its_time_is_that_of_its_length() {
        // Half a million braces, and quotes: seconds for whoever looks to the end at each.
        for text in ["{".repeat(1 << 19), r"\Q\E".repeat(1 << 17)] {
            assert!(super::translate(&text).unwrap().len() <= 2 * text.len());
        }
    }
}
