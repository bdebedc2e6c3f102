//! What a proxy must have for a measurement.

/// A configuration, which every proxy gets in its own words.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Setup {
    /// HTTP/1.1 and HTTP/2, each to the same, nothing else.
    Plain,
    /// Every door.
    Traffic,
    /// HTTP/1.1 with [`ROUTES`] routes.
    Routes,
    /// As `Plain`, with [`CLUSTERS`] clusters more.
    Clusters,
}

/// Routes of that setup: half match a path, half a prefix.
pub(super) const ROUTES: usize = 10_000;
/// What the last of them matches.
pub(super) const LAST: &str = "/route/9999";
pub(super) const CLUSTERS: usize = 1000;
/// Endpoints of each.
pub(super) const ENDPOINTS: usize = 10;

/// A port of a proxy: what comes there, and what it becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Door {
    Http1,
    Http2,
    /// HTTP/2 to an upstream that writes in batches.
    Http2Batched,
    Http1To2,
    Http2To1,
    Tcp,
    /// HTTP/1.1 by TLS, in plain to the upstream.
    Tls,
}

impl Setup {
    pub(super) const ALL: [Self; 4] = [Self::Plain, Self::Traffic, Self::Routes, Self::Clusters];

    pub(super) fn doors(self) -> &'static [Door] {
        match self {
            Self::Plain | Self::Clusters => &[Door::Http1, Door::Http2],
            Self::Routes => &[Door::Http1],
            Self::Traffic => &Door::ALL,
        }
    }
}

impl Door {
    const ALL: [Self; 7] = [
        Self::Http1,
        Self::Http2,
        Self::Http2Batched,
        Self::Http1To2,
        Self::Http2To1,
        Self::Tcp,
        Self::Tls,
    ];

    /// Whether clients speak HTTP/2 there.
    pub(super) fn takes_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2Batched | Self::Http2To1)
    }
}
