//! The supervisor beside a proxy.

fn main() {}
