//! `/certs`: Envoy's `Certificates`, of all contexts that are in force, each pair once.

use std::sync::Arc;
use std::time::SystemTime;

use mesh_proto::envoy::admin::v3 as proto;
use mesh_proto::text::{self, Error};
use mesh_tls::CertificateDetails;
use proto::SubjectAlternateName;
use proto::subject_alternate_name::Name;
use rustls::pki_types::CertificateDer;
use serde_json::Value;

use super::Pages;
use crate::config::{
    Certificate, CertificateSource, CommonTls, Secret, SecretConfig, Transport, Validation,
};
use crate::xds::State;

const DAY: u64 = 24 * 60 * 60;

pub(super) fn page(pages: &Pages) -> Result<Value, Error> {
    let certificates = certificates(&pages.state(), SystemTime::now());
    text::to_json(&proto::Certificates { certificates })
}

/// Days until the first of all certificates is no longer valid.
pub(super) fn days_until_first_expires(state: &State) -> Option<u64> {
    let certificates = certificates(state, SystemTime::now());
    let all = certificates.iter().flat_map(|pair| pair.ca_cert.iter().chain(&pair.cert_chain));
    all.map(|certificate| certificate.days_until_expiration).min()
}

fn certificates(state: &State, now: SystemTime) -> Vec<proto::Certificate> {
    let mut all = Vec::new();
    let mut add = |common: &CommonTls| {
        let certificate = certificate(state, common, now);
        let is_empty = certificate.ca_cert.is_empty() && certificate.cert_chain.is_empty();
        if !is_empty && !all.contains(&certificate) {
            all.push(certificate);
        }
    };
    let listeners = state.listeners().values().filter_map(|entry| entry.active.as_ref());
    for chain in listeners.flat_map(|version| version.config.chains()) {
        if let Some(tls) = &chain.tls {
            add(&tls.common);
        }
    }
    let clusters = state.clusters().values().filter_map(|entry| entry.active.as_ref());
    for transport in clusters.flat_map(|version| version.config.transports.all()) {
        if let Transport::Tls(tls) = transport {
            add(&tls.common);
        }
    }
    all
}

fn certificate(state: &State, common: &CommonTls, now: SystemTime) -> proto::Certificate {
    let own = common.certificates.iter().filter_map(|source| match source {
        CertificateSource::Own(own) => Some(Arc::clone(own)),
        CertificateSource::Secret(secret) => certificate_secret(state, secret),
    });
    let secret = common.validation_secret.as_ref();
    let secret = secret.and_then(|secret| validation_secret(state, secret));
    let roots = secret.as_ref().and_then(|secret| secret.roots.as_ref());
    let roots = roots.or(common.validation.roots.as_ref());
    let show = |der: &CertificateDer<'_>, origin: &str| details(der, origin, now);
    proto::Certificate {
        ca_cert: roots
            .into_iter()
            .flat_map(|roots| {
                roots.bundle.roots().iter().filter_map(|der| show(der, &roots.origin))
            })
            .collect(),
        // As Envoy, the leaves alone.
        cert_chain: own
            .filter_map(|own| show(own.credentials.chain().first()?, &own.origin))
            .collect(),
    }
}

fn certificate_secret(state: &State, secret: &SecretConfig) -> Option<Arc<Certificate>> {
    match &*secret_of(state, secret)? {
        Secret::Certificate(certificate) => Some(Arc::clone(certificate)),
        Secret::Validation(_) => None,
    }
}

fn validation_secret(state: &State, secret: &SecretConfig) -> Option<Arc<Validation>> {
    match &*secret_of(state, secret)? {
        Secret::Validation(validation) => Some(Arc::clone(validation)),
        Secret::Certificate(_) => None,
    }
}

fn secret_of(state: &State, SecretConfig { key, .. }: &SecretConfig) -> Option<Arc<Secret>> {
    let entry = state.secrets().get(&key.source)?.get(&key.name)?;
    entry.active.as_ref().map(|version| Arc::clone(&version.config))
}

fn details(
    der: &CertificateDer<'_>,
    origin: &str,
    now: SystemTime,
) -> Option<proto::CertificateDetails> {
    let details = CertificateDetails::parse(der).ok()?;
    let left = details.not_after.duration_since(now).unwrap_or_default();
    let name = |name| SubjectAlternateName { name: Some(name) };
    let names = &details.names;
    let uris = names.uris.iter().map(|uri| name(Name::Uri(uri.clone())));
    let dns = names.dns.iter().map(|dns| name(Name::Dns(dns.clone())));
    let ips = names.ips.iter().map(|ip| name(Name::IpAddress(ip.to_string())));
    Some(proto::CertificateDetails {
        path: origin.to_owned(),
        serial_number: details.serial,
        subject_alt_names: uris.chain(dns).chain(ips).collect(),
        days_until_expiration: left.as_secs() / DAY,
        valid_from: Some(details.not_before.into()),
        expiration_time: Some(details.not_after.into()),
        ocsp_details: None,
    })
}
