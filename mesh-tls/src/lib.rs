//! SPIFFE identities.

mod spiffe;

pub use spiffe::{SpiffeError, SpiffeId};
