//! Native sidecars, and which clusters have them.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer};

/// Whether the sidecar is an init container with `restartPolicy: Always`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NativeSidecar {
    /// Where the cluster has them; see [`NativeSidecar::on`]. Where nobody has looked, it is.
    #[default]
    Auto,
    /// `true`.
    Always,
    /// `false`.
    Never,
}

impl NativeSidecar {
    /// `Auto` decided for a cluster: of what versions its API server and its kubelets are.
    /// One that is too old drops the field without a word, and the pod would never start.
    pub fn on(self, versions: impl IntoIterator<Item = KubernetesVersion>) -> Self {
        let old = |version: &KubernetesVersion| *version < KubernetesVersion::NATIVE_SIDECARS;
        match self {
            Self::Auto if versions.into_iter().any(|version| old(&version)) => Self::Never,
            Self::Auto => Self::Always,
            said => said,
        }
    }
}

impl<'de> Deserialize<'de> for NativeSidecar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bool(bool),
            Word(String),
        }
        match Written::deserialize(deserializer) {
            Ok(Written::Bool(true)) => Ok(Self::Always),
            Ok(Written::Bool(false)) => Ok(Self::Never),
            Ok(Written::Word(word)) if word == "auto" => Ok(Self::Auto),
            Ok(Written::Word(word)) => {
                Err(de::Error::custom(format!("found {word:?}, expected auto, true or false")))
            }
            Err(_) => Err(de::Error::custom("expected auto, true or false")),
        }
    }
}

/// A version of Kubernetes, as far as anybody asks: `v1.34.2`, `1.29`, `v1.28.9-eks-36c1e01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KubernetesVersion {
    major: u32,
    minor: u32,
}

impl KubernetesVersion {
    /// The first one whose `SidecarContainers` are on by default.
    pub const NATIVE_SIDECARS: Self = Self { major: 1, minor: 29 };
}

impl FromStr for KubernetesVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
        let mut number = || {
            let part = parts.next()?;
            // Some clouds' API servers say their minor is `29+`.
            let digits = part.split(|char: char| !char.is_ascii_digit()).next()?;
            digits.parse().ok()
        };
        match (number(), number()) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err(format!("{text:?} is no version of Kubernetes, such as 1.29 or v1.34.2")),
        }
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(texts: &[&str]) -> Vec<KubernetesVersion> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn one_old_kubelet_is_enough_for_classic_sidecars() {
        let auto = |texts: &[&str]| NativeSidecar::Auto.on(versions(texts));
        assert_eq!(auto(&["v1.34.2", "v1.29.0-eks-1", "1.33+"]), NativeSidecar::Always);
        assert_eq!(auto(&["v1.34.2", "v1.28.9"]), NativeSidecar::Never);
        assert_eq!(NativeSidecar::Always.on(versions(&["1.28"])), NativeSidecar::Always);
    }

    #[test]
    fn what_is_no_version_is_named() {
        for bad in ["", "one", "1", "1.x", "v.1"] {
            let error = bad.parse::<KubernetesVersion>().unwrap_err();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }
}
