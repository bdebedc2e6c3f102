//! Texts that are rewritten by a regular expression.

use std::fmt;

use ::regex::bytes;

/// Envoy's `RegexMatchAndSubstitute`: every match of an expression in RE2's syntax becomes a
/// text in which `\1` stands for the first group and `\0` for the whole match. Two are the same
/// when they are written the same.
#[derive(Clone)]
pub(crate) struct Substitution {
    pattern: Box<str>,
    substitution: Box<str>,
    part: bytes::Regex,
    /// The text, as the crate `regex` writes it.
    template: Box<str>,
}

impl Substitution {
    /// Compiles an expression and its substitution.
    ///
    /// # Errors
    /// What is wrong with the substitution, in words.
    pub(crate) fn new(pattern: &str, substitution: &str) -> Result<Self, Wrong> {
        let part = mesh_regex::part(pattern).map_err(|why| Wrong::Pattern(why.to_string()))?;
        let template = template(substitution, part.captures_len() - 1).map_err(Wrong::Text)?;
        Ok(Self {
            pattern: pattern.into(),
            substitution: substitution.into(),
            part,
            template: template.into(),
        })
    }

    /// `text` with all matches replaced; `None` when what comes out is no text.
    pub(crate) fn apply(&self, text: &str) -> Option<String> {
        let replaced = self.part.replace_all(text.as_bytes(), self.template.as_bytes());
        String::from_utf8(replaced.into_owned()).ok()
    }
}

/// Which part of a substitution is wrong, and why.
#[derive(Debug)]
pub(crate) enum Wrong {
    Pattern(String),
    Text(String),
}

/// RE2's rewrite text (`RE2::Rewrite`) as a template: `\1` is `${1}`, `\\` a backslash.
fn template(substitution: &str, groups: usize) -> Result<String, String> {
    let mut template = String::with_capacity(substitution.len() + 8);
    let mut chars = substitution.chars();
    while let Some(next) = chars.next() {
        match (next, if next == '\\' { chars.next() } else { None }) {
            ('$', _) => template.push_str("$$"),
            ('\\', Some('\\')) => template.push('\\'),
            ('\\', Some(digit @ '0'..='9')) => {
                let group = digit.to_digit(10).unwrap_or_default() as usize;
                if group > groups {
                    return Err(format!("the pattern has {groups} groups, and no \\{group}"));
                }
                template.push_str(&format!("${{{group}}}"));
            }
            ('\\', _) => return Err(r"a backslash is followed by a digit or another one".into()),
            (other, _) => template.push(other),
        }
    }
    Ok(template)
}

impl PartialEq for Substitution {
    fn eq(&self, other: &Self) -> bool {
        (&self.pattern, &self.substitution) == (&other.pattern, &other.substitution)
    }
}

impl Eq for Substitution {}

impl fmt::Debug for Substitution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Substitution({:?} by {:?})", self.pattern, self.substitution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_as_re2_does() {
        for (pattern, text, path, expected) in [
            ("^/service/([^/]+)(/.*)$", r"\2/instance/\1", "/service/foo/v1", "/v1/instance/foo"),
            ("one", "two", "/xx/one/yy/one/zz", "/xx/two/yy/two/zz"),
            ("^(.*?)one(.*)$", r"\1two\2", "/xx/one/yy/one/zz", "/xx/two/yy/one/zz"),
            ("(?i)/xXx/", "/yyy/", "/aaa/XxX/bbb", "/aaa/yyy/bbb"),
            ("(b)", r"[\0\1]$\\", "abc", r"a[bb]$\c"),
            ("x", "y", "/none", "/none"),
            ("a*", "-", "baac", "-b-c-"),
        ] {
            let found = Substitution::new(pattern, text).unwrap().apply(path);
            assert_eq!(found.as_deref(), Some(expected), "{pattern} by {text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert!(matches!(Substitution::new("(", "x"), Err(Wrong::Pattern(_))));
        for text in [r"\1", r"\", r"\x"] {
            assert!(matches!(Substitution::new("a", text), Err(Wrong::Text(_))), "{text}");
        }
    }
}
