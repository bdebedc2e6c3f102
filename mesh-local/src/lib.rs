//! Runs injected pods as processes in network namespaces.
