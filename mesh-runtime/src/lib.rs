//! What every binary needs: drain, readiness, signals, telemetry, an admin server.

pub mod admin;
pub mod drain;
pub mod readiness;
pub mod shutdown;
pub mod telemetry;
