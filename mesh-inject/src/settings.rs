//! The settings of a whole installation, as its operator writes them.

use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::Value;

use crate::Config;
use crate::fields::describe;

/// Why a text does not make settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is not YAML.
    #[error(transparent)]
    Yaml(#[from] mesh_yaml::Error),
    /// A field does not hold what it must, or there is none of this name.
    #[error("{path}: {message}")]
    Field {
        /// The field's path.
        path: String,
        /// What was found, and what was expected.
        message: String,
    },
}

impl Config {
    /// Settings as a ConfigMap or a file has them: a YAML map in which every field may be
    /// missing, and an unknown one is an error. Times are seconds, or texts such as `20s`.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        let value = match mesh_yaml::read::<Value>(text)? {
            // Comments alone.
            Value::Null => Value::Object(serde_json::Map::new()),
            value @ Value::Object(_) => value,
            other => {
                let message = format!("found {}, expected a map", describe(&other));
                return Err(ConfigError::Field { path: "the settings".to_owned(), message });
            }
        };
        let config: Self = serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            ConfigError::Field { path, message: error.into_inner().to_string() }
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let field = |path: &str, found: &str, expected: &str| {
            let message = format!("found {found:?}, expected {expected}");
            Err(ConfigError::Field { path: path.to_owned(), message })
        };
        for (path, address) in [
            ("discoveryAddress", Some(self.discovery_address.as_str())),
            ("caAddress", self.ca_address.as_deref().filter(|address| *address != "none")),
        ] {
            if let Some(address) = address.filter(|address| !is_address(address)) {
                return field(path, address, "HOST:PORT");
            }
        }
        for (path, text) in [
            ("image", &self.image),
            ("revision", &self.revision),
            ("trustDomain", &self.trust_domain),
            ("clusterDomain", &self.cluster_domain),
        ] {
            if text.is_empty() {
                return field(path, text, "something");
            }
        }
        if !self.resources.is_object() {
            return field("resources", &self.resources.to_string(), "a map");
        }
        match self.image_pull_policy.as_deref() {
            None | Some("Always" | "IfNotPresent" | "Never") => Ok(()),
            Some(other) => field("imagePullPolicy", other, "Always, IfNotPresent or Never"),
        }
    }
}

pub(crate) fn is_address(text: &str) -> bool {
    let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    text.rsplit_once(':').is_some_and(|(host, number)| !host.is_empty() && port(number))
}

/// For serde: see [`parse_seconds`], or a number.
pub(crate) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u32),
        Text(String),
    }
    let expected = || de::Error::custom(format!("expected {SECONDS}"));
    match Written::deserialize(deserializer).map_err(|_| expected())? {
        Written::Number(seconds) if seconds <= DAY => Ok(seconds),
        Written::Number(_) => Err(expected()),
        Written::Text(text) => parse_seconds(&text).ok_or_else(expected),
    }
}

/// What [`parse_seconds`] takes, for errors.
pub(crate) const SECONDS: &str = "a time of at most a day, such as 20s or 2m";
const DAY: u32 = 86_400;

/// `20s`, `2m`, `1h30m`, in whole seconds, up to a day.
pub(crate) fn parse_seconds(text: &str) -> Option<u32> {
    let (mut total, mut rest) = (0_u32, text);
    while !rest.is_empty() {
        let unit = rest.find(|char: char| !char.is_ascii_digit())?;
        let number: u32 = rest[..unit].parse().ok()?;
        let seconds = match rest.as_bytes()[unit] {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(seconds)?)?;
        rest = &rest[unit + 1..];
    }
    (!text.is_empty() && total <= DAY).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NativeSidecar;

    #[test]
    fn every_field_may_be_missing() {
        for text in ["", "# nothing\n", "{}"] {
            assert_eq!(Config::from_yaml(text).unwrap(), Config::default());
        }
        let text = "image: hub/proxy:1\nnativeSidecar: auto\ndrainTime: 1m30s\nminimumDrain: 2\n\
                    resources: {limits: {memory: 1Gi}}\n";
        let config = Config::from_yaml(text).unwrap();
        assert_eq!((config.drain_time_s, config.minimum_drain_s), (90, 2));
        assert_eq!(config.native_sidecar, NativeSidecar::Auto);
        assert_eq!(config.resources["limits"]["memory"], "1Gi");
        let classic = Config::from_yaml("nativeSidecar: false").unwrap();
        assert_eq!(classic.native_sidecar, NativeSidecar::Never);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("imagee: a", ["imagee", "unknown field"]),
            ("nativeSidecar: maybe", ["nativeSidecar", "expected auto, true or false"]),
            ("nativeSidecar: 1", ["nativeSidecar", "expected auto, true or false"]),
            ("drainTime: 20 s", ["drainTime", "such as 20s"]),
            ("drainTime: 86401", ["drainTime", "at most a day"]),
            ("discoveryAddress: mesh-pilot", ["discoveryAddress", "HOST:PORT"]),
            ("caAddress: a:b", ["caAddress", "HOST:PORT"]),
            ("resources: 1", ["resources", "a map"]),
            ("imagePullPolicy: Sometimes", ["imagePullPolicy", "IfNotPresent"]),
            ("image: ''", ["image", "something"]),
            ("- a", ["the settings", "a list, expected a map"]),
            ("a: [", ["not YAML", "line"]),
        ] {
            let error = Config::from_yaml(text).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("0s", 0), ("20s", 20), ("2m", 120), ("1h30m", 5400)] {
            assert_eq!(parse_seconds(text), Some(seconds));
        }
        for bad in ["", "s", "20", "1d", "1.5s", "-1s", "25h", "99999999999s", "1é"] {
            assert_eq!(parse_seconds(bad), None, "{bad}");
        }
    }
}
