//! Which endpoint is spoken to in plain text, and which with what TLS.

use std::sync::Arc;

use crate::config::{self, Labels, Transport};
use crate::secrets::Secrets;
use crate::transport::tls::Client;

/// The transport sockets of a cluster at work; `None` is plain text.
pub(crate) struct Transports {
    matches: Vec<(Labels, Option<Arc<Client>>)>,
    default: Option<Arc<Client>>,
}

impl Transports {
    /// Takes over those of `old` that are the same, with the sessions that they remember.
    pub(crate) fn new(config: &config::Transports, secrets: &Secrets, old: Option<&Self>) -> Self {
        let client = |transport: &Transport| match transport {
            Transport::RawBuffer => None,
            Transport::Tls(config) => {
                let mut known = old.into_iter().flat_map(Self::clients);
                let known = known.find(|client| client.config == *config);
                Some(known.map_or_else(|| Arc::new(Client::new(config, secrets)), Arc::clone))
            }
        };
        let matches = config.matches.iter();
        Self {
            matches: matches.map(|one| (one.labels.clone(), client(&one.transport))).collect(),
            default: client(&config.default),
        }
    }

    /// How an endpoint with these labels is spoken to.
    pub(crate) fn of(&self, labels: &Labels) -> Option<&Arc<Client>> {
        let fits =
            |wanted: &Labels| wanted.iter().all(|(key, value)| labels.get(key) == Some(value));
        let found = self.matches.iter().find(|(wanted, _)| fits(wanted));
        found.map_or(self.default.as_ref(), |(_, client)| client.as_ref())
    }

    /// How one without labels is.
    pub(super) fn of_nobody(&self) -> Option<&Arc<Client>> {
        self.of(&Labels::new())
    }

    fn clients(&self) -> impl Iterator<Item = &Arc<Client>> {
        self.matches.iter().map(|(_, client)| client).chain([&self.default]).flatten()
    }
}
