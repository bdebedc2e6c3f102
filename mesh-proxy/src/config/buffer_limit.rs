//! How much of a connection may wait in the proxy.

/// Envoy's `per_connection_buffer_limit_bytes` of a listener or a cluster: how many bytes of a
/// connection may be held, in each direction, until somebody takes them. Nothing more is read
/// meanwhile. A soft limit, as in Envoy: what was read goes on as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BufferLimit(Option<u32>);

/// Envoy's, which holds when nothing is said.
const DEFAULT: u32 = 1024 * 1024;

/// Envoy reads as much at once, however low the limit is.
const LEAST: usize = 16 * 1024;

/// What HTTP/2 has at least (RFC 9113, section 6.9.2).
const LEAST_WINDOW: u32 = 65_535;

impl BufferLimit {
    /// As configured; 0 is no limit.
    pub(crate) fn new(bytes: Option<u32>) -> Self {
        Self(Some(bytes.unwrap_or(DEFAULT)).filter(|bytes| *bytes != 0))
    }

    /// How many bytes of a message may be kept.
    pub(crate) fn bytes(self) -> u64 {
        self.0.map_or(u64::MAX, u64::from)
    }

    /// How much is held where `most` would be.
    pub(crate) fn within(self, most: usize) -> usize {
        self.0.map_or(most, |limit| most.min(LEAST.max(limit as usize)))
    }

    /// How much a peer may send by HTTP/2 before it hears that some was taken: what is
    /// `configured`, or as much of `own` as the limit leaves.
    pub(crate) fn window(self, configured: Option<u32>, own: u32) -> u32 {
        let limited = || self.0.map_or(own, |limit| own.min(limit.max(LEAST_WINDOW)));
        configured.unwrap_or_else(limited)
    }
}

impl Default for BufferLimit {
    fn default() -> Self {
        Self::new(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_lowers_what_is_held() {
        for (limit, most, expected) in [
            (None, 64 * 1024, 64 * 1024),
            (Some(0), 64 * 1024, 64 * 1024),
            (Some(20_000), 64 * 1024, 20_000),
            (Some(1), 64 * 1024, LEAST),
            (Some(1), 1000, 1000),
        ] {
            assert_eq!(BufferLimit::new(limit).within(most), expected, "{limit:?} {most}");
        }
    }

    #[test]
    fn windows_are_as_configured_or_limited() {
        for (limit, configured, expected) in [
            (None, None, 256 * 1024),
            (Some(100_000), None, 100_000),
            (Some(1), None, 65_535),
            (Some(1), Some(70_000), 70_000),
            (Some(0), None, 256 * 1024),
        ] {
            let window = BufferLimit::new(limit).window(configured, 256 * 1024);
            assert_eq!(window, expected, "{limit:?} {configured:?}");
        }
    }

    #[test]
    fn what_may_be_kept() {
        let kept = [None, Some(0), Some(7)].map(|limit| BufferLimit::new(limit).bytes());
        assert_eq!(kept, [1024 * 1024, u64::MAX, 7]);
    }
}
