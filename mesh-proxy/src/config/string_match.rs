//! How texts are compared.

use super::Regex;

/// Envoy's `StringMatcher`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StringMatch {
    pub(crate) pattern: StringPattern,
    /// Without effect on a regular expression.
    pub(crate) ignore_case: bool,
}

/// What a text is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StringPattern {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Regex(Regex),
}

impl StringMatch {
    /// Whether `value` is as asked for.
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        let equal = |a: &[u8], b: &str| match self.ignore_case {
            true => a.eq_ignore_ascii_case(b.as_bytes()),
            false => a == b.as_bytes(),
        };
        match &self.pattern {
            StringPattern::Exact(exact) => equal(value, exact),
            StringPattern::Prefix(start) => {
                value.get(..start.len()).is_some_and(|value| equal(value, start))
            }
            StringPattern::Suffix(end) => {
                let at = value.len().checked_sub(end.len());
                at.is_some_and(|at| equal(&value[at..], end))
            }
            StringPattern::Contains(part) => {
                part.is_empty() || value.windows(part.len()).any(|window| equal(window, part))
            }
            StringPattern::Regex(regex) => regex.matches(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_as_asked() {
        let pattern = |pattern, ignore_case| StringMatch { pattern, ignore_case };
        for (text, expected) in [
            (pattern(StringPattern::Exact("Ab".into()), false), [true, false, false]),
            (pattern(StringPattern::Exact("Ab".into()), true), [true, true, false]),
            (pattern(StringPattern::Prefix("A".into()), false), [true, false, true]),
            (pattern(StringPattern::Suffix("B".into()), true), [true, true, false]),
            (pattern(StringPattern::Contains("Abc".into()), false), [false, false, true]),
            (pattern(StringPattern::Regex(Regex::new("A.").unwrap()), true), [true, false, false]),
        ] {
            let found = ["Ab", "aB", "Abcd"].map(|value| text.matches(value.as_bytes()));
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
