//! The data plane.

fn main() {}
