//! What one proxy's stream has asked for and was sent: a state without I/O.

use std::collections::BTreeSet;

use mesh_proto::any::pack;
use mesh_proto::envoy::config::core::v3::DataSource;
use mesh_proto::envoy::config::core::v3::data_source::Specifier;
use mesh_proto::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use mesh_proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, TlsCertificate,
};
use mesh_proto::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use mesh_tls::{Identity, TrustBundle};
use prost::Name as _;

use crate::identity::secrets::Secrets;

/// The certificate and its key.
const CERTIFICATE: &str = "default";
/// The roots.
const ROOTS: &str = "ROOTCA";

/// One stream.
#[derive(Default)]
pub(super) struct SecretStream {
    names: BTreeSet<String>,
    /// Version and nonce of the last response.
    sent: Option<(String, String)>,
    /// Names were newly asked for: an answer is due, even with what was sent already.
    owed: bool,
    nonce: u64,
}

/// What a request was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The first one, or one with other names.
    Asked {
        /// Names of no secret.
        unknown: Vec<String>,
    },
    /// The last response was taken.
    Acked,
    /// The last response was refused, with the proxy's words.
    Rejected(String),
    /// For another type, or an answer to a response that is not the last one.
    Ignored,
}

impl SecretStream {
    pub(super) fn request(&mut self, request: &DiscoveryRequest) -> Outcome {
        if request.type_url != Secret::type_url() {
            return Outcome::Ignored;
        }
        if let Some((_, nonce)) = &self.sent
            && *nonce != request.response_nonce
        {
            return Outcome::Ignored;
        }
        let names: BTreeSet<_> = request.resource_names.iter().cloned().collect();
        if names != self.names {
            self.owed |= !names.is_subset(&self.names);
            self.names = names;
            let unknown = self.names.iter().filter(|name| !is_known(name)).cloned().collect();
            return Outcome::Asked { unknown };
        }
        match &request.error_detail {
            Some(error) => Outcome::Rejected(error.message.clone()),
            None => Outcome::Acked,
        }
    }

    /// What is to be sent, if anything is: all that was asked for, when some of it changed. A
    /// secret that is not there yet is sent as soon as it is. What was refused is not sent
    /// again until it changes.
    pub(super) fn next_response(&mut self, secrets: &Secrets) -> Option<DiscoveryResponse> {
        let asked = |name: &str| self.names.contains(name);
        let identity = secrets.identity.as_ref().filter(|_| asked(CERTIFICATE));
        let roots = secrets.roots.as_ref().filter(|_| asked(ROOTS));
        if identity.is_none() && roots.is_none() {
            return None;
        }
        let number = |number: Option<u64>| number.unwrap_or_default();
        let version = format!(
            "{}.{}",
            number(identity.map(|(number, _)| *number)),
            number(roots.map(|(number, _)| *number))
        );
        if !self.owed && self.sent.as_ref().is_some_and(|(sent, _)| *sent == version) {
            return None;
        }
        let certificate = identity.map(|(_, identity)| certificate(identity));
        let resources = certificate.into_iter().chain(roots.map(|(_, roots)| validation(roots)));
        self.nonce += 1;
        self.owed = false;
        let nonce = self.nonce.to_string();
        self.sent = Some((version.clone(), nonce.clone()));
        Some(DiscoveryResponse {
            version_info: version,
            resources: resources.map(|secret| pack(&secret)).collect(),
            type_url: Secret::type_url(),
            nonce,
            ..DiscoveryResponse::default()
        })
    }
}

fn is_known(name: &str) -> bool {
    name == CERTIFICATE || name == ROOTS
}

fn inline(text: String) -> Option<DataSource> {
    let specifier = Some(Specifier::InlineBytes(text.into_bytes()));
    Some(DataSource { specifier, ..DataSource::default() })
}

fn certificate(identity: &Identity) -> Secret {
    let certificate = TlsCertificate {
        certificate_chain: inline(identity.credentials().chain_pem()),
        private_key: inline(identity.credentials().key().to_pem()),
        ..TlsCertificate::default()
    };
    Secret { name: CERTIFICATE.to_owned(), r#type: Some(Type::TlsCertificate(certificate)) }
}

fn validation(roots: &TrustBundle) -> Secret {
    let context = CertificateValidationContext {
        trusted_ca: inline(roots.to_pem()),
        ..CertificateValidationContext::default()
    };
    Secret { name: ROOTS.to_owned(), r#type: Some(Type::ValidationContext(context)) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use mesh_proto::google::rpc::Status;
    use mesh_tls::{Authority, SpiffeId};

    use super::*;

    fn secrets() -> Secrets {
        let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
        let authority = Authority::create("cluster.local", hour, now).unwrap();
        let id = SpiffeId::new("cluster.local", "shop", "cart").unwrap();
        let identity = authority.issue_serving(&id, &[], &[], hour, now).unwrap();
        Secrets { identity: Some((1, identity)), roots: Some((1, authority.bundle())) }
    }

    fn ask(names: &[&str], nonce: &str) -> DiscoveryRequest {
        DiscoveryRequest {
            type_url: Secret::type_url(),
            resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
            response_nonce: nonce.to_owned(),
            ..DiscoveryRequest::default()
        }
    }

    #[test]
    fn what_is_asked_for_is_sent_and_sent_again_when_it_changes() {
        let (mut stream, mut secrets) = (SecretStream::default(), secrets());
        assert!(stream.next_response(&secrets).is_none(), "nothing was asked for");
        assert_eq!(stream.request(&ask(&["default"], "")), Outcome::Asked { unknown: vec![] });
        let first = stream.next_response(&secrets).unwrap();
        assert_eq!((first.version_info.as_str(), first.resources.len()), ("1.0", 1));
        assert!(stream.next_response(&secrets).is_none());
        assert_eq!(stream.request(&ask(&["default"], "1")), Outcome::Acked);
        assert!(stream.next_response(&secrets).is_none());

        secrets.roots.as_mut().unwrap().0 = 2;
        assert!(stream.next_response(&secrets).is_none(), "not asked for");
        secrets.identity.as_mut().unwrap().0 = 2;
        assert_eq!(stream.next_response(&secrets).unwrap().version_info, "2.0");
        assert_eq!(stream.request(&ask(&["default"], "1")), Outcome::Ignored, "a late answer");

        let both = stream.request(&ask(&["default", "ROOTCA"], "2"));
        assert_eq!(both, Outcome::Asked { unknown: vec![] });
        assert_eq!(stream.next_response(&secrets).unwrap().resources.len(), 2);
    }

    #[test]
    fn what_was_refused_is_not_sent_again_until_it_changes() {
        let (mut stream, mut secrets) = (SecretStream::default(), secrets());
        stream.request(&ask(&["ROOTCA"], ""));
        let nonce = stream.next_response(&secrets).unwrap().nonce;
        let error_detail = Some(Status { message: "no".to_owned(), ..Status::default() });
        let refusal = DiscoveryRequest { error_detail, ..ask(&["ROOTCA"], &nonce) };
        assert_eq!(stream.request(&refusal), Outcome::Rejected("no".to_owned()));
        assert!(stream.next_response(&secrets).is_none());
        secrets.roots.as_mut().unwrap().0 = 2;
        assert!(stream.next_response(&secrets).is_some());
    }

    #[test]
    fn what_is_not_there_yet_is_sent_when_it_is() {
        let mut stream = SecretStream::default();
        let other = ask(&["default", "file-cert:/x"], "");
        assert_eq!(
            stream.request(&other),
            Outcome::Asked { unknown: vec!["file-cert:/x".to_owned()] }
        );
        assert!(stream.next_response(&Secrets::default()).is_none());
        assert!(stream.next_response(&secrets()).is_some());
        let clusters = DiscoveryRequest { type_url: "x".to_owned(), ..ask(&["default"], "1") };
        assert_eq!(stream.request(&clusters), Outcome::Ignored);
    }

    #[test]
    fn after_a_reconnection_the_same_is_sent_again() {
        let secrets = secrets();
        let returning = DiscoveryRequest { version_info: "1.0".into(), ..ask(&["default"], "") };
        let mut stream = SecretStream::default();
        stream.request(&returning);
        assert!(stream.next_response(&secrets).is_some(), "another agent's 1 is not this one's");
    }
}
