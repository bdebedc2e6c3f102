//! The roots' file.

use std::path::PathBuf;

use mesh_tls::{BundleError, TrustBundle};

use super::poll;
use super::secrets::Keeper;

/// Keeps the roots as the file has them; never ends.
pub(super) async fn follow(file: PathBuf, keeper: Keeper) {
    let look = || -> Result<(), BundleError> {
        keeper.set_roots(TrustBundle::read(&file)?);
        Ok(())
    };
    match poll::follow(look).await {}
}
