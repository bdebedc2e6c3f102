//! Regular expressions as Envoy has them: in RE2's syntax, by the crate `regex`, and so in linear
//! time.

mod re2;

use regex::bytes::{Regex, RegexBuilder};

/// What one expression may need, compiled, in bytes.
const SIZE_LIMIT: usize = 1 << 20;

/// What is wrong with an expression, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// Compiles an expression that is to match the whole of a text.
///
/// # Errors
/// When it is not one of RE2's, or too large.
pub fn whole(text: &str) -> Result<Regex, Error> {
    compile(&format!(r"\A(?:{})\z", re2::translate(text)?))
}

/// Compiles an expression that is to match any part of a text.
///
/// # Errors
/// As [`whole`].
pub fn part(text: &str) -> Result<Regex, Error> {
    compile(&re2::translate(text)?)
}

fn compile(translated: &str) -> Result<Regex, Error> {
    let compiled = RegexBuilder::new(translated).size_limit(SIZE_LIMIT).build();
    compiled.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            Error(format!("needs more than {SIZE_LIMIT} bytes when it is compiled"))
        }
        // Its last line says what is wrong, the others draw where.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default().trim();
            Error(last.strip_prefix("error: ").unwrap_or(last).to_owned())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_text_or_a_part() {
        let whole = whole("/a|/b/[0-9]+").unwrap();
        for (path, expected) in [("/a", true), ("/b/12", true), ("/ab/1", false), ("/b/1x", false)]
        {
            assert_eq!(whole.is_match(path.as_bytes()), expected, "{path}");
        }
        assert!(part("b").unwrap().is_match(b"abc"));
        assert!(!super::whole("a$").unwrap().is_match(b"a\n"));
        assert!(!super::whole("a.b").unwrap().is_match(b"a\nb"));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, expected) in [
            ("a)(b", "unopened group"),
            ("(a", "unclosed group"),
            (r"(a)\1", "backreferences are not supported"),
            ("(?:a{1000}){1000}", "needs more than 1048576 bytes"),
        ] {
            let error = whole(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
