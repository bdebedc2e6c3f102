//! The tests, each in a file of its own.

pub(super) mod bookinfo;
pub(super) mod certificate_rotation;
pub(super) mod endpoint_gone;
pub(super) mod force_delete;
pub(super) mod gateway_api;
pub(super) mod hot_restart;
pub(super) mod job;
pub(super) mod mtls;
pub(super) mod pilot_at_rest;
pub(super) mod pilot_away;
pub(super) mod ready_overhead;
pub(super) mod revision;
pub(super) mod rolling_update;
pub(super) mod statefulset;
pub(super) mod uninstall;
pub(super) mod webhook_equals_inject;
