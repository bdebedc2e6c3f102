//! From RE2's syntax to that of the crate `regex`.
//!
//! The two are nearly the same (<https://github.com/google/re2/wiki/Syntax>). What differs: RE2's
//! classes `\d`, `\w`, `\s` and its word boundaries are ASCII; in a bracket expression it knows no
//! nested ones and no `&&`, `--`, `~~`; a brace that begins no repetition is a brace; `\<` and
//! `\>` are what they look like; `\Q` quotes until `\E`, and `\C` is any byte.

use std::iter::Peekable;
use std::str::Chars;

use super::Error;

/// The same expression for the crate `regex`.
///
/// # Errors
/// A group that is closed and was not opened: in brackets of ours it would close those.
pub(super) fn translate(re2: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(re2.len() + 16);
    let mut chars = re2.chars().peekable();
    let mut depth = 0_usize;
    while let Some(next) = chars.next() {
        match next {
            '\\' => escape(&mut chars, &mut out),
            '[' => brackets(&mut chars, &mut out),
            '{' if !begins_repetition(chars.clone()) => out.push_str(r"\{"),
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
fn escape(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
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
fn quoted(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let rest: String = chars.clone().collect();
    let text = rest.split_once(r"\E").map_or(&*rest, |(text, _)| text);
    out.push_str(&regex::escape(text));
    let length = text.chars().count() + if text.len() < rest.len() { 2 } else { 0 };
    chars.by_ref().take(length).for_each(drop);
}

/// A bracket expression, after its first bracket.
fn brackets(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut is_first = true;
    let mut after_dash = false;
    while let Some(next) = chars.next() {
        let was_dash = std::mem::replace(&mut after_dash, false);
        match next {
            ']' if !is_first => return out.push(']'),
            '[' if chars.peek() == Some(&':') => posix_class(chars, out),
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
fn posix_class(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    out.push('[');
    for next in chars.by_ref() {
        out.push(next);
        if next == ']' {
            return;
        }
    }
}

/// Whether what follows a brace makes it a repetition: `2}`, `2,}` or `2,3}`.
fn begins_repetition(rest: Peekable<Chars<'_>>) -> bool {
    let inside: String = rest.take_while(|next| *next != '}').collect();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match inside.split_once(',') {
        Some((from, to)) => is_number(from) && (to.is_empty() || is_number(to)),
        None => is_number(&inside),
    }
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
}
