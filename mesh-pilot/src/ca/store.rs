//! Where the root is kept.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use mesh_tls::{Authority, AuthorityError};

use super::files::{self, FileError, GivenFiles};
use super::secret::{SecretError, SecretStore};

/// The texts of which an authority is made, all in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Material {
    /// The issuing certificate first, and those above it.
    pub chain: String,
    /// Its key.
    pub key: String,
    /// What the mesh trusts.
    pub root: String,
}

/// Where the root is kept.
#[derive(Clone)]
pub enum RootStore {
    /// A folder of this pilot's own: the root is made on the first start and kept there.
    Folder(PathBuf),
    /// Files that the user gives and replaces.
    Given(GivenFiles),
    /// A Secret of Kubernetes: made on the first start, by whichever pilot is first.
    Secret(Box<SecretStore>),
}

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Of a file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Of a Secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// What is kept is no authority.
    #[error("{place}: {source}")]
    Authority {
        /// The folder, the files or the Secret.
        place: String,
        /// What is wrong with it.
        source: AuthorityError,
    },
    /// A new root cannot be made.
    #[error("a root cannot be made: {0}")]
    Create(AuthorityError),
}

/// How long a root that is made here is trusted: as Istio's.
const ROOT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

impl RootStore {
    /// The root that is kept; a new one when there is none and it is ours to make. Of two
    /// pilots that make one at once, both get the one that was kept first.
    pub async fn load_or_create(&self, trust_domain: &str) -> Result<Material, StoreError> {
        let make = || new_root(trust_domain);
        match self {
            Self::Folder(folder) => files::load_or_create(folder, make),
            Self::Given(given) => Ok(given.load()?),
            Self::Secret(secret) => secret.load_or_create(make).await,
        }
    }

    /// The root that is kept now.
    pub async fn load(&self) -> Result<Material, StoreError> {
        match self {
            Self::Folder(folder) => Ok(files::load(folder)?),
            Self::Given(given) => Ok(given.load()?),
            Self::Secret(secret) => Ok(secret.load().await?),
        }
    }

    /// How often it is looked at for changes.
    pub fn period(&self) -> Duration {
        match self {
            Self::Folder(_) | Self::Given(_) => Duration::from_secs(5),
            Self::Secret(_) => Duration::from_secs(60),
        }
    }

    /// The authority that the texts make.
    pub fn authority(&self, material: &Material) -> Result<Authority, StoreError> {
        let Material { chain, key, root } = material;
        Authority::from_pem(chain, key, root, SystemTime::now())
            .map_err(|source| StoreError::Authority { place: self.place(), source })
    }

    fn place(&self) -> String {
        match self {
            Self::Folder(folder) => files::root_file(folder).display().to_string(),
            Self::Given(given) => given.cert.display().to_string(),
            Self::Secret(secret) => secret.to_string(),
        }
    }
}

fn new_root(trust_domain: &str) -> Result<Material, StoreError> {
    let authority = Authority::create(trust_domain, ROOT_LIFETIME, SystemTime::now())
        .map_err(StoreError::Create)?;
    Ok(Material {
        chain: authority.chain_pem(),
        key: authority.key_pem(),
        root: authority.root_pem(),
    })
}
