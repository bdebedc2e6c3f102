//! The mesh in its own words: pure data, no I/O, no protos, no Kubernetes types.
