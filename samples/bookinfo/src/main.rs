//! The bookinfo sample application.

fn main() {}
