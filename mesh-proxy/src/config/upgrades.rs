//! Which protocols a request may ask for.

use super::Name;

/// `upgrade_configs`, of a connection manager or of a route: whether each of these protocols
/// may be asked for. CONNECT is one of them, as in Envoy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Upgrades(pub(crate) Vec<(Name, bool)>);

impl Upgrades {
    /// Whether this protocol may; `None` when nothing is said of it.
    pub(crate) fn allow(&self, protocol: &[u8]) -> Option<bool> {
        let mut known = self.0.iter();
        let found = known.find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(protocol));
        found.map(|(_, is_allowed)| *is_allowed)
    }
}
