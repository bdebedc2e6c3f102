use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, OtherError};

use crate::SubjectAltNames;

/// Which of a certificate's names to look at (Envoy's `SubjectAltNameMatcher.san_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SanKind {
    /// Uniform resource identifiers, SPIFFE IDs among them.
    Uri,
    /// DNS names.
    Dns,
    /// IP addresses, compared as text.
    Ip,
    /// E-mail addresses.
    Email,
}

/// How a name is compared (Envoy's `StringMatcher`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SanPattern {
    /// The whole. A DNS name with a wildcard in the certificate covers this one too.
    Exact(String),
    /// Its beginning.
    Prefix(String),
    /// Its end.
    Suffix(String),
    /// Any part of it.
    Contains(String),
    /// What an expression matches, by somebody else's rules.
    Expression(Expression),
}

/// An expression that decides over names. It compares by its text.
#[derive(Clone)]
pub struct Expression {
    text: String,
    matches: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Expression {
    /// `text` is what it says, for people, and `matches` what it does.
    pub fn new(
        text: impl Into<String>,
        matches: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { text: text.into(), matches: Arc::new(matches) }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// One name that is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SanMatcher {
    /// Which names.
    pub kind: SanKind,
    /// What they must be.
    pub pattern: SanPattern,
    /// Whether ASCII letters' case does not count. For DNS names it never does.
    pub ignore_case: bool,
}

/// The certificate is good, but somebody else's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer's certificate is for {found}; accepted are {accepted}")]
pub struct SanMismatch {
    found: String,
    accepted: String,
}

impl SanMatcher {
    /// The URI must be exactly this one.
    pub fn uri(uri: impl Into<String>) -> Self {
        let pattern = SanPattern::Exact(uri.into());
        Self { kind: SanKind::Uri, pattern, ignore_case: false }
    }

    /// The DNS name must be this one, or a wildcard that covers it.
    pub fn dns(name: impl Into<String>) -> Self {
        let pattern = SanPattern::Exact(name.into());
        Self { kind: SanKind::Dns, pattern, ignore_case: true }
    }

    /// Whether any of the names is accepted.
    pub fn matches(&self, names: &SubjectAltNames) -> bool {
        match self.kind {
            SanKind::Uri => names.uris.iter().any(|name| self.matches_text(name)),
            SanKind::Dns => names.dns.iter().any(|name| self.matches_dns(name)),
            SanKind::Ip => names.ips.iter().any(|ip| self.matches_text(&ip.to_string())),
            SanKind::Email => names.emails.iter().any(|name| self.matches_text(name)),
        }
    }

    fn matches_dns(&self, name: &str) -> bool {
        match &self.pattern {
            SanPattern::Exact(wanted) => covers(name, wanted),
            pattern => compare(pattern, name, true),
        }
    }

    fn matches_text(&self, name: &str) -> bool {
        compare(&self.pattern, name, self.ignore_case)
    }
}

fn compare(pattern: &SanPattern, name: &str, ignore_case: bool) -> bool {
    let fold = |text: &str| match ignore_case {
        true => text.to_ascii_lowercase(),
        false => text.to_owned(),
    };
    let name = fold(name);
    match pattern {
        SanPattern::Exact(text) => name == fold(text),
        SanPattern::Prefix(text) => name.starts_with(&fold(text)),
        SanPattern::Suffix(text) => name.ends_with(&fold(text)),
        SanPattern::Contains(text) => name.contains(&fold(text)),
        SanPattern::Expression(expression) => (expression.matches)(&name),
    }
}

/// Whether a certificate's DNS name, such as `*.example.com`, covers a name (RFC 6125,
/// section 6.4.3: the wildcard is the whole first label, and stands for one).
pub(crate) fn covers(name: &str, wanted: &str) -> bool {
    let wanted = match name.strip_prefix("*.") {
        Some(_) => wanted.split_once('.').map(|(_, rest)| rest),
        None => Some(wanted),
    };
    let name = name.strip_prefix("*.").unwrap_or(name);
    wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case(name))
}

/// That one matcher accepts the certificate; without matchers everybody is accepted.
pub(super) fn check(matchers: &[SanMatcher], leaf: &CertificateDer<'_>) -> Result<(), Error> {
    if matchers.is_empty() {
        return Ok(());
    }
    let names = SubjectAltNames::parse(leaf)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    if matchers.iter().any(|matcher| matcher.matches(&names)) {
        return Ok(());
    }
    let mismatch = SanMismatch { found: found(&names), accepted: accepted(matchers) };
    Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(mismatch)))))
}

fn found(names: &SubjectAltNames) -> String {
    let ips = names.ips.iter().map(ToString::to_string);
    let texts = [&names.uris, &names.dns, &names.emails].into_iter().flatten().cloned();
    list(texts.chain(ips))
}

fn accepted(matchers: &[SanMatcher]) -> String {
    list(matchers.iter().map(|matcher| match &matcher.pattern {
        SanPattern::Exact(text) => text.clone(),
        SanPattern::Prefix(text) => format!("{text}*"),
        SanPattern::Suffix(text) => format!("*{text}"),
        SanPattern::Contains(text) => format!("*{text}*"),
        SanPattern::Expression(Expression { text, .. }) => text.clone(),
    }))
}

/// The first few; a service may have very many accounts.
fn list(texts: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 4;
    let mut texts: Vec<String> = texts.take(SHOWN + 1).collect();
    if texts.len() > SHOWN {
        texts.truncate(SHOWN);
        texts.push("others".to_owned());
    }
    if texts.is_empty() { "nobody".to_owned() } else { texts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> SubjectAltNames {
        SubjectAltNames {
            uris: vec!["spiffe://td/ns/a/sa/b".to_owned()],
            dns: vec!["*.Example.com".to_owned(), "plain.org".to_owned()],
            ips: vec!["10.0.0.1".parse().unwrap()],
            emails: vec!["me@example.com".to_owned()],
        }
    }

    fn matches(kind: SanKind, pattern: SanPattern) -> bool {
        SanMatcher { kind, pattern, ignore_case: false }.matches(&names())
    }

    #[test]
    fn each_kind_has_its_own_names() {
        let exact = |text: &str| SanPattern::Exact(text.to_owned());
        assert!(matches(SanKind::Uri, exact("spiffe://td/ns/a/sa/b")));
        assert!(!matches(SanKind::Uri, exact("spiffe://td/ns/a/sa/bb")));
        assert!(!matches(SanKind::Dns, exact("spiffe://td/ns/a/sa/b")));
        assert!(matches(SanKind::Ip, exact("10.0.0.1")));
        assert!(matches(SanKind::Email, exact("me@example.com")));
        assert!(!matches(SanKind::Email, exact("ME@example.com")));
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        let dns = |text: &str| SanMatcher::dns(text).matches(&names());
        assert!(dns("a.example.com") && dns("A.EXAMPLE.com") && dns("PLAIN.org"));
        assert!(!dns("a.b.example.com") && !dns("example.com") && !dns("x.plain.org"));
    }

    #[test]
    fn parts() {
        assert!(matches(SanKind::Uri, SanPattern::Prefix("spiffe://td/ns/a/".to_owned())));
        assert!(matches(SanKind::Uri, SanPattern::Suffix("/sa/b".to_owned())));
        assert!(matches(SanKind::Uri, SanPattern::Contains("/ns/a/".to_owned())));
        assert!(!matches(SanKind::Uri, SanPattern::Prefix("spiffe://other".to_owned())));
        let short = |most: usize| {
            SanPattern::Expression(Expression::new("short", move |name| name.len() < most))
        };
        assert!(matches(SanKind::Uri, short(30)) && !matches(SanKind::Uri, short(5)));
    }
}
