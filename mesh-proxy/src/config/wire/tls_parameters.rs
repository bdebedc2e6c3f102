//! `TlsParameters`: versions, cipher suites, groups.

use mesh_proto::envoy::extensions::transport_sockets::tls::v3 as proto;
use mesh_tls::Parameters;
use proto::tls_parameters::TlsProtocol;
use rustls::{CipherSuite, NamedGroup, SupportedProtocolVersion};

use super::common::{enumeration, not_honoured, refuse_set};
use crate::config::{Error, Path};

/// By BoringSSL's names. What is `None` is known and not spoken: in a list it is passed over,
/// as no peer can insist on it.
const SUITES: [(&str, Option<CipherSuite>); 16] = [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)),
    (
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        Some(CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ),
    ("ECDHE-RSA-AES128-GCM-SHA256", Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)),
    ("ECDHE-RSA-AES256-GCM-SHA384", Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)),
    ("ECDHE-RSA-CHACHA20-POLY1305", Some(CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256)),
    ("ECDHE-ECDSA-AES128-SHA", None),
    ("ECDHE-ECDSA-AES256-SHA", None),
    ("ECDHE-RSA-AES128-SHA", None),
    ("ECDHE-RSA-AES256-SHA", None),
    ("ECDHE-RSA-AES128-SHA256", None),
    ("AES128-GCM-SHA256", None),
    ("AES256-GCM-SHA384", None),
    ("AES128-SHA", None),
    ("AES256-SHA", None),
    ("DES-CBC3-SHA", None),
];

const GROUPS: [(&str, Option<NamedGroup>); 6] = [
    ("X25519", Some(NamedGroup::X25519)),
    ("P-256", Some(NamedGroup::secp256r1)),
    ("P-384", Some(NamedGroup::secp384r1)),
    ("X25519MLKEM768", Some(NamedGroup::X25519MLKEM768)),
    ("P-521", None),
    ("X25519Kyber768Draft00", None),
];

/// Envoy's `TlsParameters`. Without a maximum it is TLS 1.3 on both sides (Envoy's clients
/// stop at 1.2 then).
pub(super) fn parameters(
    wire: Option<proto::TlsParameters>,
    path: &Path,
) -> Result<Parameters, Error> {
    let Some(proto::TlsParameters {
        tls_minimum_protocol_version,
        tls_maximum_protocol_version,
        cipher_suites,
        ecdh_curves,
        signature_algorithms,
        compliance_policies,
    }) = wire
    else {
        return Ok(Parameters::default());
    };
    refuse_set!(path, TlsParameters, signature_algorithms, compliance_policies);
    let least =
        match enumeration(path, "tls_minimum_protocol_version", tls_minimum_protocol_version)? {
            // Older ones are not spoken, and no peer can insist on one.
            TlsProtocol::TlsAuto
            | TlsProtocol::TlSv10
            | TlsProtocol::TlSv11
            | TlsProtocol::TlSv12 => 0,
            TlsProtocol::TlSv13 => 1,
        };
    let field = "tls_maximum_protocol_version";
    let most = match enumeration(path, field, tls_maximum_protocol_version)? {
        TlsProtocol::TlSv10 | TlsProtocol::TlSv11 => return Err(not_honoured(&path.field(field))),
        TlsProtocol::TlSv12 => 0,
        TlsProtocol::TlsAuto | TlsProtocol::TlSv13 => 1,
    };
    const VERSIONS: [&SupportedProtocolVersion; 2] =
        [&rustls::version::TLS12, &rustls::version::TLS13];
    let Some(versions) = VERSIONS.get(least..=most).filter(|versions| !versions.is_empty()) else {
        return Err(path
            .field("tls_minimum_protocol_version")
            .error("is higher than tls_maximum_protocol_version"));
    };
    Ok(Parameters {
        versions: versions.to_vec(),
        cipher_suites: named(&SUITES, &cipher_suites, &path.field("cipher_suites"))?,
        groups: named(&GROUPS, &ecdh_curves, &path.field("ecdh_curves"))?,
    })
}

/// Those of the list that there are, in its order. BoringSSL's "[a|b]" says that both are
/// as good.
fn named<T: Copy>(
    known: &[(&str, Option<T>)],
    list: &[String],
    path: &Path,
) -> Result<Vec<T>, Error> {
    let mut found = Vec::new();
    for (index, text) in list.iter().enumerate() {
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        for name in inner.unwrap_or(text).split(['|', ':']) {
            match known.iter().find(|(known, _)| *known == name) {
                Some((_, value)) => found.extend(*value),
                None => {
                    return Err(path
                        .index(index)
                        .error(format!("found {name:?}, expected one of {}", spoken(known))));
                }
            }
        }
    }
    if found.is_empty() && !list.is_empty() {
        return Err(path.error(format!("none of these is spoken; there are {}", spoken(known))));
    }
    Ok(found)
}

fn spoken<T>(known: &[(&str, Option<T>)]) -> String {
    let spoken = known.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| *name);
    spoken.collect::<Vec<_>>().join(", ")
}
