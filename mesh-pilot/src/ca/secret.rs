//! A root in a Secret of Kubernetes, by the names that Istio has in its own.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};

use super::store::{Material, StoreError};
use crate::cluster;

const KEY: &str = "ca-key.pem";
const CHAIN: &str = "ca-cert.pem";
const ROOT: &str = "root-cert.pem";

/// Why a Secret does not make a root.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The API server.
    #[error("the Secret {secret} cannot be {what}: {}", explain(source))]
    Api {
        /// NAMESPACE/NAME.
        secret: String,
        /// "read".
        what: &'static str,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// It was removed.
    #[error("the Secret {0} is gone")]
    Gone(String),
    /// It is not as we, or Istio, write it.
    #[error("the Secret {secret} has no text {key:?} in its data")]
    Field {
        /// NAMESPACE/NAME.
        secret: String,
        /// The key in its data.
        key: &'static str,
    },
}

fn explain(error: &kube::Error) -> String {
    let text = cluster::explain(error);
    match error {
        kube::Error::Api(status) if status.is_forbidden() => {
            format!("{text}; the pilot needs get and create on secrets there")
        }
        _ => text,
    }
}

/// NAMESPACE/NAME.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretName {
    namespace: String,
    name: String,
}

impl SecretName {
    /// That of the mesh which is installed in a namespace.
    pub(super) fn usual(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: "mesh-ca-secret".to_owned() }
    }
}

impl FromStr for SecretName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err("expected NAMESPACE/NAME, such as mesh-system/mesh-ca-secret".to_owned()),
        }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A Secret, and where it is.
#[derive(Clone)]
pub struct SecretStore {
    api: Api<Secret>,
    name: SecretName,
}

impl fmt::Display for SecretStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Secret {}", self.name)
    }
}

impl SecretStore {
    /// The Secret of this name.
    pub fn new(client: kube::Client, name: SecretName) -> Self {
        Self { api: Api::namespaced(client, &name.namespace), name }
    }

    /// The root in the Secret; a new one when there is none. An API server that is away, or
    /// does not let us yet, is waited for.
    pub(super) async fn load_or_create(
        &self,
        make: impl Fn() -> Result<Material, StoreError>,
    ) -> Result<Material, StoreError> {
        let ask = || async {
            match self.try_load_or_create(&make).await {
                Err(StoreError::Secret(error @ SecretError::Api { .. })) => Err(error),
                // Of what is kept wrongly somebody must hear.
                outcome => Ok(outcome),
            }
        };
        cluster::persist("there is no root yet", ask).await
    }

    /// When another pilot makes a root meanwhile, the API server refuses ours, and its is read.
    async fn try_load_or_create(
        &self,
        make: impl Fn() -> Result<Material, StoreError>,
    ) -> Result<Material, StoreError> {
        if let Some(found) = self.get().await? {
            return Ok(self.material(&found)?);
        }
        let made = make()?;
        match self.api.create(&PostParams::default(), &self.secret(&made)).await {
            Ok(_) => Ok(made),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(self.load().await?),
            Err(error) => Err(self.api_error("made", error).into()),
        }
    }

    /// The root in the Secret.
    pub(super) async fn load(&self) -> Result<Material, SecretError> {
        match self.get().await? {
            Some(found) => self.material(&found),
            None => Err(SecretError::Gone(self.name.to_string())),
        }
    }

    async fn get(&self) -> Result<Option<Secret>, SecretError> {
        self.api.get_opt(&self.name.name).await.map_err(|e| self.api_error("read", e))
    }

    fn api_error(&self, what: &'static str, source: kube::Error) -> SecretError {
        SecretError::Api { secret: self.name.to_string(), what, source: Box::new(source) }
    }

    fn material(&self, secret: &Secret) -> Result<Material, SecretError> {
        let text = |key: &'static str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(key));
            let text = bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
            text.ok_or_else(|| SecretError::Field { secret: self.name.to_string(), key })
        };
        Ok(Material { chain: text(CHAIN)?, key: text(KEY)?, root: text(ROOT)? })
    }

    fn secret(&self, material: &Material) -> Secret {
        let data = [(CHAIN, &material.chain), (KEY, &material.key), (ROOT, &material.root)];
        let data = data.map(|(key, text)| (key.to_owned(), ByteString(text.clone().into_bytes())));
        Secret {
            metadata: ObjectMeta {
                name: Some(self.name.name.clone()),
                namespace: Some(self.name.namespace.clone()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from(data)),
            type_: Some("istio.io/ca-root".to_owned()),
            ..Secret::default()
        }
    }
}
