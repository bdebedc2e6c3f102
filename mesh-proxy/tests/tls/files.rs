//! Certificates in files, and configuration that names them.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use mesh_tls::{Authority, Credentials, SpiffeId};

const HOUR: Duration = Duration::from_secs(3600);

/// An authority with its root in a file, and what it has signed.
pub(crate) struct Pki {
    pub(crate) authority: Authority,
    folder: tempfile::TempDir,
}

/// A key and certificate in files.
pub(crate) struct Files {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) credentials: Credentials,
}

impl Pki {
    pub(crate) fn new() -> Self {
        mesh_tls::install();
        let authority = Authority::create("cluster.local", HOUR, SystemTime::now()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.pem"), authority.root_pem()).unwrap();
        Self { authority, folder }
    }

    /// A file in the folder of this authority.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// The certificate of this service account, good for the name `localhost` too.
    pub(crate) fn files(&self, account: &str) -> Files {
        let dns = ["localhost".to_owned()];
        let id: SpiffeId = uri(account).parse().unwrap();
        let now = SystemTime::now();
        let identity = self.authority.issue_serving(&id, &dns, &[], HOUR, now).unwrap();
        let credentials = identity.credentials().clone();
        let path = |end: &str| self.folder.path().join(format!("{account}.{end}"));
        let (cert, key) = (path("crt"), path("key"));
        std::fs::write(&cert, credentials.chain_pem()).unwrap();
        std::fs::write(&key, credentials.key().to_pem()).unwrap();
        Files { cert, key, credentials }
    }

    /// A `common_tls_context` in flow YAML: this certificate, this ALPN, and peers that must
    /// be one of `accounts`; any of the mesh when there is none.
    fn common(&self, own: &Files, alpn: &[&str], accounts: &[&str]) -> String {
        let matcher =
            |account: &&str| format!("{{san_type: URI, matcher: {{exact: '{}'}}}}", uri(account));
        let matchers = accounts.iter().map(matcher).collect::<Vec<_>>().join(", ");
        format!(
            "common_tls_context: {{alpn_protocols: [{}], tls_certificates: [{{certificate_chain: \
             {{filename: '{}'}}, private_key: {{filename: '{}'}}}}], validation_context: \
             {{trusted_ca: {{filename: '{}'}}, match_typed_subject_alt_names: [{matchers}]}}}}",
            alpn.join(", "),
            own.cert.display(),
            own.key.display(),
            self.root().display(),
        )
    }

    /// A `transport_socket` of a filter chain that asks clients for certificates.
    pub(crate) fn mutual(&self, own: &Files, alpn: &[&str], accounts: &[&str]) -> String {
        let common = self.common(own, alpn, accounts);
        socket("DownstreamTlsContext", &format!("require_client_certificate: true, {common}"))
    }

    /// A `transport_socket` of a filter chain that asks for none.
    pub(crate) fn one_way(own: &Files, alpn: &[&str]) -> String {
        let certificate = format!(
            "{{certificate_chain: {{filename: '{}'}}, private_key: {{filename: '{}'}}}}",
            own.cert.display(),
            own.key.display()
        );
        socket(
            "DownstreamTlsContext",
            &format!(
                "common_tls_context: {{alpn_protocols: [{}], tls_certificates: [{certificate}]}}",
                alpn.join(", ")
            ),
        )
    }

    /// A `transport_socket` of a cluster.
    pub(crate) fn upstream(&self, own: &Files, alpn: &[&str], accounts: &[&str]) -> String {
        let common = self.common(own, alpn, accounts);
        socket("UpstreamTlsContext", &format!("sni: a.test, {common}"))
    }
}

/// The cluster of the agent's secrets.
pub(crate) fn sds_cluster(socket: &Path) -> String {
    format!(
        "  - {{name: sds-grpc, type: STATIC, http2_protocol_options: {{}}, load_assignment: \
         {{cluster_name: sds-grpc, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{pipe: \
         {{path: '{}'}}}}}}}}]}}]}}}}\n",
        socket.display()
    )
}

/// Secrets by the agent's SDS, in flow YAML.
fn by_sds(name: &str, timeout: &str) -> String {
    format!(
        "{{name: {name}, sds_config: {{resource_api_version: V3, initial_fetch_timeout: {timeout}, \
         api_config_source: {{api_type: GRPC, transport_api_version: V3, \
         set_node_on_first_message_only: true, grpc_services: [{{envoy_grpc: {{cluster_name: \
         sds-grpc}}}}]}}}}}}"
    )
}

fn sds_common(account: &str, timeout: &str) -> String {
    secret_common(account, &by_sds("default", timeout), &by_sds("ROOTCA", timeout))
}

/// A `common_tls_context` with these secrets, for peers of this account.
fn secret_common(account: &str, own: &str, roots: &str) -> String {
    format!(
        "common_tls_context: {{tls_certificate_sds_secret_configs: [{own}], \
         combined_validation_context: {{default_validation_context: \
         {{match_typed_subject_alt_names: [{{san_type: URI, matcher: {{exact: '{}'}}}}]}}, \
         validation_context_sds_secret_config: {roots}}}}}",
        uri(account)
    )
}

/// [`Pki::mutual`] with secrets by SDS.
pub(crate) fn sds_mutual(account: &str, timeout: &str) -> String {
    let common = sds_common(account, timeout);
    socket("DownstreamTlsContext", &format!("require_client_certificate: true, {common}"))
}

/// [`Pki::upstream`] with secrets by SDS.
pub(crate) fn sds_upstream(account: &str, timeout: &str) -> String {
    let common = sds_common(account, timeout);
    socket("UpstreamTlsContext", &format!("sni: pilot.mesh, {common}"))
}

/// [`Pki::mutual`] with secrets by ADS.
pub(crate) fn ads_mutual(account: &str) -> String {
    let by_ads = |name: &str| {
        format!("{{name: {name}, sds_config: {{ads: {{}}, resource_api_version: V3}}}}")
    };
    let common = secret_common(account, &by_ads("default"), &by_ads("ROOTCA"));
    socket("DownstreamTlsContext", &format!("require_client_certificate: true, {common}"))
}

pub(crate) fn uri(account: &str) -> String {
    format!("spiffe://cluster.local/ns/default/sa/{account}")
}

fn socket(kind: &str, fields: &str) -> String {
    format!(
        "transport_socket: {{name: envoy.transport_sockets.tls, typed_config: {{'@type': \
         type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}, {fields}}}}}"
    )
}

/// The proxy's command with its admin pages there.
pub(crate) fn with_admin(address: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-proxy"));
    command.arg("--config-yaml").arg(format!(
        "admin: {{address: {{socket_address: {{address: '{}', port_value: {}}}}}}}",
        address.ip(),
        address.port()
    ));
    command
}

/// A filter chain in flow YAML; `more` is further fields, such as a transport socket.
pub(crate) fn chain(matcher: &str, more: &str, filter: &str) -> String {
    let comma = if more.is_empty() { "" } else { ", " };
    format!("{{filter_chain_match: {{{matcher}}}, filters: [{filter}]{comma}{more}}}")
}

/// A listener with both inspectors; `more` is further fields, each ended by a comma.
pub(crate) fn listener(name: &str, address: SocketAddr, more: &str, chains: &[String]) -> String {
    let (ip, port, chains) = (address.ip(), address.port(), chains.join(", "));
    let inspector = |kind: &str, message: &str| {
        format!(
            "{{name: {kind}, typed_config: {{'@type': \
             type.googleapis.com/envoy.extensions.filters.listener.{kind}.v3.{message}}}}}"
        )
    };
    let inspectors =
        [inspector("tls_inspector", "TlsInspector"), inspector("http_inspector", "HttpInspector")];
    format!(
        "  - {{name: {name}, {more} address: {{socket_address: {{address: '{ip}', port_value: \
         {port}}}}}, listener_filters: [{}], filter_chains: [{chains}]}}\n",
        inspectors.join(", ")
    )
}

/// A connection manager that sends everything to `cluster`; `more` as in [`listener`].
pub(crate) fn http(cluster: &str, more: &str) -> String {
    let kind = "type.googleapis.com/envoy.extensions.filters";
    format!(
        "{{name: http, typed_config: {{'@type': \
         {kind}.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: http, {more} \
         http_filters: [{{name: router, typed_config: {{'@type': {kind}.http.router.v3.Router}}}}], \
         route_config: {{virtual_hosts: [{{name: all, domains: ['*'], routes: [{{match: {{prefix: \
         /}}, route: {{cluster: {cluster}}}}}]}}]}}}}}}"
    )
}

/// A `log_format` to this file, as an `access_log` field.
pub(crate) fn access_log(path: &Path, format: &str) -> String {
    let kind = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";
    let mut text = String::new();
    write!(
        text,
        "access_log: [{{name: file, typed_config: {{'@type': {kind}, path: '{}', log_format: \
         {{text_format_source: {{inline_string: \"{format}\\n\"}}}}}}}}]",
        path.display()
    )
    .unwrap();
    text
}

/// `http2_protocol_options` for a cluster, as a line of its block.
pub(crate) fn speaks_http2() -> &'static str {
    "    typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: \
     {'@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, \
     explicit_http_config: {http2_protocol_options: {}}}}\n"
}
