//! `DownstreamTlsContext` and `UpstreamTlsContext`.

use std::sync::Arc;

use mesh_proto::envoy::extensions::transport_sockets::tls::v3 as proto;
use rustls::pki_types::ServerName;

use super::common::{not_honoured, refuse_set, required};
use super::secret::{certificate, secret_config, validation};
use super::tls_parameters::parameters;
use crate::config::{
    CertificateSource, CommonTls, DownstreamTls, Error, Path, SecretConfig, SecretKind,
    UpstreamTls, Validation,
};

/// TLS has one byte for a protocol's length (RFC 7301).
const MAX_PROTOCOL: usize = 255;
/// What fits into a name of DNS, and so into SNI.
const MAX_SNI: usize = 253;

/// Envoy's `DownstreamTlsContext`.
pub(super) fn downstream(
    context: proto::DownstreamTlsContext,
    path: &Path,
) -> Result<DownstreamTls, Error> {
    use proto::downstream_tls_context::SessionTicketKeysType;
    let proto::DownstreamTlsContext {
        common_tls_context,
        require_client_certificate,
        require_sni,
        disable_stateful_session_resumption,
        session_timeout,
        ocsp_staple_policy,
        full_scan_certs_on_sni_mismatch,
        prefer_client_ciphers,
        session_ticket_keys_type,
    } = context;
    refuse_set!(
        path,
        DownstreamTlsContext,
        disable_stateful_session_resumption,
        session_timeout,
        ocsp_staple_policy,
        full_scan_certs_on_sni_mismatch,
    );
    let tickets = match session_ticket_keys_type {
        None => true,
        Some(SessionTicketKeysType::DisableStatelessSessionResumption(disable)) => !disable,
        Some(SessionTicketKeysType::SessionTicketKeys(_)) => {
            return Err(not_honoured(&path.field("session_ticket_keys")));
        }
        Some(SessionTicketKeysType::SessionTicketKeysSdsSecretConfig(_)) => {
            return Err(not_honoured(&path.field("session_ticket_keys_sds_secret_config")));
        }
    };
    let common_path = path.field("common_tls_context");
    let common = common(common_tls_context.unwrap_or_default(), &common_path)?;
    required(&common_path, "tls_certificates", common.certificates.first())?;
    Ok(DownstreamTls {
        common,
        require_client_certificate: require_client_certificate == Some(true),
        prefer_client_ciphers,
        require_sni: require_sni == Some(true),
        tickets,
    })
}

/// Envoy's `UpstreamTlsContext`.
pub(super) fn upstream(
    context: proto::UpstreamTlsContext,
    path: &Path,
) -> Result<UpstreamTls, Error> {
    let proto::UpstreamTlsContext {
        common_tls_context,
        sni,
        auto_host_sni,
        auto_sni_san_validation,
        allow_renegotiation,
        max_session_keys,
        enforce_rsa_key_usage,
    } = context;
    refuse_set!(
        path,
        UpstreamTlsContext,
        auto_host_sni,
        auto_sni_san_validation,
        allow_renegotiation,
        enforce_rsa_key_usage,
    );
    let is_name = sni.len() <= MAX_SNI && ServerName::try_from(sni.as_str()).is_ok();
    if !sni.is_empty() && !is_name {
        return Err(path.field("sni").error(format!("found {sni:?}, expected a DNS name")));
    }
    let common_path = path.field("common_tls_context");
    let common = common(common_tls_context.unwrap_or_default(), &common_path)?;
    if common.certificates.len() > 1 {
        let count = common.certificates.len();
        return Err(common_path
            .field("tls_certificates")
            .error(format!("found {count}, expected one: a client has no choice among several")));
    }
    Ok(UpstreamTls {
        common,
        sni: (!sni.is_empty()).then(|| sni.into()),
        resume: max_session_keys != Some(0),
    })
}

fn common(context: proto::CommonTlsContext, path: &Path) -> Result<CommonTls, Error> {
    let proto::CommonTlsContext {
        tls_params,
        tls_certificates,
        tls_certificate_sds_secret_configs,
        tls_certificate_provider_instance,
        custom_tls_certificate_selector,
        tls_certificate_certificate_provider,
        tls_certificate_certificate_provider_instance,
        alpn_protocols,
        custom_handshaker,
        key_log,
        validation_context_type,
    } = context;
    refuse_set!(
        path,
        CommonTlsContext,
        tls_certificate_provider_instance,
        custom_tls_certificate_selector,
        tls_certificate_certificate_provider,
        tls_certificate_certificate_provider_instance,
        custom_handshaker,
        key_log,
    );
    let certificates =
        Certificates { own: tls_certificates, secrets: tls_certificate_sds_secret_configs };
    let (validation, validation_secret) = validation_type(validation_context_type, path)?;
    Ok(CommonTls {
        parameters: parameters(tls_params, &path.field("tls_params"))?,
        alpn: alpn(alpn_protocols, &path.field("alpn_protocols"))?,
        certificates: certificates.all(path)?,
        validation: Arc::new(validation),
        validation_secret,
    })
}

/// The two lists of certificates.
struct Certificates {
    own: Vec<proto::TlsCertificate>,
    secrets: Vec<proto::SdsSecretConfig>,
}

impl Certificates {
    /// Those of one list. As Envoy: certificates at hand are taken, and no secret is asked for.
    fn all(self, path: &Path) -> Result<Vec<CertificateSource>, Error> {
        let own = path.field("tls_certificates");
        let secrets = path.field("tls_certificate_sds_secret_configs");
        if !self.own.is_empty() {
            let own = self.own.into_iter().enumerate().map(|(index, wire)| {
                Ok(CertificateSource::Own(certificate(wire, &own.index(index))?))
            });
            return own.collect();
        }
        let secrets = self.secrets.into_iter().enumerate().map(|(index, wire)| {
            let kind = SecretKind::Certificate;
            Ok(CertificateSource::Secret(secret_config(wire, kind, &secrets.index(index))?))
        });
        secrets.collect()
    }
}

/// What is given, and the secret with the rest.
fn validation_type(
    wire: Option<proto::common_tls_context::ValidationContextType>,
    path: &Path,
) -> Result<(Validation, Option<SecretConfig>), Error> {
    use proto::common_tls_context::{
        CombinedCertificateValidationContext, ValidationContextType as Type,
    };
    match wire {
        None => Ok((Validation::default(), None)),
        Some(Type::ValidationContext(wire)) => {
            let path = path.field("validation_context");
            let found = validation(wire, &path)?;
            if found.roots.is_none() && !found.names.is_empty() {
                return Err(path.field("trusted_ca").error(
                    "missing: names of peers say nothing without roots that their certificates lead to",
                ));
            }
            Ok((found, None))
        }
        Some(Type::ValidationContextSdsSecretConfig(wire)) => {
            let path = path.field("validation_context_sds_secret_config");
            Ok((Validation::default(), Some(secret_config(wire, SecretKind::Validation, &path)?)))
        }
        Some(Type::CombinedValidationContext(wire)) => {
            let path = path.field("combined_validation_context");
            let CombinedCertificateValidationContext {
                default_validation_context,
                validation_context_sds_secret_config,
                validation_context_certificate_provider,
                validation_context_certificate_provider_instance,
            } = wire;
            refuse_set!(
                &path,
                CombinedCertificateValidationContext,
                validation_context_certificate_provider,
                validation_context_certificate_provider_instance,
            );
            let default =
                required(&path, "default_validation_context", default_validation_context)?;
            let field = "validation_context_sds_secret_config";
            let secret = required(&path, field, validation_context_sds_secret_config)?;
            Ok((
                validation(default, &path.field("default_validation_context"))?,
                Some(secret_config(secret, SecretKind::Validation, &path.field(field))?),
            ))
        }
        Some(Type::ValidationContextCertificateProvider(_)) => {
            Err(not_honoured(&path.field("validation_context_certificate_provider")))
        }
        Some(Type::ValidationContextCertificateProviderInstance(_)) => {
            Err(not_honoured(&path.field("validation_context_certificate_provider_instance")))
        }
    }
}

fn alpn(protocols: Vec<String>, path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let mut all = Vec::new();
    // Envoy takes a list in one string, too.
    for (index, protocols) in protocols.into_iter().enumerate() {
        for protocol in protocols.split(',') {
            if protocol.is_empty() || protocol.len() > MAX_PROTOCOL {
                return Err(path
                    .index(index)
                    .error(format!("found {protocol:?}, expected 1 to {MAX_PROTOCOL} bytes")));
            }
            all.push(protocol.as_bytes().to_vec());
        }
    }
    Ok(all)
}
