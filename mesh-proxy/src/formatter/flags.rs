//! Why a request or a connection did not go well, in Envoy's letters.

/// A set of Envoy's response flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    set: u32,
    /// The one that was there first, which is told first.
    first: u32,
}

impl Flags {
    /// Nothing to tell.
    pub(crate) const NONE: Self = Self::one(0);
    /// LH: the local service failed its health check.
    pub(crate) const FAILED_LOCAL_HEALTH_CHECK: Self = Self::one(1);
    /// UH: the cluster has no healthy endpoint.
    pub(crate) const NO_HEALTHY_UPSTREAM: Self = Self::one(1 << 1);
    /// UT: the upstream did not answer in time.
    pub(crate) const UPSTREAM_REQUEST_TIMEOUT: Self = Self::one(1 << 2);
    /// LR: reset by the proxy itself.
    pub(crate) const LOCAL_RESET: Self = Self::one(1 << 3);
    /// UR: reset by the upstream.
    pub(crate) const UPSTREAM_REMOTE_RESET: Self = Self::one(1 << 4);
    /// UF: no connection to the upstream could be made.
    pub(crate) const UPSTREAM_CONNECTION_FAILURE: Self = Self::one(1 << 5);
    /// UC: the connection to the upstream ended.
    pub(crate) const UPSTREAM_CONNECTION_TERMINATION: Self = Self::one(1 << 6);
    /// UO: a circuit breaker is open.
    pub(crate) const UPSTREAM_OVERFLOW: Self = Self::one(1 << 7);
    /// NR: no route, or no filter chain.
    pub(crate) const NO_ROUTE: Self = Self::one(1 << 8);
    /// DI: a filter has made the request wait.
    pub(crate) const DELAY_INJECTED: Self = Self::one(1 << 9);
    /// FI: a filter has answered to see what becomes of it.
    pub(crate) const FAULT_INJECTED: Self = Self::one(1 << 10);
    /// RL: too many requests.
    pub(crate) const RATE_LIMITED: Self = Self::one(1 << 11);
    /// DC: the downstream ended the connection.
    pub(crate) const DOWNSTREAM_CONNECTION_TERMINATION: Self = Self::one(1 << 13);
    /// URX: no try is left.
    pub(crate) const UPSTREAM_RETRY_LIMIT: Self = Self::one(1 << 14);
    /// SI: nothing happened on the stream for too long.
    pub(crate) const STREAM_IDLE_TIMEOUT: Self = Self::one(1 << 15);
    /// DPE: the downstream broke its protocol.
    pub(crate) const DOWNSTREAM_PROTOCOL_ERROR: Self = Self::one(1 << 17);
    /// DT: the request or connection took longer than it may.
    pub(crate) const DURATION_TIMEOUT: Self = Self::one(1 << 21);
    /// UPE: the upstream broke its protocol.
    pub(crate) const UPSTREAM_PROTOCOL_ERROR: Self = Self::one(1 << 22);
    /// NC: the route's cluster is not known.
    pub(crate) const NO_CLUSTER: Self = Self::one(1 << 23);

    const fn one(flag: u32) -> Self {
        Self { set: flag, first: flag }
    }

    /// Adds the flags of `other`.
    pub(crate) fn insert(&mut self, other: Self) {
        if self.set == 0 {
            self.first = other.first;
        }
        self.set |= other.set;
    }

    /// Whether all flags of `other` are there.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.set & other.set == other.set
    }

    /// Whether one of the flags of `other` is there.
    pub(crate) fn intersects(self, other: Self) -> bool {
        self.set & other.set != 0
    }

    /// Those of these letters; what is not known is never set.
    pub(crate) fn named<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut flags = Self::NONE;
        for name in names {
            let known = NAMES.iter().find(|(_, letters, _)| *letters == name);
            flags.insert(known.map_or(Self::NONE, |(flag, ..)| *flag));
        }
        flags
    }

    /// The letters of each flag that is set, in Envoy's order: the first one, and then the
    /// others by their numbers.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        self.known().map(|(_, name, _)| *name)
    }

    /// The long name of each flag that is set, in the same order.
    pub(crate) fn long_names(self) -> impl Iterator<Item = &'static str> {
        self.known().map(|(_, _, name)| *name)
    }

    fn known(self) -> impl Iterator<Item = &'static (Self, &'static str, &'static str)> {
        let is_first = move |flag: Self| flag.set == self.first;
        let first = NAMES.iter().find(move |(flag, ..)| is_first(*flag));
        let others = move |(flag, ..): &&(Self, _, _)| self.contains(*flag) && !is_first(*flag);
        first.into_iter().chain(NAMES.iter().filter(others))
    }
}

const NAMES: [(Flags, &str, &str); 19] = [
    (Flags::FAILED_LOCAL_HEALTH_CHECK, "LH", "FailedLocalHealthCheck"),
    (Flags::NO_HEALTHY_UPSTREAM, "UH", "NoHealthyUpstream"),
    (Flags::UPSTREAM_REQUEST_TIMEOUT, "UT", "UpstreamRequestTimeout"),
    (Flags::LOCAL_RESET, "LR", "LocalReset"),
    (Flags::UPSTREAM_REMOTE_RESET, "UR", "UpstreamRemoteReset"),
    (Flags::UPSTREAM_CONNECTION_FAILURE, "UF", "UpstreamConnectionFailure"),
    (Flags::UPSTREAM_CONNECTION_TERMINATION, "UC", "UpstreamConnectionTermination"),
    (Flags::UPSTREAM_OVERFLOW, "UO", "UpstreamOverflow"),
    (Flags::NO_ROUTE, "NR", "NoRouteFound"),
    (Flags::DELAY_INJECTED, "DI", "DelayInjected"),
    (Flags::FAULT_INJECTED, "FI", "FaultInjected"),
    (Flags::RATE_LIMITED, "RL", "RateLimited"),
    (Flags::DOWNSTREAM_CONNECTION_TERMINATION, "DC", "DownstreamConnectionTermination"),
    (Flags::UPSTREAM_RETRY_LIMIT, "URX", "UpstreamRetryLimitExceeded"),
    (Flags::STREAM_IDLE_TIMEOUT, "SI", "StreamIdleTimeout"),
    (Flags::DOWNSTREAM_PROTOCOL_ERROR, "DPE", "DownstreamProtocolError"),
    (Flags::DURATION_TIMEOUT, "DT", "DurationTimeout"),
    (Flags::UPSTREAM_PROTOCOL_ERROR, "UPE", "UpstreamProtocolError"),
    (Flags::NO_CLUSTER, "NC", "NoClusterFound"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_name_themselves_in_order() {
        let flags = |first: Flags, second| {
            let mut flags = first;
            flags.insert(second);
            flags.insert(Flags::NO_HEALTHY_UPSTREAM);
            flags
        };
        let (limit, failed) = (Flags::UPSTREAM_RETRY_LIMIT, Flags::UPSTREAM_CONNECTION_FAILURE);
        let names = |flags: Flags| flags.names().collect::<Vec<_>>();
        assert_eq!(names(flags(limit, failed)), ["URX", "UH", "UF"]);
        assert_eq!(names(flags(failed, limit)), ["UF", "UH", "URX"]);
        let long: Vec<_> = flags(limit, failed).long_names().collect();
        let expected =
            ["UpstreamRetryLimitExceeded", "NoHealthyUpstream", "UpstreamConnectionFailure"];
        assert_eq!(long, expected);
        assert_eq!(Flags::NONE.names().count(), 0);
    }
}
