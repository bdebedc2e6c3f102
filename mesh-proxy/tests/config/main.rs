//! The program with a file, with a control plane, and beside a stock Envoy.

mod discovery;
mod proxy;
mod static_file;
