//! From a snapshot to the resources of one proxy: pure, and the same for the same input.
