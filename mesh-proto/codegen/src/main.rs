//! Makes mesh-proto's checked-in files from `.proto` sources: `cargo xtask codegen`.
//!
//! The sources of Envoy's API are those that the crate `envoy-types` ships; it is found
//! in cargo's registry through `cargo metadata` and never compiled. The mesh's own
//! messages are in `mesh-proto/proto`. Needs `protoc` on the PATH.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use prost::Message;

/// The files whose messages a mesh needs; what they import comes along.
const ROOTS: &[&str] = &[
    "envoy/admin/v3/certs.proto",
    "envoy/admin/v3/config_dump.proto",
    "envoy/config/bootstrap/v3/bootstrap.proto",
    "envoy/config/cluster/v3/cluster.proto",
    "envoy/config/endpoint/v3/endpoint.proto",
    "envoy/config/listener/v3/listener.proto",
    "envoy/config/route/v3/route.proto",
    "envoy/extensions/access_loggers/file/v3/file.proto",
    "envoy/extensions/access_loggers/stream/v3/stream.proto",
    "envoy/extensions/clusters/dns/v3/dns_cluster.proto",
    "envoy/extensions/filters/http/buffer/v3/buffer.proto",
    "envoy/extensions/filters/http/cors/v3/cors.proto",
    "envoy/extensions/filters/http/fault/v3/fault.proto",
    "envoy/extensions/filters/http/header_mutation/v3/header_mutation.proto",
    "envoy/extensions/filters/http/health_check/v3/health_check.proto",
    "envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.proto",
    "envoy/extensions/filters/http/router/v3/router.proto",
    "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.proto",
    "envoy/extensions/filters/listener/original_dst/v3/original_dst.proto",
    "envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.proto",
    "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto",
    "envoy/extensions/filters/network/connection_limit/v3/connection_limit.proto",
    "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
    "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto",
    "envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case.proto",
    "envoy/extensions/load_balancing_policies/cluster_provided/v3/cluster_provided.proto",
    "envoy/extensions/load_balancing_policies/least_request/v3/least_request.proto",
    "envoy/extensions/load_balancing_policies/maglev/v3/maglev.proto",
    "envoy/extensions/load_balancing_policies/random/v3/random.proto",
    "envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash.proto",
    "envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.proto",
    "envoy/extensions/load_balancing_policies/subset/v3/subset.proto",
    "envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality.proto",
    "envoy/extensions/request_id/uuid/v3/uuid.proto",
    "envoy/extensions/retry/host/omit_canary_hosts/v3/omit_canary_hosts.proto",
    "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.proto",
    "envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.proto",
    "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.proto",
    "envoy/extensions/transport_sockets/tls/v3/tls.proto",
    "envoy/extensions/upstreams/http/v3/http_protocol_options.proto",
    "envoy/service/discovery/v3/ads.proto",
    "envoy/service/discovery/v3/discovery.proto",
    "envoy/service/secret/v3/sds.proto",
    "istio/v1/auth/ca.proto",
    "mesh/v1/rules.proto",
    "mesh/v1/status.proto",
];

/// The folders of `envoy-types/proto` in which imports are looked for.
const INCLUDES: &[&str] = &[
    "data-plane-api",
    "xds",
    "googleapis",
    "protoc-gen-validate",
    "cel-spec/proto",
    "client_model",
];

fn main() -> Result<()> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let out = match std::env::args().nth(1) {
        Some(folder) => PathBuf::from(folder),
        None => root.join("src/generated"),
    };
    std::fs::create_dir_all(&out)?;
    let target = out.join("descriptors.binpb");
    let descriptors = compile(&root, &target)?;
    write_rust(descriptors.clone(), &out)?;
    std::fs::write(target, strip(descriptors).encode_to_vec())?;
    Ok(())
}

/// Runs `protoc`, which writes to `target`, and gives all files, imports included.
fn compile(root: &Path, target: &Path) -> Result<prost_types::FileDescriptorSet> {
    let protos = envoy_protos()?;
    let mut protoc = Command::new("protoc");
    protoc.arg("--include_imports").arg("--descriptor_set_out").arg(target);
    protoc.arg("-I").arg(root.join("proto"));
    for folder in INCLUDES {
        protoc.arg("-I").arg(protos.join(folder));
    }
    let status = protoc.args(ROOTS).status().context(
        "protoc did not start: install it (Debian's packages: protobuf-compiler, libprotobuf-dev)",
    )?;
    ensure!(status.success(), "protoc failed");
    let bytes = std::fs::read(target)?;
    Ok(prost_types::FileDescriptorSet::decode(bytes.as_slice())?)
}

/// The folder of `.proto` files inside the crate `envoy-types`.
fn envoy_protos() -> Result<PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let Some(package) = packages.iter().find(|p| p["name"] == "envoy-types") else {
        bail!("cargo metadata does not know the package envoy-types");
    };
    let manifest = package["manifest_path"].as_str().context("manifest_path is not a string")?;
    Ok(Path::new(manifest).parent().context("manifest_path has no folder")?.join("proto"))
}

/// Rust for every package that is ours or Envoy's, without their comments.
fn write_rust(descriptors: prost_types::FileDescriptorSet, out: &Path) -> Result<()> {
    let mut config = prost_build::Config::new();
    config
        .out_dir(out)
        .include_file("mod.rs")
        .enable_type_names()
        .type_name_domain(["."], "type.googleapis.com")
        .disable_comments(["."])
        // In order, so that equal messages have equal bytes.
        .btree_map(["."]);
    tonic_prost_build::configure()
        .out_dir(out)
        .build_server(true)
        .build_client(true)
        .include_file("mod.rs")
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}

/// Leaves out what only documentation needs: comments and positions.
fn strip(mut descriptors: prost_types::FileDescriptorSet) -> prost_types::FileDescriptorSet {
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    descriptors
}
