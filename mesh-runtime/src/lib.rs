//! What every binary needs: drain, readiness, signals, telemetry, an admin server.
