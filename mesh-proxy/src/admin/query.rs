//! A page's query, and the filter of statistics.

/// The parameters of a query; the first of a name counts.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn new(query: Option<String>) -> Self {
        let query = query.unwrap_or_default();
        let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
        Self(
            parameters
                .map(|parameter| {
                    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                    (decoded(name), decoded(value))
                })
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// Percent-decoding; what is malformed stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| hex(after)).flatten();
        let (byte, consumed) = match (escaped, first) {
            (Some(byte), _) => (byte, 3),
            (None, b'+') => (b' ', 1),
            (None, byte) => (*byte, 1),
        };
        bytes.push(byte);
        rest = rest.get(consumed..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits.get(..2)?).ok()?;
    u8::from_str_radix(digits, 16).ok()
}

/// `?filter=`: the part of regular expressions that filters of statistics are made of.
/// Alternatives with `|`, `^` at the start, `$` at the end, `.*` for anything, and a dot
/// for a dot, escaped or not.
pub(super) struct Filter(Vec<Alternative>);

struct Alternative {
    at_start: bool,
    at_end: bool,
    /// In this order, with anything between them.
    parts: Vec<String>,
}

impl Filter {
    pub(super) fn new(filter: &str) -> Self {
        Self(filter.split('|').map(Alternative::new).collect())
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|alternative| alternative.matches(name))
    }
}

impl Alternative {
    fn new(text: &str) -> Self {
        let (at_start, text) = match text.strip_prefix('^') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (at_end, text) = match text.strip_suffix('$') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let parts = text.split(".*").map(|part| part.replace('\\', "")).collect();
        Self { at_start, at_end, parts }
    }

    fn matches(&self, name: &str) -> bool {
        let Some((last, before)) = self.parts.split_last() else { return true };
        let mut rest = name;
        for (index, part) in before.iter().enumerate() {
            let found = match (index, self.at_start) {
                (0, true) => rest.starts_with(part.as_str()).then_some(0),
                _ => rest.find(part.as_str()),
            };
            match found {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        match (self.at_start && before.is_empty(), self.at_end) {
            (true, true) => rest == last,
            (true, false) => rest.starts_with(last.as_str()),
            (false, true) => rest.ends_with(last.as_str()),
            (false, false) => rest.contains(last.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_parameters_apart() {
        let query = Query::new(Some("filter=a%2eb+c&usedonly&format=json&format=x".to_owned()));
        assert_eq!(query.get("filter"), Some("a.b c"));
        assert_eq!(query.get("format"), Some("json"));
        assert!(query.has("usedonly") && !query.has("other"));
        assert_eq!(Query::new(Some("x=%zz%2".to_owned())).get("x"), Some("%zz%2"));
    }

    #[test]
    fn filters_like_the_expressions_that_people_write() {
        let matches = |filter: &str, name: &str| Filter::new(filter).matches(name);
        let name = "cluster.backends.upstream_rq_total";
        for filter in [
            "",
            "upstream_rq",
            "^cluster.",
            r"^cluster\.backends\.",
            "rq_total$",
            "x|rq_total",
            "cluster.*total",
            "^cluster.*_total$",
            "^cluster.backends.upstream_rq_total$",
        ] {
            assert!(matches(filter, name), "{filter}");
        }
        for filter in ["^backends", "upstream$", "total.*cluster", "^cluster$", "zz|b.*zz"] {
            assert!(!matches(filter, name), "{filter}");
        }
    }
}
