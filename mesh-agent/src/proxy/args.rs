use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;

use crate::identity::IdentityArgs;
use crate::job::RestartPolicy;

/// Seconds up to a day: more is a mistake, and much more cannot be added to the clock.
fn seconds() -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(..=86_400)
}

/// How a proxy is run, whatever it is for.
#[derive(clap::Args, Debug)]
pub struct RunArgs {
    /// Folder for the proxy's bootstrap (rev0.json, rev1.json, …) and this program's own files
    #[arg(long)]
    pub config_dir: PathBuf,
    /// The proxy: a path, or a name looked for beside this program and then in the PATH.
    /// Anything with `envoy` in its name is treated as a stock Envoy
    #[arg(long, default_value = "mesh-proxy")]
    pub proxy_binary: PathBuf,
    /// The proxy's worker threads; 0 is one per core
    #[arg(long, default_value_t = 2)]
    pub concurrency: u32,
    /// Seconds over which the draining proxy asks its clients to go elsewhere
    #[arg(long, value_parser = seconds(), default_value_t = 20)]
    pub drain_time_s: u64,
    /// When the proxy is replaced, seconds until the old one's remaining connections are cut;
    /// until then there is no next replacement
    #[arg(long, value_parser = seconds(), default_value_t = 900)]
    pub parent_shutdown_time_s: u64,
    /// Seconds in which a new proxy must be ready to replace the old one; mesh-proxy gives up
    /// by itself after 60, and says what was missing
    #[arg(long, value_parser = seconds(), default_value_t = 90)]
    pub restart_timeout_s: u64,
    /// After the first signal, seconds for which connections are taken as before: that this
    /// endpoint goes away reaches its clients later than the signal reaches it
    #[arg(long, value_parser = seconds(), default_value_t = 5)]
    pub minimum_drain_s: u64,
    /// After the first signal, seconds until the remaining connections are cut, at most a
    /// day; keep it below the pod's grace period
    #[arg(long, value_parser = seconds(), default_value_t = 28)]
    pub termination_drain_s: u64,
    /// This program's log level
    #[arg(long, default_value = "info")]
    pub log_level: String,
    /// The proxy's log level
    #[arg(long, default_value = "warning")]
    pub proxy_log_level: String,
    /// Port of this program's own pages
    #[arg(long, default_value_t = 15020)]
    pub status_port: u16,
    /// Port of /healthz/ready
    #[arg(long, default_value_t = 15021)]
    pub readiness_port: u16,
}

/// A proxy with a configuration of the user's own.
#[derive(clap::Args, Debug)]
pub struct StaticArgs {
    /// How it is run.
    #[command(flatten)]
    pub run: RunArgs,
    /// The proxy's configuration, Envoy's bootstrap in YAML or JSON, with admin pages
    #[arg(short = 'c', long, value_name = "FILE")]
    pub config_path: PathBuf,
}

/// What is done for the application beside the proxy. Nothing by default.
#[derive(clap::Args, Debug, Default)]
pub struct ApplicationArgs {
    /// The application's probes that this program answers in kubelet's stead, by path, as a
    /// JSON object of Kubernetes' probes
    #[arg(long, env = "MESH_KUBE_APP_PROBERS", default_value = "")]
    pub app_probers: String,
    /// Where the application has its metrics: a JSON object with the values of the
    /// annotations prometheus.io/scrape, port and path
    #[arg(long, env = "MESH_PROMETHEUS", default_value = "")]
    pub prometheus: String,
    /// Leave when the application has ended, in a pod that shares its process namespace and
    /// has this restartPolicy
    #[arg(long, value_enum, value_name = "RESTART_POLICY")]
    pub exit_with_application: Option<RestartPolicy>,
}

/// The proxy beside a workload.
#[derive(clap::Args, Debug)]
pub struct SidecarArgs {
    /// How it is run.
    #[command(flatten)]
    pub run: RunArgs,
    /// For which workload.
    #[command(flatten)]
    pub workload: WorkloadArgs,
    /// What is done for the application.
    #[command(flatten)]
    pub application: ApplicationArgs,
    /// Where the workload's identity comes from.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// How inbound traffic gets to the proxy, as `mesh-agent redirect --mode` has set it:
    /// REDIRECT or TPROXY
    #[arg(long, env = "INTERCEPTION_MODE", default_value = "REDIRECT", value_parser = ["REDIRECT", "TPROXY"])]
    pub interception_mode: String,
}

/// The proxy of a gateway, which is the workload itself.
#[derive(clap::Args, Debug)]
pub struct RouterArgs {
    /// How it is run.
    #[command(flatten)]
    pub run: RunArgs,
    /// For which workload.
    #[command(flatten)]
    pub workload: WorkloadArgs,
    /// Where the workload's identity comes from.
    #[command(flatten)]
    pub identity: IdentityArgs,
}

/// The workload that a proxy is of, and who tells it what to do. The environment's variables are
/// those that injection sets, most of them by Kubernetes' downward API.
#[derive(clap::Args, Debug)]
pub struct WorkloadArgs {
    /// HOST:PORT of the control plane's discovery service
    #[arg(long)]
    pub discovery_address: String,
    /// The pod's name
    #[arg(long, env = "POD_NAME")]
    pub pod_name: String,
    /// The pod's namespace
    #[arg(long, env = "POD_NAMESPACE")]
    pub pod_namespace: String,
    /// The pod's address, or addresses separated by commas
    #[arg(long, env = "INSTANCE_IP")]
    pub instance_ip: String,
    /// The pod's service account
    #[arg(long, env = "SERVICE_ACCOUNT", default_value = "default")]
    pub service_account: String,
    /// The pod's labels, as a JSON object
    #[arg(long, env = "MESH_LABELS", default_value = "{}")]
    pub labels: String,
    /// The trust domain of the pod's identity
    #[arg(long, env = "TRUST_DOMAIN", default_value = "cluster.local")]
    pub trust_domain: String,
    /// The DNS domain of the cluster's services
    #[arg(long, env = "CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// The cluster that the pod is in
    #[arg(long, env = "CLUSTER_ID", default_value = "local")]
    pub cluster_id: String,
    /// The mesh that the pod is in; the trust domain when not given
    #[arg(long, env = "MESH_ID")]
    pub mesh_id: Option<String>,
    /// The proxy's admin port, on 127.0.0.1
    #[arg(long, default_value_t = 15000)]
    pub admin_port: u16,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::Cli;

    #[test]
    fn no_wait_is_longer_than_a_day() {
        const GIVEN: &str = "mesh-agent proxy router --discovery-address a:1 --config-dir b \
                             --pod-name c --pod-namespace d --instance-ip 10.0.0.1";
        for flag in ["--drain-time-s", "--minimum-drain-s", "--parent-shutdown-time-s"] {
            let parse = |seconds| Cli::try_parse_from(GIVEN.split(' ').chain([flag, seconds]));
            assert!(parse("86400").is_ok(), "{flag}");
            assert!(parse("86401").is_err(), "{flag}");
            assert!(parse("18446744073709551615").is_err(), "{flag}");
        }
    }

    #[test]
    fn nothing_is_intercepted_for_a_gateway() {
        let parse = |role| {
            let given = format!(
                "mesh-agent proxy {role} --discovery-address a:1 --config-dir b --pod-name c \
                 --pod-namespace d --instance-ip 10.0.0.1 --interception-mode TPROXY"
            );
            Cli::try_parse_from(given.split(' ')).is_ok()
        };
        assert!(parse("sidecar"));
        assert!(!parse("router"));
    }
}
