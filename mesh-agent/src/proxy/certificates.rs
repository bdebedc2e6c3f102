//! The certificate files that a bootstrap names. A proxy reads them when it starts.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use mesh_tls::Credentials;
use serde_json::Value;

use super::source::field;

/// Files by their names in the bootstrap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Certificates {
    /// A chain and its key.
    pairs: Vec<(PathBuf, PathBuf)>,
    /// Roots and revocation lists.
    others: Vec<PathBuf>,
}

impl Certificates {
    /// What Envoy's TLS contexts and static secrets name. What comes by SDS, and what has a
    /// `watched_directory`, the proxy reads anew by itself.
    pub(super) fn named(bootstrap: &Value) -> Self {
        let mut named = Self::default();
        named.collect(bootstrap);
        named
    }

    fn collect(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            Value::Object(fields) => {
                if field(value, "watched_directory").is_none() {
                    self.take(value);
                }
                fields.values().for_each(|value| self.collect(value));
            }
            _ => {}
        }
    }

    fn take(&mut self, value: &Value) {
        let file = |name| {
            let name = field(field(value, name)?, "filename")?.as_str()?;
            Some(PathBuf::from(name))
        };
        if let (Some(chain), Some(key)) = (file("certificate_chain"), file("private_key")) {
            self.pairs.push((chain, key));
        }
        self.others.extend(["trusted_ca", "crl"].into_iter().filter_map(file));
    }

    /// All of them.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.pairs.iter().flat_map(|(chain, key)| [chain, key]).chain(&self.others)
    }

    /// Whether each chain is for its key: of two files that are replaced one after the
    /// other, the first alone is not.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        for (chain, key) in &self.pairs {
            let read = |path: &PathBuf| {
                fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
            };
            Credentials::from_pem(&read(chain)?, &read(key)?)
                .with_context(|| format!("{} and {}", chain.display(), key.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_of_contexts_and_secrets_but_not_those_that_the_proxy_watches() {
        let context = json!({"common_tls_context": {
            "tls_certificates": [
                {"certificate_chain": {"filename": "/a.crt"}, "private_key": {"filename": "/a.key"}},
                {
                    "certificate_chain": {"filename": "/w.crt"},
                    "private_key": {"filename": "/w.key"},
                    "watched_directory": {"path": "/"},
                },
                {"certificate_chain": {"inline_string": "x"}, "private_key": {"filename": "/b.key"}},
            ],
            "validation_context": {"trusted_ca": {"filename": "/roots"}},
        }});
        let secret = json!({"name": "s", "tlsCertificate": {
            "certificateChain": {"filename": "/s.crt"}, "privateKey": {"filename": "/s.key"},
        }});
        let named = Certificates::named(&json!({"a": [context], "secrets": [secret]}));
        let files: Vec<_> = named.files().map(|path| path.display().to_string()).collect();
        assert_eq!(files, ["/a.crt", "/a.key", "/s.crt", "/s.key", "/roots"]);
    }
}
