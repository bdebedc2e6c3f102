//! `Secret` and what it may hold, also where it stands by itself; `SdsSecretConfig`.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::transport_sockets::tls::v3 as proto;
use mesh_tls::{
    Credentials, CredentialsError, Expression, Pins, SanKind, SanMatcher, SanPattern, TrustBundle,
};

use super::common::{
    api_version, enumeration, grpc_source, not_honoured, refuse_set, required, required_name,
    timeout,
};
use super::data_source::data_source;
use super::route_match::string_match;
use crate::config::{
    Certificate, Error, Path, Roots, Secret, SecretConfig, SecretKey, SecretKind, SecretSource,
    StringMatch, StringPattern, Validation,
};

/// Envoy's default of `initial_fetch_timeout`.
const DEFAULT_FETCH_TIMEOUT: Duration = Duration::from_secs(15);

/// Envoy's `Secret`.
pub(crate) fn secret(secret: proto::Secret, path: &Path) -> Result<Secret, Error> {
    use proto::secret::Type;
    let proto::Secret { name, r#type } = secret;
    required_name(path, "name", &name)?;
    match r#type {
        Some(Type::TlsCertificate(wire)) => {
            Ok(Secret::Certificate(certificate(wire, &path.field("tls_certificate"))?))
        }
        Some(Type::ValidationContext(wire)) => {
            let path = path.field("validation_context");
            let found = validation(wire, &path)?;
            // Without, whoever takes the secret would trust everybody.
            required(&path, "trusted_ca", found.roots.as_ref())?;
            Ok(Secret::Validation(Arc::new(found)))
        }
        Some(Type::SessionTicketKeys(_)) => Err(not_honoured(&path.field("session_ticket_keys"))),
        Some(Type::GenericSecret(_)) => Err(not_honoured(&path.field("generic_secret"))),
        None => Err(path.error("missing: expected tls_certificate or validation_context")),
    }
}

/// Envoy's `TlsCertificate`.
pub(super) fn certificate(
    certificate: proto::TlsCertificate,
    path: &Path,
) -> Result<Arc<Certificate>, Error> {
    let proto::TlsCertificate {
        certificate_chain,
        private_key,
        pkcs12,
        watched_directory,
        private_key_provider,
        password,
        ocsp_staple,
        signed_certificate_timestamp,
        tls_params,
    } = certificate;
    refuse_set!(
        path,
        TlsCertificate,
        pkcs12,
        watched_directory,
        private_key_provider,
        password,
        ocsp_staple,
        signed_certificate_timestamp,
        tls_params,
    );
    let chain = data_source(path, "certificate_chain", certificate_chain)?;
    let chain = required(path, "certificate_chain", chain)?;
    let key = required(path, "private_key", data_source(path, "private_key", private_key)?)?;
    let credentials = Credentials::from_pem(&chain.text, &key.text).map_err(|error| {
        let path = match &error {
            CredentialsError::Key(_) | CredentialsError::Mismatch => &key.path,
            CredentialsError::Pem(_)
            | CredentialsError::Empty
            | CredentialsError::Certificate(_) => &chain.path,
        };
        path.error(error.to_string())
    })?;
    Ok(Arc::new(Certificate { credentials, origin: chain.origin }))
}

/// Envoy's `CertificateValidationContext`.
pub(super) fn validation(
    validation: proto::CertificateValidationContext,
    path: &Path,
) -> Result<Validation, Error> {
    let proto::CertificateValidationContext {
        trusted_ca,
        ca_certificate_provider_instance,
        system_root_certs,
        watched_directory,
        verify_certificate_spki,
        verify_certificate_hash,
        match_typed_subject_alt_names,
        match_subject_alt_names,
        require_signed_certificate_timestamp,
        crl,
        allow_expired_certificate,
        trust_chain_verification,
        custom_validator_config,
        only_verify_leaf_cert_crl,
        max_verify_depth,
        suppress_client_ca_list,
    } = validation;
    let require_signed_certificate_timestamp = require_signed_certificate_timestamp == Some(true);
    refuse_set!(
        path,
        CertificateValidationContext,
        ca_certificate_provider_instance,
        system_root_certs,
        watched_directory,
        require_signed_certificate_timestamp,
        crl,
        allow_expired_certificate,
        trust_chain_verification,
        custom_validator_config,
        only_verify_leaf_cert_crl,
        max_verify_depth,
        suppress_client_ca_list,
    );
    let roots = data_source(path, "trusted_ca", trusted_ca)?
        .map(|data| {
            let bundle = TrustBundle::from_pem(data.text.as_bytes())
                .map_err(|error| data.path.error(error.to_string()))?;
            Ok(Roots { bundle, origin: data.origin })
        })
        .transpose()?;
    let mut names = Vec::new();
    for (index, wire) in match_typed_subject_alt_names.into_iter().enumerate() {
        names.push(typed_name(wire, &path.field("match_typed_subject_alt_names").index(index))?);
    }
    for (index, wire) in match_subject_alt_names.into_iter().enumerate() {
        let path = path.field("match_subject_alt_names").index(index);
        let found = string_match(wire, &path)?;
        // It does not say which names, and so stands for all.
        let kinds = [SanKind::Dns, SanKind::Uri, SanKind::Email, SanKind::Ip];
        names.extend(kinds.map(|kind| name_matcher(kind, found.clone())));
    }
    let pins = Pins {
        certificates: hashes(path, "verify_certificate_hash", &verify_certificate_hash, hex)?,
        keys: hashes(path, "verify_certificate_spki", &verify_certificate_spki, base64)?,
    };
    Ok(Validation { roots, names, pins })
}

/// SHA-256 hashes, each as `read` understands it.
fn hashes(
    path: &Path,
    field: &str,
    texts: &[String],
    read: fn(&str) -> Option<[u8; 32]>,
) -> Result<Vec<[u8; 32]>, Error> {
    let hash = |(index, text): (usize, &String)| {
        let bad = || format!("found {text:?}, expected a SHA-256 hash");
        read(text).ok_or_else(|| path.field(field).index(index).error(bad()))
    };
    texts.iter().enumerate().map(hash).collect()
}

/// Hexadecimal digits, with or without colons between the bytes.
fn hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    let is_hex = digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit);
    bytes.filter(|_| is_hex)?.try_into().ok()
}

fn base64(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

fn typed_name(wire: proto::SubjectAltNameMatcher, path: &Path) -> Result<SanMatcher, Error> {
    use proto::subject_alt_name_matcher::SanType;
    let proto::SubjectAltNameMatcher { san_type, matcher, oid } = wire;
    refuse_set!(path, SubjectAltNameMatcher, oid);
    let kind = match enumeration(path, "san_type", san_type)? {
        SanType::Email => SanKind::Email,
        SanType::Dns => SanKind::Dns,
        SanType::Uri => SanKind::Uri,
        SanType::IpAddress => SanKind::Ip,
        SanType::OtherName => return Err(not_honoured(&path.field("san_type"))),
        SanType::Unspecified => {
            return Err(path.field("san_type").error("missing: it is required"));
        }
    };
    let matcher = required(path, "matcher", matcher)?;
    Ok(name_matcher(kind, string_match(matcher, &path.field("matcher"))?))
}

fn name_matcher(kind: SanKind, found: StringMatch) -> SanMatcher {
    let pattern = match found.pattern {
        StringPattern::Exact(text) => SanPattern::Exact(text),
        StringPattern::Prefix(text) => SanPattern::Prefix(text),
        StringPattern::Suffix(text) => SanPattern::Suffix(text),
        StringPattern::Contains(text) => SanPattern::Contains(text),
        StringPattern::Regex(regex) => {
            let text = regex.as_str().to_owned();
            SanPattern::Expression(Expression::new(text, move |name| {
                regex.matches(name.as_bytes())
            }))
        }
    };
    SanMatcher { kind, pattern, ignore_case: found.ignore_case }
}

/// Envoy's `SdsSecretConfig`.
pub(super) fn secret_config(
    config: proto::SdsSecretConfig,
    kind: SecretKind,
    path: &Path,
) -> Result<SecretConfig, Error> {
    use core::config_source::ConfigSourceSpecifier::{Ads, ApiConfigSource, Self_};
    let proto::SdsSecretConfig { name, sds_config } = config;
    let name = required_name(path, "name", &name)?;
    let Some(source) = sds_config else {
        let key = SecretKey { source: SecretSource::Static, name };
        return Ok(SecretConfig { key, kind, initial_fetch_timeout: None });
    };
    let path = path.field("sds_config");
    let core::ConfigSource {
        authorities,
        initial_fetch_timeout,
        resource_api_version,
        config_source_specifier,
    } = source;
    refuse_set!(&path, ConfigSource, authorities);
    api_version(&path, "resource_api_version", resource_api_version)?;
    let source = match config_source_specifier {
        Some(Ads(core::AggregatedConfigSource {})) => SecretSource::Ads,
        Some(Self_(core::SelfConfigSource { transport_api_version })) => {
            api_version(&path.field("self"), "transport_api_version", transport_api_version)?;
            SecretSource::Ads
        }
        Some(ApiConfigSource(config)) => {
            let (_, cluster) = grpc_source(&path.field("api_config_source"), config)?;
            SecretSource::Grpc(cluster)
        }
        _ => return Err(path.error("expected ads or api_config_source")),
    };
    let default = Some(DEFAULT_FETCH_TIMEOUT);
    Ok(SecretConfig {
        key: SecretKey { source, name },
        kind,
        initial_fetch_timeout: timeout(
            &path,
            "initial_fetch_timeout",
            initial_fetch_timeout,
            default,
        )?,
    })
}

/// What secrets can come from.
pub(crate) struct SecretSources<'a> {
    /// Whether `static_resources.secrets` has one of this name and kind.
    pub(crate) is_static: &'a dyn Fn(&str, SecretKind) -> bool,
    /// Whether gRPC may go to this cluster.
    pub(crate) is_target: &'a dyn Fn(&str) -> bool,
    pub(crate) has_ads: bool,
}

impl SecretSources<'_> {
    /// Refuses secrets that could never come; `path` is that of whoever needs them.
    pub(crate) fn check<'s>(
        &self,
        path: &Path,
        secrets: impl Iterator<Item = &'s SecretConfig>,
    ) -> Result<(), Error> {
        for SecretConfig { key: SecretKey { source, name }, kind, .. } in secrets {
            match source {
                SecretSource::Static if !(self.is_static)(name, *kind) => {
                    return Err(path.error(format!(
                        "secret {name:?} without sds_config: expected a {} of this name in static_resources.secrets",
                        kind.name()
                    )));
                }
                SecretSource::Ads if !self.has_ads => {
                    return Err(path.error(format!(
                        "secret {name:?} needs ADS, and dynamic_resources.ads_config is not set"
                    )));
                }
                SecretSource::Grpc(cluster) if !(self.is_target)(cluster) => {
                    return Err(path.error(format!(
                        "secret {name:?}: found cluster_name {cluster:?}, expected a static cluster that has an endpoint"
                    )));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
