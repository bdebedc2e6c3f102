//! A page's query.

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

    /// The only parameter; an error, in Envoy's words, when there are several.
    pub(super) fn only(&self) -> Result<Option<(&str, &str)>, String> {
        match &self.0[..] {
            [] => Ok(None),
            [(name, value)] => Ok(Some((name, value))),
            _ => Err("invalid number of parameters".to_owned()),
        }
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
}
