//! What of a request its endpoint is chosen by.

use std::time::Duration;

use ::http::HeaderName;

use super::Substitution;

/// Envoy's `HashPolicy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HashPolicy {
    pub(crate) source: HashSource,
    /// No policy after this one counts once there is a hash.
    pub(crate) terminal: bool,
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HashSource {
    /// All values of a header, each rewritten if there is a `regex_rewrite`.
    Header(HeaderName, Option<Substitution>),
    Cookie(HashCookie),
    /// `connection_properties.source_ip`.
    SourceIp,
    /// The first query parameter of this name.
    Query(String),
}

/// A cookie that keeps a client at its endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HashCookie {
    pub(crate) name: String,
    /// `ttl`: a client without the cookie gets one that lasts this long, or, when this is 0, for
    /// its session. `None`: it gets none.
    pub(crate) ttl: Option<Duration>,
    /// `path` of the cookie that is made; may be empty.
    pub(crate) path: String,
    /// Others of its attributes, as names and values, which may be empty.
    pub(crate) attributes: Vec<(String, String)>,
}

impl HashCookie {
    /// The value of `Set-Cookie` that gives a client the cookie.
    pub(crate) fn header(&self, value: &str) -> String {
        let mut header = format!("{}=\"{value}\"", self.name);
        let seconds = self.ttl.unwrap_or_default().as_secs();
        if seconds > 0 {
            header.push_str(&format!("; Max-Age={seconds}"));
        }
        if !self.path.is_empty() {
            header.push_str(&format!("; Path={}", self.path));
        }
        for (name, value) in &self.attributes {
            let equals = if value.is_empty() { "" } else { "=" };
            header.push_str(&format!("; {name}{equals}{value}"));
        }
        header.push_str("; HttpOnly");
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_written_as_envoy_writes_them() {
        let mut cookie = HashCookie {
            name: "k".into(),
            ttl: Some(Duration::ZERO),
            path: String::new(),
            attributes: Vec::new(),
        };
        assert_eq!(cookie.header("v"), "k=\"v\"; HttpOnly");
        cookie.ttl = Some(Duration::from_secs(60));
        cookie.path = "/p".into();
        cookie.attributes =
            vec![("SameSite".into(), "Strict".into()), ("Secure".into(), String::new())];
        assert_eq!(
            cookie.header("v"),
            "k=\"v\"; Max-Age=60; Path=/p; SameSite=Strict; Secure; HttpOnly"
        );
    }
}
