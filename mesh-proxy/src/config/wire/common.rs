//! What all messages need: refusing, durations, enumerations, addresses, `Any`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mesh_proto::any;
use mesh_proto::envoy::config::core::v3 as core;
use prost::Message;
use prost_types::Any;

use super::inert;
use crate::config::{Error, Name, Path};

/// Refuses those of the fields of a message that are set, unless they are inert.
macro_rules! refuse_set {
    ($path:expr, $message:ident, $($field:ident),+ $(,)?) => {
        $(crate::config::wire::common::refuse(
            $path,
            concat!(stringify!($message), ".", stringify!($field)),
            &$field,
        )?;)+
    };
}
pub(super) use refuse_set;

/// Refuses a field, as "Message.field", that differs from its default.
pub(super) fn refuse<T: Default + PartialEq>(
    path: &Path,
    field: &str,
    value: &T,
) -> Result<(), Error> {
    if *value == T::default() || inert::is_inert(field) {
        return Ok(());
    }
    let name = field.rsplit('.').next().unwrap_or(field);
    Err(not_honoured(&path.field(name)))
}

/// The error for what we know and do not do.
pub(super) fn not_honoured(path: &Path) -> Error {
    path.error("field is known but not honoured; remove it")
}

/// The value of a field that must be there.
pub(super) fn required<T>(path: &Path, field: &str, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| path.field(field).error("missing: it is required"))
}

/// A text that must not be empty.
pub(super) fn required_name(path: &Path, field: &str, value: &str) -> Result<Name, Error> {
    if value.is_empty() {
        return Err(path.field(field).error("missing: it is required"));
    }
    Ok(value.into())
}

/// The longest duration of protobuf (`google.protobuf.Duration`), about 10,000 years. A
/// time that far away can still be told, as that of any 64 bit number of seconds cannot.
const LONGEST: Duration = Duration::from_secs(315_576_000_000);

/// A duration of zero or more, within protobuf's range.
pub(super) fn duration(
    path: &Path,
    field: &str,
    value: Option<prost_types::Duration>,
) -> Result<Option<Duration>, Error> {
    let Some(value) = value else { return Ok(None) };
    match Duration::try_from(value) {
        Ok(duration) if duration <= LONGEST => Ok(Some(duration)),
        _ => Err(path.field(field).error(format!(
            "found {value}, expected a duration from 0s to {}s",
            LONGEST.as_secs()
        ))),
    }
}

/// A timeout: its default when absent, and zero turns it off.
pub(super) fn timeout(
    path: &Path,
    field: &str,
    value: Option<prost_types::Duration>,
    default: Option<Duration>,
) -> Result<Option<Duration>, Error> {
    match duration(path, field, value)? {
        None => Ok(default),
        Some(Duration::ZERO) => Ok(None),
        some => Ok(some),
    }
}

/// A duration of more than zero.
pub(super) fn positive(
    path: &Path,
    field: &str,
    value: Option<prost_types::Duration>,
) -> Result<Option<Duration>, Error> {
    match duration(path, field, value)? {
        Some(Duration::ZERO) => {
            Err(path.field(field).error("found 0s, expected a duration of more than zero"))
        }
        other => Ok(other),
    }
}

/// A value of an enumeration.
pub(super) fn enumeration<E: TryFrom<i32>>(
    path: &Path,
    field: &str,
    value: i32,
) -> Result<E, Error> {
    E::try_from(value)
        .map_err(|_| path.field(field).error(format!("found {value}, which is no known value")))
}

/// A port, or zero where the system may choose.
pub(super) fn port(path: &Path, value: u32) -> Result<u16, Error> {
    u16::try_from(value)
        .map_err(|_| path.error(format!("found {value}, expected a port from 0 to 65535")))
}

/// An `Address` as host and port, TCP.
pub(super) fn host_and_port(
    path: &Path,
    address: Option<core::Address>,
) -> Result<(String, u16, Path), Error> {
    let address = address.and_then(|address| address.address);
    match address {
        Some(core::address::Address::SocketAddress(socket)) => {
            let path = path.field("socket_address");
            let (host, port) = socket_host_and_port(&path, socket)?;
            Ok((host, port, path))
        }
        Some(core::address::Address::Pipe(_)) => Err(path.field("pipe").error(
            "is taken only as the one endpoint of a static cluster, for gRPC to a control plane",
        )),
        Some(core::address::Address::EnvoyInternalAddress(_)) => {
            Err(not_honoured(&path.field("envoy_internal_address")))
        }
        None => Err(path.error("missing: a socket_address is required")),
    }
}

fn socket_host_and_port(path: &Path, socket: core::SocketAddress) -> Result<(String, u16), Error> {
    let core::SocketAddress {
        protocol,
        address,
        resolver_name,
        ipv4_compat,
        network_namespace_filepath,
        port_specifier,
    } = socket;
    refuse_set!(
        path,
        SocketAddress,
        protocol,
        resolver_name,
        ipv4_compat,
        network_namespace_filepath,
    );
    required_name(path, "address", &address)?;
    match port_specifier {
        Some(core::socket_address::PortSpecifier::PortValue(value)) => {
            Ok((address, port(&path.field("port_value"), value)?))
        }
        Some(core::socket_address::PortSpecifier::NamedPort(_)) => {
            Err(not_honoured(&path.field("named_port")))
        }
        None => Err(path.field("port_value").error("missing: it is required")),
    }
}

/// An `Address` that is an IP address and a port, TCP.
pub(super) fn ip_and_port(
    path: &Path,
    address: Option<core::Address>,
) -> Result<SocketAddr, Error> {
    let (host, port, path) = host_and_port(path, address)?;
    Ok(SocketAddr::new(ip(&path.field("address"), &host)?, port))
}

/// A bare `SocketAddress` that is an IP address and a port.
pub(super) fn socket_ip_and_port(
    path: &Path,
    socket: core::SocketAddress,
) -> Result<SocketAddr, Error> {
    let (host, port) = socket_host_and_port(path, socket)?;
    Ok(SocketAddr::new(ip(&path.field("address"), &host)?, port))
}

/// An IP address.
pub(super) fn ip(path: &Path, host: &str) -> Result<IpAddr, Error> {
    host.parse().map_err(|_| path.error(format!("found {host:?}, expected an IP address")))
}

/// Decodes `any`, which is known to be an `M`.
pub(super) fn decode<M: Message + prost::Name + Default>(
    path: &Path,
    any: &Any,
) -> Result<M, Error> {
    M::decode(any.value.as_slice())
        .map_err(|error| path.error(format!("is not a valid {}: {error}", M::full_name())))
}

/// The error for an extension that we do not have.
pub(super) fn unknown_type(path: &Path, any: Option<&Any>, ours: &[String]) -> Error {
    let found = match any {
        Some(any) if !any.type_url.is_empty() => any::type_name(&any.type_url).to_owned(),
        _ => return path.error(format!("missing: expected one of {}", ours.join(", "))),
    };
    path.error(format!("found {found}, expected one of {}", ours.join(", ")))
}

/// Takes a `ConfigSource` that says ADS, and gives its initial fetch timeout: Envoy's
/// default is 15 seconds, and `None` waits for ever.
pub(super) fn ads_source(
    path: &Path,
    source: Option<core::ConfigSource>,
) -> Result<Option<Duration>, Error> {
    use core::config_source::ConfigSourceSpecifier::{Ads, Self_};
    let core::ConfigSource {
        authorities,
        initial_fetch_timeout,
        resource_api_version,
        config_source_specifier,
    } = required(path, "ads", source)?;
    refuse_set!(path, ConfigSource, authorities);
    api_version(path, "resource_api_version", resource_api_version)?;
    match config_source_specifier {
        Some(Ads(core::AggregatedConfigSource {})) => {}
        // "The same source as this resource came from", which for us is ADS.
        Some(Self_(core::SelfConfigSource { transport_api_version })) => {
            api_version(&path.field("self"), "transport_api_version", transport_api_version)?;
        }
        _ => return Err(path.error("expected ads: {}, the one source that is honoured")),
    }
    timeout(path, "initial_fetch_timeout", initial_fetch_timeout, Some(Duration::from_secs(15)))
}

/// The cluster that an `ApiConfigSource` names, with the path of the name.
pub(super) fn grpc_source(
    path: &Path,
    config: core::ApiConfigSource,
) -> Result<(Path, Name), Error> {
    use core::api_config_source::ApiType;
    use core::grpc_service::TargetSpecifier;
    let core::ApiConfigSource {
        api_type,
        transport_api_version,
        cluster_names,
        grpc_services,
        refresh_delay,
        request_timeout,
        rate_limit_settings,
        set_node_on_first_message_only,
        config_validators,
    } = config;
    refuse_set!(
        path,
        ApiConfigSource,
        cluster_names,
        refresh_delay,
        request_timeout,
        rate_limit_settings,
        set_node_on_first_message_only,
        config_validators,
    );
    let kind: ApiType = enumeration(path, "api_type", api_type)?;
    if kind != ApiType::Grpc {
        let message = format!("found {}, expected GRPC", kind.as_str_name());
        return Err(path.field("api_type").error(message));
    }
    api_version(path, "transport_api_version", transport_api_version)?;
    let path = path.field("grpc_services");
    let [service] = <[core::GrpcService; 1]>::try_from(grpc_services)
        .map_err(|services| path.error(format!("found {}, expected one", services.len())))?;
    let path = path.index(0);
    let core::GrpcService { timeout, initial_metadata, retry_policy, target_specifier } = service;
    refuse_set!(&path, GrpcService, timeout, initial_metadata, retry_policy);
    let envoy_grpc = match target_specifier {
        Some(TargetSpecifier::EnvoyGrpc(envoy_grpc)) => Some(envoy_grpc),
        Some(TargetSpecifier::GoogleGrpc(_)) => {
            return Err(not_honoured(&path.field("google_grpc")));
        }
        None => None,
    };
    let core::grpc_service::EnvoyGrpc {
        cluster_name,
        authority,
        retry_policy,
        max_receive_message_length,
        skip_envoy_headers,
    } = required(&path, "envoy_grpc", envoy_grpc)?;
    let path = path.field("envoy_grpc");
    refuse_set!(
        &path,
        EnvoyGrpc,
        authority,
        retry_policy,
        max_receive_message_length,
        skip_envoy_headers,
    );
    let name = required_name(&path, "cluster_name", &cluster_name)?;
    Ok((path.field("cluster_name"), name))
}

/// V3, or AUTO, which has no other meaning left.
pub(super) fn api_version(path: &Path, field: &str, value: i32) -> Result<(), Error> {
    match enumeration(path, field, value)? {
        core::ApiVersion::Auto | core::ApiVersion::V3 => Ok(()),
        core::ApiVersion::V2 => Err(path.field(field).error("found V2, expected V3")),
    }
}
