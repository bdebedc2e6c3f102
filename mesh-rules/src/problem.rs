//! What is wrong with what a user wrote, said so that they can put it right.

use std::fmt;

/// One thing that is wrong. `Display` gives one line: source, path, message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file or other origin, with the document's number and the line where known.
    pub source: String,
    /// The field's path, `spec.http[0].route`; empty when it concerns the whole document.
    pub path: String,
    /// What was found, what was expected, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.source, &self.path] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.message)
    }
}

/// What a rule is known by. `Display` gives `VirtualService default/reviews`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleKey {
    /// `VirtualService`, `DestinationRule`, `Gateway`, `PeerAuthentication`, `HTTPRoute`,
    /// `ReferenceGrant`, and `KubernetesGateway` for the Gateway API's `Gateway`.
    pub kind: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for RuleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}
