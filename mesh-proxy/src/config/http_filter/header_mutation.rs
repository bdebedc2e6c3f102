//! Headers that a filter changes.

use std::sync::Arc;

use crate::config::{AppendAction, Format, HeaderChanges};

/// Envoy's `HeaderMutation`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HeaderMutation {
    pub(crate) mutations: Mutations,
    /// `most_specific_header_mutations_wins`: those of a route go last, else those of its
    /// table.
    pub(crate) most_specific_wins: bool,
}

/// Envoy's `Mutations`. Each is done before the next one is looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mutations {
    pub(crate) request: Vec<Arc<HeaderChanges>>,
    /// `query_parameter_mutations`, after those of the request's headers.
    pub(crate) query: Vec<QueryMutation>,
    pub(crate) response: Vec<Arc<HeaderChanges>>,
}

/// A change of a query's parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum QueryMutation {
    Remove(String),
    /// Envoy's `KeyValueAppend`.
    Set {
        name: String,
        value: Format,
        action: AppendAction,
    },
}
