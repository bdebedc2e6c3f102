//! The supervisor beside a proxy: `redirect` sends a pod's traffic through the proxy,
//! `proxy` runs it, `restart` and `status` ask one that runs.
//!
//! The program is in a library so that its parts can be tested; it has no other user.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod control;
pub mod exit;
mod http;
pub mod identity;
mod job;
pub mod proxy;
pub mod redirect;
mod status;
pub mod wait;

/// The command line.
#[derive(Parser)]
#[command(name = "mesh-agent", version, about = "Redirects a pod's traffic, and runs its proxy")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Redirect this network namespace's traffic to the proxy (iptables; needs NET_ADMIN)
    Redirect(redirect::Args),
    /// Run a proxy: write its bootstrap, start it, watch it, drain it
    #[command(subcommand)]
    Proxy(Role),
    /// Have a running agent replace its proxy while traffic flows
    Restart(control::RestartArgs),
    /// Show how a running agent and its proxies are
    Status(control::StatusArgs),
    /// Wait until the proxy of this pod is ready
    Wait(wait::Args),
}

#[derive(Subcommand)]
enum Role {
    /// The proxy beside one workload
    Sidecar(Box<proxy::SidecarArgs>),
    /// The proxy of a gateway, at the edge of the mesh
    Router(Box<proxy::RouterArgs>),
    /// A proxy with a configuration of your own
    Static(Box<proxy::StaticArgs>),
}

/// Runs the command to its end.
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Redirect(args) => redirect::run(&args).map(|()| exit::OK),
        Command::Restart(args) => control::restart(&args),
        Command::Status(args) => control::status(&args),
        Command::Wait(args) => wait::run(&args),
        Command::Proxy(Role::Sidecar(args)) => proxy::sidecar(*args),
        Command::Proxy(Role::Router(args)) => proxy::router(*args),
        Command::Proxy(Role::Static(args)) => proxy::with_file(*args),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("mesh-agent: {error:#}");
            ExitCode::from(exit::FAILED)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use mesh_yaml::documents;
    use serde_json::Value;

    use super::*;

    /// The command lines of our programs in an object, wherever they are.
    fn command_lines(value: &Value, found: &mut Vec<Vec<String>>) {
        let texts = |value: &Value| -> Option<Vec<String>> {
            value.as_array()?.iter().map(|item| Some(item.as_str()?.to_owned())).collect()
        };
        if let Some(args) = value.get("args").and_then(texts)
            && ["redirect", "proxy"].contains(&args[0].as_str())
        {
            found.push(args);
        }
        if let Some(command) = value.get("command").and_then(texts)
            && command[0] == "mesh-agent"
        {
            found.push(command[1..].to_vec());
        }
        match value {
            Value::Object(fields) => fields.values().for_each(|value| command_lines(value, found)),
            Value::Array(items) => items.iter().for_each(|value| command_lines(value, found)),
            _ => {}
        }
    }

    #[test]
    fn what_injection_writes_is_understood() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mesh-inject/tests/golden");
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().ends_with(".out.yaml") {
                let text = std::fs::read_to_string(path).unwrap();
                documents(&text)
                    .unwrap()
                    .iter()
                    .for_each(|one| command_lines(&one.value, &mut found));
            }
        }
        for verb in ["redirect", "proxy sidecar", "proxy router", "wait"] {
            assert!(found.iter().any(|args| args.join(" ").starts_with(verb)), "{verb}");
        }
        for mut args in found {
            if args[0] == "proxy" {
                // From the downward API.
                let flags = ["--pod-name=a", "--pod-namespace=b", "--instance-ip=10.0.0.1"];
                args.extend(flags.map(str::to_owned));
            }
            let command_line = std::iter::once("mesh-agent".to_owned()).chain(args);
            if let Err(error) = Cli::try_parse_from(command_line) {
                panic!("{error}");
            }
        }
    }
}
