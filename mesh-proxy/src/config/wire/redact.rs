//! What may be shown of a secret.

use mesh_proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use mesh_proto::envoy::extensions::transport_sockets::tls::v3::{Secret, secret::Type};

/// As Envoy writes it.
const REDACTED: &str = "[redacted]";

/// The same without what is secret.
pub(crate) fn redacted(secret: &Secret) -> Secret {
    let mut secret = secret.clone();
    match &mut secret.r#type {
        Some(Type::TlsCertificate(certificate)) => {
            redact(&mut certificate.private_key);
            redact(&mut certificate.pkcs12);
            redact(&mut certificate.password);
        }
        Some(Type::SessionTicketKeys(tickets)) => tickets.keys.clear(),
        Some(Type::GenericSecret(generic)) => {
            redact(&mut generic.secret);
            generic.secrets.clear();
        }
        Some(Type::ValidationContext(_)) | None => {}
    }
    secret
}

fn redact(source: &mut Option<DataSource>) {
    if let Some(source) = source {
        source.specifier = Some(Specifier::InlineString(REDACTED.to_owned()));
    }
}
