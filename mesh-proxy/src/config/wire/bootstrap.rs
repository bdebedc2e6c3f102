//! `Bootstrap`.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use mesh_proto::envoy::config::bootstrap::v3 as proto;
use mesh_proto::envoy::config::core::v3 as core;
use proto::bootstrap::{DynamicResources, StaticResources};

use super::access_log::access_logs;
use super::cluster::cluster;
use super::common::{ads_source, grpc_source, ip_and_port, not_honoured, refuse_set};
use super::listener::listener;
use super::runtime::layered_runtime;
use super::secret::{SecretSources, secret};
use crate::config::{
    AdsSource, Bootstrap, Cluster, Discovery, Error, Listener, LogTarget, Name, NetworkFilter,
    Path, RouteSource, Secret, Subscription,
};

/// Envoy's `Bootstrap`, as a whole or not at all.
pub(crate) fn bootstrap(bootstrap: proto::Bootstrap) -> Result<Bootstrap, Error> {
    let path = Path::default();
    let proto::Bootstrap {
        // For the control plane alone.
        node: _,
        node_context_params,
        static_resources,
        dynamic_resources,
        cluster_manager,
        hds_config,
        flags_path,
        stats_sinks,
        deferred_stat_options,
        stats_config,
        stats_flush_interval,
        watchdog,
        watchdogs,
        tracing,
        layered_runtime: runtime,
        admin: admin_pages,
        overload_manager,
        enable_dispatcher_stats,
        header_prefix,
        stats_server_version_override,
        use_tcp_for_dns_lookups,
        dns_resolution_config,
        typed_dns_resolver_config,
        bootstrap_extensions,
        fatal_actions,
        config_sources,
        default_config_source,
        default_socket_interface,
        certificate_provider_instances,
        inline_headers,
        perf_tracing_file_path,
        default_regex_engine,
        xds_delegate_extension,
        xds_config_tracker_extension,
        listener_manager,
        application_log_config,
        grpc_async_client_manager_config,
        memory_allocator_manager,
        enable_worker_cpu_affinity,
        stats_flush,
        stats_eviction,
    } = bootstrap;
    refuse_set!(
        &path,
        Bootstrap,
        node_context_params,
        hds_config,
        flags_path,
        stats_sinks,
        deferred_stat_options,
        stats_config,
        stats_flush_interval,
        watchdog,
        watchdogs,
        tracing,
        overload_manager,
        enable_dispatcher_stats,
        header_prefix,
        stats_server_version_override,
        use_tcp_for_dns_lookups,
        dns_resolution_config,
        typed_dns_resolver_config,
        bootstrap_extensions,
        fatal_actions,
        config_sources,
        default_config_source,
        default_socket_interface,
        certificate_provider_instances,
        inline_headers,
        perf_tracing_file_path,
        default_regex_engine,
        xds_delegate_extension,
        xds_config_tracker_extension,
        listener_manager,
        application_log_config,
        grpc_async_client_manager_config,
        memory_allocator_manager,
        enable_worker_cpu_affinity,
        stats_flush,
        stats_eviction,
    );
    if let Some(proto::ClusterManager {
        local_cluster_name,
        outlier_detection,
        upstream_bind_config,
        load_stats_config,
        enable_deferred_cluster_creation,
    }) = cluster_manager
    {
        refuse_set!(
            &path.field("cluster_manager"),
            ClusterManager,
            local_cluster_name,
            outlier_detection,
            upstream_bind_config,
            load_stats_config,
            enable_deferred_cluster_creation,
        );
    }
    let limits = layered_runtime(&path.field("layered_runtime"), runtime)?;
    let StaticResources { listeners, clusters, secrets } = static_resources.unwrap_or_default();
    let path_of_static = path.field("static_resources");
    let secrets = static_secrets(&path_of_static.field("secrets"), secrets)?;
    let clusters = static_clusters(&path_of_static.field("clusters"), clusters)?;
    let listeners = static_listeners(&path_of_static.field("listeners"), listeners, &clusters)?;
    let dynamic = path.field("dynamic_resources");
    let ads =
        dynamic_resources.map_or(Ok(None), |resources| ads(&dynamic, resources, &clusters))?;
    if ads.is_none() {
        needs_no_ads(&path_of_static, &listeners, &clusters)?;
    }
    let found = Bootstrap {
        admin: admin_pages.map_or(Ok(None), |pages| admin(&path.field("admin"), pages))?,
        listeners,
        clusters,
        secrets,
        ads,
        limits,
    };
    check_secrets(&path_of_static, &found)?;
    Ok(found)
}

fn static_secrets(
    path: &Path,
    wire: Vec<mesh_proto::envoy::extensions::transport_sockets::tls::v3::Secret>,
) -> Result<Vec<(Name, Arc<Secret>)>, Error> {
    let mut names = HashSet::new();
    let mut found = Vec::with_capacity(wire.len());
    for (index, wire) in wire.into_iter().enumerate() {
        let path = path.index(index);
        let name = Name::from(wire.name.as_str());
        let secret = secret(wire, &path)?;
        only_one(&path, "secret", &mut names, &name)?;
        found.push((name, Arc::new(secret)));
    }
    Ok(found)
}

/// Refuses secrets that could never come.
fn check_secrets(path: &Path, found: &Bootstrap) -> Result<(), Error> {
    let sources = SecretSources {
        is_static: &|name, kind| {
            let mut known = found.secrets.iter();
            known.any(|(known, secret)| **known == *name && secret.kind() == kind)
        },
        is_target: &|name| found.grpc_targets().any(|cluster| *cluster.name == *name),
        has_ads: found.ads.is_some(),
    };
    for (index, cluster) in found.clusters.iter().enumerate() {
        sources.check(&path.field("clusters").index(index), cluster.transports.secrets())?;
    }
    for (index, listener) in found.listeners.iter().enumerate() {
        sources.check(&path.field("listeners").index(index), listener.secrets())?;
    }
    Ok(())
}

fn static_clusters(
    path: &Path,
    wire: Vec<mesh_proto::envoy::config::cluster::v3::Cluster>,
) -> Result<Vec<Arc<Cluster>>, Error> {
    let mut names = HashSet::new();
    let mut found = Vec::with_capacity(wire.len());
    for (index, wire) in wire.into_iter().enumerate() {
        let path = path.index(index);
        let cluster = cluster(wire, &path)?;
        only_one(&path, "cluster", &mut names, &cluster.name)?;
        found.push(Arc::new(cluster));
    }
    Ok(found)
}

fn static_listeners(
    path: &Path,
    wire: Vec<mesh_proto::envoy::config::listener::v3::Listener>,
    clusters: &[Arc<Cluster>],
) -> Result<Vec<Arc<Listener>>, Error> {
    let known = |name: &str| clusters.iter().any(|cluster| &*cluster.name == name);
    let mut names = HashSet::new();
    let mut found: Vec<Arc<Listener>> = Vec::with_capacity(wire.len());
    for (index, wire) in wire.into_iter().enumerate() {
        let path = path.index(index);
        let listener = listener(wire, &path, &known)?;
        only_one(&path, "listener", &mut names, &listener.name)?;
        let mut shared =
            found.iter().filter_map(|other| Some((other, listener.shared_address(other)?)));
        if let Some((other, address)) = shared.next() {
            let message = format!("{address} is the address of listener {:?}, too", other.name);
            return Err(path.field("address").error(message));
        }
        found.push(Arc::new(listener));
    }
    Ok(found)
}

fn only_one(path: &Path, kind: &str, names: &mut HashSet<Name>, name: &Name) -> Result<(), Error> {
    if names.insert(name.clone()) {
        return Ok(());
    }
    Err(path
        .field("name")
        .error(format!("found {name:?} for the second time, expected one {kind} of a name")))
}

/// Refuses what only ADS could bring, when there is no ADS.
fn needs_no_ads(
    path: &Path,
    listeners: &[Arc<Listener>],
    clusters: &[Arc<Cluster>],
) -> Result<(), Error> {
    const MESSAGE: &str = "needs ADS, and dynamic_resources.ads_config is not set";
    for (index, cluster) in clusters.iter().enumerate() {
        if matches!(cluster.discovery, Discovery::Eds { .. }) {
            return Err(path
                .field("clusters")
                .index(index)
                .field("eds_cluster_config")
                .error(MESSAGE));
        }
    }
    for (index, listener) in listeners.iter().enumerate() {
        for chain in listener.chains() {
            if let NetworkFilter::Http(manager) = &chain.filter
                && let RouteSource::Rds(name) = &manager.routes
            {
                let path = path.field("listeners").index(index);
                return Err(path.error(format!("route table {name:?} {MESSAGE}")));
            }
        }
    }
    Ok(())
}

fn admin(path: &Path, admin: proto::Admin) -> Result<Option<SocketAddr>, Error> {
    let proto::Admin {
        access_log,
        access_log_path,
        profile_path,
        address,
        socket_options,
        ignore_global_conn_limit,
        allow_paths,
    } = admin;
    let access_log_path =
        if access_log_path == "/dev/null" { String::new() } else { access_log_path };
    refuse_set!(
        path,
        Admin,
        access_log_path,
        profile_path,
        socket_options,
        ignore_global_conn_limit,
        allow_paths,
    );
    // Admin requests are not logged; a log that nobody can read is as good as none.
    for (index, log) in access_logs(&path.field("access_log"), access_log)?.iter().enumerate() {
        if log.target != LogTarget::File("/dev/null".into()) {
            return Err(not_honoured(&path.field("access_log").index(index)));
        }
    }
    match address {
        None => Ok(None),
        address => ip_and_port(&path.field("address"), address).map(Some),
    }
}

fn ads(
    path: &Path,
    resources: DynamicResources,
    clusters: &[Arc<Cluster>],
) -> Result<Option<AdsSource>, Error> {
    let DynamicResources {
        lds_config,
        lds_resources_locator,
        cds_config,
        cds_resources_locator,
        ads_config,
    } = resources;
    refuse_set!(path, DynamicResources, lds_resources_locator, cds_resources_locator);
    let listeners = subscription(&path.field("lds_config"), lds_config)?;
    let clusters_subscription = subscription(&path.field("cds_config"), cds_config)?;
    let Some(config) = ads_config else {
        if listeners.is_some() || clusters_subscription.is_some() {
            return Err(path
                .field("ads_config")
                .error("missing: lds_config or cds_config needs it"));
        }
        return Ok(None);
    };
    let path = path.field("ads_config");
    let (path, name) = grpc_source(&path, config)?;
    let Some(cluster) = clusters.iter().find(|cluster| cluster.name == name) else {
        return Err(path.error(format!("found {name:?}, expected the name of a static cluster")));
    };
    if !cluster.is_grpc_target() {
        return Err(path.error(format!(
            "cluster {name:?} must be of type STATIC or STRICT_DNS and have an endpoint"
        )));
    }
    Ok(Some(AdsSource { cluster: name, listeners, clusters: clusters_subscription }))
}

fn subscription(
    path: &Path,
    source: Option<core::ConfigSource>,
) -> Result<Option<Subscription>, Error> {
    if source.is_none() {
        return Ok(None);
    }
    let initial_fetch_timeout = ads_source(path, source)?;
    Ok(Some(Subscription { initial_fetch_timeout }))
}
