//! Addresses and routes that the rules need, by `ip`.

use std::process::{Command, Output};

use anyhow::{Context, bail};

use super::mangle::MARK;
use super::rules::{Family, Mode};
use super::system;

/// Istio's.
const TABLE: u32 = 133;

/// `ip` with these arguments.
type Step = Vec<String>;

fn step(text: &str) -> Step {
    text.split(' ').map(str::to_owned).collect()
}

/// What the proxy and the agent send to the application comes from an address of its own,
/// which lo has by itself only for IPv4.
fn source(family: Family) -> Option<Step> {
    (family == Family::V6)
        .then(|| step(&format!("-6 addr replace {} dev lo", family.inbound_source())))
}

fn route(family: Family, verb: &str) -> Step {
    let (flag, all) = match family {
        Family::V4 => ("-4", "0.0.0.0/0"),
        Family::V6 => ("-6", "::/0"),
    };
    step(&format!("{flag} route {verb} local {all} dev lo table {TABLE}"))
}

fn rule(family: Family, verb: &str) -> Step {
    let flag = if family == Family::V4 { "-4" } else { "-6" };
    step(&format!("{flag} rule {verb} fwmark {MARK} lookup {TABLE}"))
}

/// As commands, to be read.
pub(super) fn describe(family: Family, mode: Mode) -> Vec<String> {
    let routes = match mode {
        Mode::Redirect => Vec::new(),
        Mode::Tproxy => vec![rule(family, "add"), route(family, "replace")],
    };
    let steps = source(family).into_iter().chain(routes);
    steps.map(|step| format!("ip {}", step.join(" "))).collect()
}

/// Puts them in place; again changes nothing. `was_tproxy`: an earlier run has left marks.
pub(super) fn apply(family: Family, mode: Mode, was_tproxy: bool) -> anyhow::Result<()> {
    // With IPv6 switched off in this namespace nothing can come from there either.
    if let Some(source) = source(family).filter(|_| system::has_ipv6_address()) {
        run(&source)?;
    }
    if was_tproxy {
        remove_routes(family)?;
    }
    if mode == Mode::Tproxy {
        run(&rule(family, "add"))?;
        run(&route(family, "replace"))?;
    }
    Ok(())
}

/// Takes them away; what is not there is no error.
pub(super) fn remove(family: Family, was_tproxy: bool) -> anyhow::Result<()> {
    if was_tproxy {
        remove_routes(family)?;
    }
    if family == Family::V6 && system::has_ipv6_address() {
        let source = step(&format!("-6 addr del {} dev lo", family.inbound_source()));
        // It fails when there is none.
        let _ = output(&source)?;
    }
    Ok(())
}

fn remove_routes(family: Family) -> anyhow::Result<()> {
    // One at a time, until there is none.
    while output(&rule(family, "del"))?.status.success() {}
    let _ = output(&route(family, "del"))?;
    Ok(())
}

fn run(step: &Step) -> anyhow::Result<()> {
    let output = output(step)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("ip {} failed ({}): {}", step.join(" "), output.status, said.trim());
    }
    Ok(())
}

fn output(step: &Step) -> anyhow::Result<Output> {
    let output = Command::new("ip").args(step).output();
    output.context("ip cannot be started: install iproute2 (Debian, Alpine: package iproute2)")
}
