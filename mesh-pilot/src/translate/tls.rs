//! TLS contexts: of the mesh, whose certificates the agent serves, and of the user's own.

use mesh_model::{OwnTls, ServerCheck, ServerTls};
use mesh_proto::any;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use mesh_proto::envoy::extensions::transport_sockets::tls::v3 as wire_tls;
use mesh_proto::envoy::r#type::matcher::v3::StringMatcher;
use mesh_proto::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use prost::{Message, Name};
use wire_tls::common_tls_context::{CombinedCertificateValidationContext, ValidationContextType};
use wire_tls::subject_alt_name_matcher::SanType;
use wire_tls::tls_parameters::TlsProtocol;
use wire_tls::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig,
    SubjectAltNameMatcher, TlsCertificate, TlsParameters, UpstreamTlsContext,
};

/// The cluster of the bootstrap that leads to the agent.
const SDS_CLUSTER: &str = "sds-grpc";
/// The sidecar's certificate.
const OWN_CERTIFICATE: &str = "default";
/// What the mesh's certificates lead to.
const MESH_ROOTS: &str = "ROOTCA";
/// Where most images, ours among them, have the roots of the system.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A server's side of mutual TLS of the mesh: any workload of the trust domain may connect.
pub(super) fn mesh_server(trust_domain: &str, alpn: &[&str]) -> core::TransportSocket {
    let prefix = MatchPattern::Prefix(format!("spiffe://{trust_domain}/"));
    let context = DownstreamTlsContext {
        common_tls_context: Some(mesh(vec![name(SanType::Uri, prefix)], alpn)),
        require_client_certificate: Some(true),
        ..Default::default()
    };
    tls(&context)
}

/// A client's side: the server must be one of `identities`; none given, any of the mesh.
pub(super) fn mesh_client<'a>(
    sni: &str,
    identities: impl IntoIterator<Item = &'a str>,
    alpn: &[&str],
) -> core::TransportSocket {
    let identities = identities.into_iter().map(exact_name).collect();
    let context = UpstreamTlsContext {
        common_tls_context: Some(mesh(identities, alpn)),
        sni: sni.to_owned(),
        ..Default::default()
    };
    tls(&context)
}

/// A client's TLS as the user wants it. `host` is asked for, and its `names` are what the
/// certificate must be for, where the user says nothing.
pub(super) fn own_client(
    own: &OwnTls,
    host: &str,
    names: &[String],
    alpn: &[&str],
) -> core::TransportSocket {
    let certificates = own.certificate.iter().map(certificate);
    let validation = match &own.check {
        ServerCheck::Nothing => None,
        ServerCheck::Signed { roots, subject_alt_names } => {
            // Who asks for another name than the host's knows why, and Istio lets them.
            let names = if own.sni.is_none() { names } else { &[] };
            let wanted = if subject_alt_names.is_empty() { names } else { subject_alt_names };
            let wanted = wanted.iter().map(|wanted| exact_name(wanted));
            Some(ValidationContextType::ValidationContext(CertificateValidationContext {
                trusted_ca: Some(file(roots.as_deref().unwrap_or(SYSTEM_ROOTS))),
                match_typed_subject_alt_names: wanted.collect(),
                ..Default::default()
            }))
        }
    };
    let context = UpstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_certificates: certificates.collect(),
            validation_context_type: validation,
            ..common(alpn)
        }),
        sni: own.sni.clone().unwrap_or_else(|| host.to_owned()),
        ..Default::default()
    };
    tls(&context)
}

/// A server's side, with the user's own certificate.
pub(super) fn own_server(own: &ServerTls, alpn: &[&str]) -> core::TransportSocket {
    let validation = own.client_roots.as_ref().map(|roots| {
        ValidationContextType::ValidationContext(CertificateValidationContext {
            trusted_ca: Some(file(roots)),
            ..Default::default()
        })
    });
    let context = DownstreamTlsContext {
        require_client_certificate: Some(validation.is_some()),
        common_tls_context: Some(CommonTlsContext {
            tls_certificates: vec![certificate(&own.certificate)],
            validation_context_type: validation,
            ..common(alpn)
        }),
        ..Default::default()
    };
    tls(&context)
}

/// No TLS.
pub(super) fn raw_buffer() -> core::TransportSocket {
    socket("envoy.transport_sockets.raw_buffer", &RawBuffer::default())
}

fn mesh(names: Vec<SubjectAltNameMatcher>, alpn: &[&str]) -> CommonTlsContext {
    let default =
        CertificateValidationContext { match_typed_subject_alt_names: names, ..Default::default() };
    let validation = CombinedCertificateValidationContext {
        default_validation_context: Some(default),
        validation_context_sds_secret_config: Some(secret(MESH_ROOTS)),
        ..Default::default()
    };
    CommonTlsContext {
        tls_certificate_sds_secret_configs: vec![secret(OWN_CERTIFICATE)],
        validation_context_type: Some(ValidationContextType::CombinedValidationContext(validation)),
        ..common(alpn)
    }
}

/// The versions are said, as Envoy's clients would stop at 1.2.
fn common(alpn: &[&str]) -> CommonTlsContext {
    CommonTlsContext {
        tls_params: Some(TlsParameters {
            tls_minimum_protocol_version: TlsProtocol::TlSv12.into(),
            tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
            ..Default::default()
        }),
        alpn_protocols: alpn.iter().map(|protocol| (*protocol).to_owned()).collect(),
        ..Default::default()
    }
}

/// From the agent. It may be long in coming: the certificate is waited for.
fn secret(name: &str) -> SdsSecretConfig {
    use core::api_config_source::ApiType;
    use core::config_source::ConfigSourceSpecifier;
    use core::grpc_service::{EnvoyGrpc, TargetSpecifier};
    let agent = EnvoyGrpc { cluster_name: SDS_CLUSTER.to_owned(), ..Default::default() };
    let service = core::GrpcService {
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(agent)),
        ..Default::default()
    };
    let source = core::ApiConfigSource {
        api_type: ApiType::Grpc.into(),
        transport_api_version: core::ApiVersion::V3.into(),
        grpc_services: vec![service],
        set_node_on_first_message_only: true,
        ..Default::default()
    };
    let config = core::ConfigSource {
        initial_fetch_timeout: Some(prost_types::Duration::default()),
        resource_api_version: core::ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::ApiConfigSource(source)),
        ..Default::default()
    };
    SdsSecretConfig { name: name.to_owned(), sds_config: Some(config) }
}

/// Istio's `subjectAltNames` do not say of which kind they are, but it can be seen.
fn exact_name(wanted: &str) -> SubjectAltNameMatcher {
    let kind = match wanted {
        wanted if wanted.contains("://") => SanType::Uri,
        wanted if wanted.parse::<std::net::IpAddr>().is_ok() => SanType::IpAddress,
        _ => SanType::Dns,
    };
    name(kind, MatchPattern::Exact(wanted.to_owned()))
}

fn name(kind: SanType, pattern: MatchPattern) -> SubjectAltNameMatcher {
    let matcher = StringMatcher { match_pattern: Some(pattern), ..Default::default() };
    SubjectAltNameMatcher { san_type: kind.into(), matcher: Some(matcher), ..Default::default() }
}

fn certificate((chain, key): &(String, String)) -> TlsCertificate {
    TlsCertificate {
        certificate_chain: Some(file(chain)),
        private_key: Some(file(key)),
        ..Default::default()
    }
}

fn file(path: &str) -> core::DataSource {
    core::DataSource {
        specifier: Some(core::data_source::Specifier::Filename(path.to_owned())),
        ..Default::default()
    }
}

fn tls<M: Message + Name>(context: &M) -> core::TransportSocket {
    socket("envoy.transport_sockets.tls", context)
}

fn socket<M: Message + Name>(name: &str, config: &M) -> core::TransportSocket {
    core::TransportSocket {
        name: name.to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(any::pack(config))),
    }
}
