//! Pod in, pod with sidecar out: one pure function.
