//! Test harness: fake upstreams, a scripted xDS server, network namespaces, real peers.
