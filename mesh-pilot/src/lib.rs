//! The control plane: from what users write to what each proxy is told.
//!
//! A change walks one way: [`platform`] makes an immutable snapshot of the model,
//! [`translate`] turns it into one proxy's resources, and the discovery service sends them.

pub mod ads;
pub mod api;
pub mod ca;
pub mod cli;
pub mod cluster;
pub mod duties;
pub mod fleet;
mod gateway;
pub mod http;
pub mod leader;
pub mod platform;
pub mod run;
pub mod translate;
pub mod webhook;
