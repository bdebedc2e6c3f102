//! A proxy before an upstream, and peers that are written in Python.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};

use mesh_testkit::{Process, eventually, free_port, missing, require_command};

use crate::common::{Proxy, connect, listener, static_cluster};

/// A proxy with an HTTP listener, everything to one upstream.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    _proxy: Proxy,
}

impl Site {
    /// `protocol` is Envoy's field for what is spoken with the upstream.
    pub(crate) fn new(upstream: SocketAddr, protocol: &str) -> Self {
        let routes = "{match: {prefix: /}, route: {cluster: a, timeout: 0s}}";
        let types = "type.googleapis.com/envoy.extensions";
        let filter = format!(
            "{{name: http, typed_config: {{'@type': {types}.filters.network.http_connection_manager.v3.HttpConnectionManager, \
             stat_prefix: http, upgrade_configs: [{{upgrade_type: websocket}}], \
             http_filters: [{{name: router, typed_config: {{'@type': {types}.filters.http.router.v3.Router}}}}], \
             route_config: {{virtual_hosts: [{{name: all, domains: ['*'], routes: [{routes}]}}]}}}}}}"
        );
        let options = format!(
            "    typed_extension_protocol_options: {{envoy.extensions.upstreams.http.v3.HttpProtocolOptions: \
             {{'@type': {types}.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {{{protocol}: {{}}}}}}}}\n"
        );
        let address = ([127, 0, 0, 1], free_port()).into();
        let cluster = static_cluster("a", &[upstream]) + &options;
        let proxy = Proxy::start(&[listener("l", address, "", &filter)], &[cluster]);
        drop(connect(address));
        Self { address, _proxy: proxy }
    }
}

/// A script of this folder, to be run with the libraries that `cargo xtask tools` installs.
/// `None`, after [`missing`], where they are not.
pub(crate) fn python(script: &str) -> Option<Command> {
    let python = require_command("python3")?;
    let set = |key| std::env::var_os(key).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let libraries = cache.map(|cache| cache.join("mesh/tools/python"));
    let Some(libraries) = libraries.filter(|folder| folder.join("packages.txt").is_file()) else {
        missing("there are no Python libraries: `cargo xtask tools` gets them");
        return None;
    };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers");
    let mut command = Command::new(python);
    command.env("PYTHONPATH", libraries).arg(format!("{folder}/{script}"));
    Some(command)
}

/// Starts a server that prints its port.
pub(crate) fn serve(mut command: Command) -> (Process, SocketAddr) {
    let server = Process::start("the peer's server", command.arg("serve"));
    let port = eventually("the server's port", || server.log().lines().next()?.parse::<u16>().ok());
    (server, ([127, 0, 0, 1], port).into())
}

/// Runs a client to its end, which must be a good one.
pub(crate) fn ask(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(status.success(), "{command:?}: {status}\n{said}");
    said
}
