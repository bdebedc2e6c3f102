use std::time::{Duration, Instant};

/// A generation of the proxy: Envoy's restart epoch.
pub(in crate::proxy) type Epoch = u32;

/// How a proxy is made to drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Drain {
    /// SIGTERM is enough: it drains and then ends (mesh-proxy).
    OnSigterm,
    /// It is asked on its admin pages, and ended when it is empty (Envoy).
    ByAdmin,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Policy {
    pub(in crate::proxy) drain: Drain,
    /// From the first signal, for how long connections are taken as before.
    pub(in crate::proxy) minimum: Duration,
    /// From the first signal, until what is left is cut.
    pub(in crate::proxy) deadline: Duration,
    /// For how long a new generation may warm up.
    pub(in crate::proxy) warm: Duration,
    /// For how long the one before may drain when the new one serves.
    pub(in crate::proxy) replaced: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Event {
    /// A proxy has ended.
    Exited { epoch: Epoch, exit: Exit },
    /// A proxy has its configuration and serves.
    Ready { epoch: Epoch },
    /// A new generation is asked for.
    Restart,
    /// What it is to run is good; whether the one before can hand over to it.
    Prepared { hand_over: bool },
    /// What it was to run is not good.
    Refused,
    /// The time last asked for has come.
    Timer,
    /// A signal asks the agent to end.
    Signal,
    /// The proxy has no connection left.
    Empty,
}

/// How a proxy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Exit {
    Good,
    Bad,
    /// It could not take over from the generation before.
    CannotHandOver,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Action {
    /// Check what a new generation is to run; answered by `Prepared` or `Refused`.
    Prepare,
    /// Start this generation, the first one if 0; its being ready is an event.
    Start(Epoch),
    /// Replaces the time asked for before.
    WakeAt(Instant),
    /// Whether the proxy is live depends on its pages so much from now on.
    Trust(Trust),
    /// Say that the proxy has to leave before its successor can start.
    MakeWay,
    /// Answer that the pod is not ready any more.
    Unready,
    /// Take that back.
    Serve,
    AskToDrain,
    WatchConnections,
    Terminate(Epoch),
    Kill(Epoch),
    /// How a restart that was asked for went.
    Report(Outcome),
    /// End with this exit code.
    Leave(u8),
}

/// How much the answer to whether the proxy is live depends on the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::proxy) enum Trust {
    /// It is theirs.
    Asked,
    /// Live, unless they say otherwise: an Envoy gives them up when a successor starts, and
    /// does not take them back when that fails.
    Lost,
    /// Live: the next generation has them, and the one before serves.
    Held,
}

/// How a restart went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Outcome {
    /// This generation has taken over.
    HandedOver { epoch: Epoch },
    /// The one before could not hand over, or was not there: it was started anew.
    StartedAnew,
    /// What was to be run is not good.
    Refused,
    /// The new one ended before it was ready.
    Failed,
    /// The new one was not ready in time.
    TimedOut,
    /// The old one ended before the new one was ready.
    OldEnded,
    /// The agent was told to end.
    Ending,
}
