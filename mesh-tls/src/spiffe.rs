use std::fmt;
use std::str::FromStr;

/// A workload's identity: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`,
/// the form in which Istio uses SPIFFE IDs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    trust_domain: String,
    namespace: String,
    service_account: String,
}

/// Why a text is not a workload's identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeError {
    /// Another scheme, or other path segments.
    #[error("{0:?} is not of the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>")]
    Form(String),
    /// The trust domain is not one (SPIFFE-ID specification, section 2.1).
    #[error(
        "trust domain {0:?} must be 1 to 255 lower-case letters, digits, dots, dashes and underscores"
    )]
    TrustDomain(String),
    /// A path segment is not one (SPIFFE-ID specification, section 2.2).
    #[error("{what} {value:?} must be letters, digits, dots, dashes and underscores")]
    Segment {
        /// "namespace" or "service account".
        what: &'static str,
        /// What was found.
        value: String,
    },
    /// The whole is longer than 2048 bytes (SPIFFE-ID specification, section 2.3).
    #[error("a SPIFFE ID has at most 2048 bytes; this one has {0}")]
    Length(usize),
}

const MAX_LENGTH: usize = 2048;

impl SpiffeId {
    /// An identity of its three parts.
    pub fn new(
        trust_domain: &str,
        namespace: &str,
        service_account: &str,
    ) -> Result<Self, SpiffeError> {
        check_trust_domain(trust_domain)?;
        for (what, value) in [("namespace", namespace), ("service account", service_account)] {
            if !is_segment(value) {
                return Err(SpiffeError::Segment { what, value: value.to_owned() });
            }
        }
        let id = Self {
            trust_domain: trust_domain.to_owned(),
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
        };
        match id.to_string().len() {
            length if length > MAX_LENGTH => Err(SpiffeError::Length(length)),
            _ => Ok(id),
        }
    }

    /// The trust domain: who vouches for the identity.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// The Kubernetes namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The Kubernetes service account.
    pub fn service_account(&self) -> &str {
        &self.service_account
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trust_domain, namespace, service_account } = self;
        write!(f, "spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}")
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        let form = || SpiffeError::Form(text.chars().take(MAX_LENGTH).collect());
        // The scheme is the one part whose case does not count (RFC 3986, section 3.1).
        let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
        if !scheme.eq_ignore_ascii_case("spiffe") {
            return Err(form());
        }
        let segments: Vec<&str> = rest.split('/').collect();
        match segments[..] {
            [trust_domain, "ns", namespace, "sa", service_account] => {
                Self::new(trust_domain, namespace, service_account)
            }
            _ => Err(form()),
        }
    }
}

/// Whether `text` can be the trust domain of identities.
///
/// # Errors
/// Says what one is made of.
pub fn check_trust_domain(text: &str) -> Result<(), SpiffeError> {
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    match (1..=255).contains(&text.len()) && text.bytes().all(allowed) {
        true => Ok(()),
        false => Err(SpiffeError::TrustDomain(text.to_owned())),
    }
}

fn is_segment(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !text.is_empty() && text != "." && text != ".." && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_it_displays() {
        let id = SpiffeId::new("cluster.local", "shop", "bookinfo-reviews").unwrap();
        let text = "spiffe://cluster.local/ns/shop/sa/bookinfo-reviews";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse::<SpiffeId>().unwrap(), id);
        assert_eq!(text.replacen("spiffe", "SPIFFE", 1).parse::<SpiffeId>().unwrap(), id);
    }

    #[test]
    fn refuses_what_is_no_workloads_identity() {
        for text in [
            "",
            "https://cluster.local/ns/a/sa/b",
            "spiffe://cluster.local",
            "spiffe://cluster.local/ns/a/sa/b/",
            "spiffe://cluster.local/ns/a/sa/b/c",
            "spiffe://cluster.local/sa/a/ns/b",
            "spiffe://Cluster.local/ns/a/sa/b",
            "spiffe:///ns/a/sa/b",
            "spiffe://cluster.local:8443/ns/a/sa/b",
            "spiffe://user@cluster.local/ns/a/sa/b",
            "spiffe://cluster.local/ns//sa/b",
            "spiffe://cluster.local/ns/../sa/b",
            "spiffe://cluster.local/ns/a/sa/b?x",
            "spiffe://cluster.local/ns/a/sa/b%2f",
        ] {
            assert!(text.parse::<SpiffeId>().is_err(), "{text}");
        }
    }

    #[test]
    fn too_long_is_refused() {
        let error = SpiffeId::new("a", &"n".repeat(2048), "b").unwrap_err();
        assert!(matches!(error, SpiffeError::Length(_)));
        assert!(SpiffeId::new(&"a".repeat(256), "n", "b").is_err());
    }
}
