//! What the exit code tells whoever started the agent. Bad arguments are clap's 2.

/// Everything was done; a proxy was drained and has left.
pub const OK: u8 = 0;
/// It could not be done at all; standard error says why.
pub const FAILED: u8 = 1;
/// The proxy ended by itself, or in error, while it was drained.
pub const PROXY_FAILED: u8 = 3;
/// Connections were cut: the deadline passed, or a second signal came.
pub const CUT: u8 = 4;
/// The proxy was not replaced; the one before serves on, if it did.
pub const NOT_RESTARTED: u8 = 5;
/// No proxy serves, or not yet.
pub const NOT_SERVING: u8 = 6;
