//! SDS: which secrets are needed, by source, and which are there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use mesh_proto::any;
use mesh_proto::envoy::extensions::transport_sockets::tls::v3::Secret as WireSecret;
use prost_types::Any;

use super::resource::{Entry, Table};
use super::response::{Incoming, Kind};
use super::state::{Action, Now, Outcome, State};
use crate::config::{Name, Path, Secret, SecretConfig, SecretKey, SecretKind, SecretSource, wire};

const SECRETS: Kind<WireSecret, Secret> = Kind {
    label: "secret",
    name: |message| &message.name,
    deadline: |_, _| None,
    kept: |_, message| Arc::new(any::pack(&wire::redacted(message))),
};

/// The secrets of each source, by name.
pub(crate) type SecretTables = BTreeMap<SecretSource, Table<Secret>>;

/// The secrets that are asked for, with what they are needed as.
pub(crate) type WantedSecrets = BTreeMap<SecretSource, BTreeMap<Name, SecretKind>>;

/// When the most patient of these stops to be waited for; `None`: never. Static ones are there
/// from the start.
pub(super) fn deadline<'a>(
    secrets: impl Iterator<Item = &'a SecretConfig>,
    others: impl Iterator<Item = Option<Instant>>,
    now: Now,
) -> Option<Instant> {
    let fetched = secrets.filter(|secret| secret.key.source != SecretSource::Static);
    let deadlines = fetched.map(|secret| Some(now.instant + secret.initial_fetch_timeout?));
    deadlines.chain(others).reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b))).flatten()
}

/// Whether all of these are there.
pub(super) fn are_there<'a>(
    tables: &SecretTables,
    mut secrets: impl Iterator<Item = &'a SecretConfig>,
) -> bool {
    secrets.all(|secret| {
        let table = tables.get(&secret.key.source);
        let entry = table.and_then(|table| table.get(&secret.key.name));
        entry.is_some_and(|entry| entry.active.is_some())
    })
}

/// Whether the file has a secret of this name and kind.
pub(super) fn is_static(tables: &SecretTables, name: &str, kind: SecretKind) -> bool {
    let entry = tables.get(&SecretSource::Static).and_then(|table| table.get(name));
    entry.is_some_and(|entry| entry.configs().any(|secret| secret.kind() == kind))
}

impl State {
    /// Where secrets come from at the moment, and which are asked for there.
    pub(crate) fn secret_names(&self) -> WantedSecrets {
        let clusters = self.clusters.values().flat_map(Entry::configs);
        let listeners = self.listeners.values().flat_map(Entry::configs);
        let all = clusters
            .flat_map(|cluster| cluster.transports.secrets())
            .chain(listeners.flat_map(|listener| listener.secrets()));
        let mut names = WantedSecrets::new();
        for SecretConfig { key, kind, .. } in all {
            names.entry(key.source.clone()).or_default().insert(key.name.clone(), *kind);
        }
        names
    }

    /// Secrets from one source.
    pub(crate) fn secret_response(
        &mut self,
        source: &SecretSource,
        version: &str,
        resources: Vec<Any>,
        now: Now,
    ) -> Outcome {
        let version: Arc<str> = version.into();
        let response = Incoming { version: &version, resources, now };
        let mut outcome = self.take_secrets(source, response);
        outcome.actions.extend(self.settle(now));
        outcome.actions.extend(self.forget_secrets());
        outcome
    }

    /// Puts the static ones in force, at the start.
    pub(super) fn settle_secrets(&mut self, actions: &mut Vec<Action>) {
        for (source, table) in &mut self.secrets {
            for (name, entry) in table {
                let key = || SecretKey { source: source.clone(), name: name.clone() };
                actions.extend(entry.promote().map(|secret| Action::PutSecret(key(), secret)));
            }
        }
    }

    pub(super) fn take_secrets(
        &mut self,
        source: &SecretSource,
        response: Incoming<'_>,
    ) -> Outcome {
        let wanted = self.secret_names().remove(source).unwrap_or_default();
        let table = self.secrets.entry(source.clone()).or_default();
        let names = wanted.keys().map(ToString::to_string).collect();
        let convert = |message: WireSecret| {
            let kind = wanted.get(message.name.as_str()).copied();
            let secret = wire::secret(message, &Path::default())?;
            match kind.filter(|kind| *kind != secret.kind()) {
                None => Ok(secret),
                Some(kind) => Err(Path::default().error(format!(
                    "found a {}, expected a {}",
                    secret.kind().name(),
                    kind.name()
                ))),
            }
        };
        let taken = SECRETS.take_wanted(table, &names, response, convert);
        let put =
            |(name, secret)| Action::PutSecret(SecretKey { source: source.clone(), name }, secret);
        Outcome { actions: taken.result.into_iter().map(put).collect(), refused: taken.refused }
    }

    /// Forgets secrets that nobody asks for; handshakes under way have theirs.
    pub(super) fn forget_secrets(&mut self) -> Vec<Action> {
        let wanted = self.secret_names();
        let mut actions = Vec::new();
        for (source, table) in &mut self.secrets {
            let wanted = wanted.get(source);
            table.retain(|name, entry| {
                let is_wanted = wanted.is_some_and(|wanted| wanted.contains_key(name));
                let keep = entry.is_static || is_wanted;
                if !keep {
                    let key = SecretKey { source: source.clone(), name: name.clone() };
                    actions.push(Action::RemoveSecret(key));
                }
                keep
            });
        }
        actions
    }

    pub(crate) fn secrets(&self) -> &SecretTables {
        &self.secrets
    }
}
