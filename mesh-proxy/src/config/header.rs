//! Changes of headers.

use ::http::{HeaderName, HeaderValue};

use super::{Format, StringMatch};

/// What one place of a configuration changes in headers, as Envoy does it: what is removed
/// goes first; then all values are made, before any of them is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderChanges {
    remove: Vec<HeaderName>,
    /// `remove_on_match`: headers whose name matches.
    remove_matching: Option<StringMatch>,
    add: Vec<HeaderAddition>,
    /// No value depends on the request, and no header is named twice: they can be written
    /// one by one.
    is_plain: bool,
}

/// Envoy's `HeaderValueOption`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeaderAddition {
    pub(crate) name: HeaderName,
    pub(crate) value: HeaderText,
    pub(crate) action: AppendAction,
    /// `keep_empty_value`: without it an empty value changes nothing.
    pub(crate) keep_empty: bool,
}

/// A header's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderText {
    Literal(HeaderValue),
    Format(Format),
}

/// `append_action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppendAction {
    /// `APPEND_IF_EXISTS_OR_ADD`.
    Append,
    /// `ADD_IF_ABSENT`.
    AddIfAbsent,
    /// `OVERWRITE_IF_EXISTS_OR_ADD`.
    Set,
    /// `OVERWRITE_IF_EXISTS`.
    Overwrite,
}

impl HeaderChanges {
    pub(crate) fn new(remove: Vec<HeaderName>, add: Vec<HeaderAddition>) -> Self {
        let is_repeated = |(at, addition): (usize, &HeaderAddition)| {
            add.iter().take(at).any(|before| before.name == addition.name)
        };
        let is_plain = add.iter().all(|one| matches!(one.value, HeaderText::Literal(_)))
            && !add.iter().enumerate().any(is_repeated);
        Self { remove, remove_matching: None, add, is_plain }
    }

    /// Removes the headers whose names match.
    pub(crate) fn remove_matching(names: StringMatch) -> Self {
        Self { remove_matching: Some(names), is_plain: true, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.remove_matching.is_none() && self.add.is_empty()
    }

    pub(crate) fn removed(&self) -> &[HeaderName] {
        &self.remove
    }

    /// Which names are removed, too.
    pub(crate) fn removed_matching(&self) -> Option<&StringMatch> {
        self.remove_matching.as_ref()
    }

    pub(crate) fn added(&self) -> &[HeaderAddition] {
        &self.add
    }

    /// See the field.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }
}
