//! Every chore of the project: build, test, bench, bookinfo.

fn main() {}
