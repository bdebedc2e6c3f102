//! Taking the machine: one machine has one mesh, whatever its state folder, as it has the
//! addresses once.

use crate::error::{Error, Result};
use crate::host::{self, Owner};
use crate::lock::{self, Lock};
use crate::state::StateDir;

/// Takes the machine for this state folder, and clears what a killed mesh has left on it.
/// Tells whether there was anything.
///
/// # Errors
/// [`Error::Running`] when a mesh runs, here or with another state folder.
pub(crate) async fn claim(state: &StateDir) -> Result<(Lock, bool)> {
    let lock = lock::take(state.root())?;
    let mut had_state = state.root().exists();
    match host::owner().await? {
        Owner::Other => {
            return Err(Error::failed(
                "there is a network link mesh0 on this machine that no local mesh has made; \
                 remove it (ip link delete mesh0)",
            ));
        }
        Owner::Mesh(other) if other != state.root() => {
            let other = StateDir::new(other);
            had_state |= other.root().exists();
            other.remove()?;
        }
        Owner::Mesh(_) | Owner::Nobody => {}
    }
    let had_network = host::clear().await?;
    state.remove()?;
    Ok((lock, had_network || had_state))
}
