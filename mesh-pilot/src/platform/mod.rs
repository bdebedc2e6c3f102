//! Where the mesh is described: one adapter per platform.
