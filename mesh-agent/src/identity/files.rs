//! An identity in files, as Istio's agents take it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mesh_tls::{BundleError, CredentialsError, Identity, TrustBundle};

use super::poll;
use super::secrets::Keeper;

/// Why the files are no identity.
#[derive(Debug, thiserror::Error)]
enum FilesError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{folder}: cert-chain.pem and key.pem: {source}")]
    Identity { folder: PathBuf, source: CredentialsError },
    #[error(transparent)]
    Roots(#[from] BundleError),
}

/// Keeps the identity as the folder has it; never ends.
pub(super) async fn follow(folder: PathBuf, keeper: Keeper) {
    match poll::follow(|| look(&folder, &keeper)).await {}
}

/// Files are replaced one by one: as long as they do not fit together, the old ones count.
fn look(folder: &Path, keeper: &Keeper) -> Result<(), FilesError> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|source| FilesError::Read { path, source })
    };
    let (chain, key) = (read("cert-chain.pem")?, read("key.pem")?);
    let identity = Identity::from_pem(&chain, &key)
        .map_err(|source| FilesError::Identity { folder: folder.to_owned(), source })?;
    keeper.set_roots(TrustBundle::read(&folder.join("root-cert.pem"))?);
    let same = |old: &Identity| old.credentials().chain() == identity.credentials().chain();
    if keeper.identity().as_ref().is_some_and(same) {
        return Ok(());
    }
    if *identity.id() != keeper.id {
        tracing::warn!(found = %identity.id(), expected = %keeper.id, "another one's certificate");
    }
    tracing::info!(id = %identity.id(), folder = %folder.display(), "a certificate from files");
    keeper.set_identity(identity);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use mesh_tls::{Authority, SpiffeId};

    use super::super::secrets;
    use super::*;

    #[test]
    fn files_count_when_they_fit_together() {
        let now = SystemTime::now();
        let hour = Duration::from_secs(3600);
        let authority = Authority::create("cluster.local", hour, now).unwrap();
        let id = SpiffeId::new("cluster.local", "shop", "cart").unwrap();
        let identity = || authority.issue_serving(&id, &[], &[], hour, now).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let (keeper, receiver) = secrets::keep(id.clone());
        let look = || look(folder.path(), &keeper).map_err(|error| error.to_string());
        let number = || receiver.borrow().identity.as_ref().map(|(number, _)| *number);

        assert!(look().unwrap_err().contains("cert-chain.pem"));
        let (first, second) = (identity(), identity());
        write("cert-chain.pem", &first.credentials().chain_pem());
        write("key.pem", &first.credentials().key().to_pem());
        assert!(look().unwrap_err().contains("root-cert.pem"));
        assert_eq!(number(), None);
        write("root-cert.pem", &authority.root_pem());
        look().unwrap();
        look().unwrap();
        assert_eq!(number(), Some(1));

        write("cert-chain.pem", &second.credentials().chain_pem());
        assert!(look().unwrap_err().contains("not the certificate's"));
        assert_eq!(number(), Some(1), "the old one counts");
        write("key.pem", &second.credentials().key().to_pem());
        look().unwrap();
        assert_eq!(number(), Some(2));
    }
}
