//! How a cluster asks DNS: its own fields, or `DnsCluster`.

use std::time::Duration;

use mesh_proto::any;
use mesh_proto::envoy::config::cluster::v3::cluster as proto;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::clusters::common::dns::v3::DnsLookupFamily;
use mesh_proto::envoy::extensions::clusters::dns::v3::{DnsCluster, dns_cluster};
use prost::Name as _;

use super::common::{
    decode, duration, enumeration, ip_and_port, positive, refuse_set, required, unknown_type,
};
use crate::config::{DnsFamily, DnsLookup, DnsResolver, Error, Path};

/// The fields of a cluster.
pub(super) struct Fields {
    pub(super) refresh: Option<prost_types::Duration>,
    pub(super) failure: Option<proto::RefreshRate>,
    pub(super) respect_ttl: bool,
    pub(super) jitter: Option<prost_types::Duration>,
    pub(super) family: i32,
    pub(super) resolvers: Vec<core::Address>,
    pub(super) by_tcp: bool,
    pub(super) resolution: Option<core::DnsResolutionConfig>,
}

/// What the cluster's own fields say.
pub(super) fn lookup(path: &Path, fields: Fields) -> Result<DnsLookup, Error> {
    use proto::DnsLookupFamily as Family;
    let default = DnsLookup::default();
    let family = match enumeration(path, "dns_lookup_family", fields.family)? {
        Family::Auto => DnsFamily::PreferV6,
        Family::V4Only => DnsFamily::V4Only,
        Family::V6Only => DnsFamily::V6Only,
        Family::V4Preferred => DnsFamily::PreferV4,
        Family::All => DnsFamily::All,
    };
    let rates = fields.failure.map(|rate| (rate.base_interval, rate.max_interval));
    let mut resolver = DnsResolver { by_tcp: fields.by_tcp, ..DnsResolver::default() };
    let addresses = path.field("dns_resolvers");
    servers(&addresses, fields.resolvers, &mut resolver)?;
    if let Some(config) = fields.resolution {
        let path = path.field("dns_resolution_config");
        let core::DnsResolutionConfig { resolvers, dns_resolver_options } = config;
        servers(&path.field("resolvers"), resolvers, &mut resolver)?;
        if let Some(core::DnsResolverOptions {
            use_tcp_for_dns_lookups,
            no_default_search_domain,
        }) = dns_resolver_options
        {
            resolver.by_tcp |= use_tcp_for_dns_lookups;
            resolver.no_search = no_default_search_domain;
        }
    }
    Ok(DnsLookup {
        family,
        refresh: positive(path, "dns_refresh_rate", fields.refresh)?.unwrap_or(default.refresh),
        failure: failure(path, rates)?,
        respect_ttl: fields.respect_ttl,
        jitter: duration(path, "dns_jitter", fields.jitter)?.unwrap_or_default(),
        resolver,
        ..default
    })
}

fn servers(
    path: &Path,
    addresses: Vec<core::Address>,
    resolver: &mut DnsResolver,
) -> Result<(), Error> {
    for (index, address) in addresses.into_iter().enumerate() {
        resolver.servers.push(ip_and_port(&path.index(index), Some(address))?);
    }
    Ok(())
}

type Rates = (Option<prost_types::Duration>, Option<prost_types::Duration>);

/// `dns_failure_refresh_rate`; Envoy's longest time is ten times the first.
fn failure(path: &Path, rates: Option<Rates>) -> Result<Option<(Duration, Duration)>, Error> {
    let Some((base, max)) = rates else { return Ok(None) };
    let path = path.field("dns_failure_refresh_rate");
    let base = required(&path, "base_interval", positive(&path, "base_interval", base)?)?;
    let max = positive(&path, "max_interval", max)?.unwrap_or(base.saturating_mul(10));
    if max < base {
        let message = format!("found {max:?}, expected base_interval or more");
        return Err(path.field("max_interval").error(message));
    }
    Ok(Some((base, max)))
}

/// `cluster_type` with a `DnsCluster`, the newer way to say STRICT_DNS and LOGICAL_DNS.
pub(super) fn dns_cluster(
    path: &Path,
    custom: proto::CustomClusterType,
) -> Result<DnsLookup, Error> {
    let proto::CustomClusterType { name: _, typed_config } = custom;
    let path = path.field("typed_config");
    let Some(any) = typed_config.as_ref().filter(|any| any::is::<DnsCluster>(any)) else {
        return Err(unknown_type(&path, typed_config.as_ref(), &[DnsCluster::full_name()]));
    };
    let DnsCluster {
        dns_refresh_rate,
        dns_failure_refresh_rate,
        respect_dns_ttl,
        dns_jitter,
        typed_dns_resolver_config,
        dns_lookup_family,
        all_addresses_in_single_endpoint,
        dns_min_refresh_rate,
    } = decode(&path, any)?;
    refuse_set!(&path, DnsCluster, typed_dns_resolver_config);
    let family = match enumeration(&path, "dns_lookup_family", dns_lookup_family)? {
        DnsLookupFamily::Unspecified | DnsLookupFamily::Auto => DnsFamily::PreferV6,
        DnsLookupFamily::V4Only => DnsFamily::V4Only,
        DnsLookupFamily::V6Only => DnsFamily::V6Only,
        DnsLookupFamily::V4Preferred => DnsFamily::PreferV4,
        DnsLookupFamily::All => DnsFamily::All,
    };
    let default = DnsLookup::default();
    let rates =
        dns_failure_refresh_rate.map(|dns_cluster::RefreshRate { base_interval, max_interval }| {
            (base_interval, max_interval)
        });
    Ok(DnsLookup {
        family,
        refresh: positive(&path, "dns_refresh_rate", dns_refresh_rate)?.unwrap_or(default.refresh),
        failure: failure(&path, rates)?,
        respect_ttl: respect_dns_ttl,
        min_refresh: positive(&path, "dns_min_refresh_rate", dns_min_refresh_rate)?
            .unwrap_or_default(),
        jitter: duration(&path, "dns_jitter", dns_jitter)?.unwrap_or_default(),
        logical: all_addresses_in_single_endpoint,
        resolver: DnsResolver::default(),
    })
}
