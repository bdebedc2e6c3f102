//! What every binary needs: drain, memory, readiness, signals, telemetry, an admin server.

pub mod admin;
pub mod drain;
pub mod memory;
pub mod readiness;
pub mod shutdown;
pub mod telemetry;
