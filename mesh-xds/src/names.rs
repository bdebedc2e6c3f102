use std::collections::BTreeSet;

/// The names that a subscription asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// Every resource that the server has for this node.
    Wildcard,
    /// These only. An empty set asks for nothing.
    Only(BTreeSet<String>),
}

impl Names {
    /// Whether a resource of this name is asked for.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::Wildcard => true,
            Self::Only(names) => names.contains(name),
        }
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Only(names) if names.is_empty())
    }

    /// As in `DiscoveryRequest.resource_names`, where a wildcard is an empty list.
    pub(crate) fn to_wire(&self) -> Vec<String> {
        match self {
            Self::Wildcard => Vec::new(),
            Self::Only(names) => names.iter().cloned().collect(),
        }
    }
}

impl<S: Into<String>> FromIterator<S> for Names {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self::Only(names.into_iter().map(Into::into).collect())
    }
}
