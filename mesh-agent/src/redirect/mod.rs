//! `mesh-agent redirect`: iptables rules that send a pod's TCP through its proxy. UDP, and
//! with it most of DNS, goes where it went.

mod args;
mod iptables;
mod mangle;
mod nat;
mod probe;
mod routes;
mod rules;
mod saved;
mod system;
mod text;

pub use args::Args;

use anyhow::Context;

use iptables::{Choice, Tool};
use rules::{Family, Mode, Rules};
use saved::Saved;
use text::{removal_text, restore_text};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Puts the rules in place and tries them, or prints them, or removes them. Running it
/// again gives the same rules. After an error the rules that are there stay: traffic then
/// ends at a port without a proxy, and none passes by it.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let rules = args.rules()?;
    match (args.clean, args.dry_run) {
        (false, true) => print(&rules),
        (true, dry_run) => return clean(dry_run),
        (false, false) => {
            system::check_capabilities()?;
            apply(&rules, Family::V4, args.iptables)?;
            apply_v6(&rules, args.iptables)?;
            try_out(&rules)?;
        }
    }
    Ok(())
}

fn print(rules: &Rules) {
    for family in FAMILIES {
        for command in routes::describe(family, rules.mode) {
            println!("# {command}");
        }
        println!("# {family}: {}-restore --noflush", family.command());
        print!("{}", restore_text(rules, family, &Saved::default()));
    }
}

fn apply_v6(rules: &Rules, choice: Choice) -> anyhow::Result<()> {
    if !system::has_ipv6() {
        return Ok(());
    }
    match apply(rules, Family::V6, choice) {
        Ok(()) => Ok(()),
        // Without an address that others can reach, nothing passes by the proxy.
        Err(error) if !system::has_global_ipv6() => {
            eprintln!(
                "mesh-agent: IPv6 is not redirected, and the pod has no IPv6 address: {error:#}"
            );
            Ok(())
        }
        Err(error) => {
            Err(error.context("the pod has an IPv6 address, so its IPv6 must be redirected"))
        }
    }
}

fn apply(rules: &Rules, family: Family, choice: Choice) -> anyhow::Result<()> {
    let (tool, saved) = Tool::choose(family, choice)?;
    let failed = || format!("{family} traffic is not redirected");
    let was_tproxy = !saved.chains(mangle::TABLE.name).is_empty();
    routes::apply(family, rules.mode, was_tproxy).with_context(failed)?;
    tool.restore(&restore_text(rules, family, &saved)).with_context(failed)?;
    let how = if rules.mode == Mode::Tproxy { ", inbound by TPROXY" } else { "" };
    println!("{family} traffic is redirected ({}{how})", tool.name());
    Ok(())
}

/// A connection through the rules of each family and direction.
fn try_out(rules: &Rules) -> anyhow::Result<()> {
    for family in FAMILIES {
        if family == Family::V6 && !system::has_global_ipv6() {
            continue;
        }
        for (direction, done) in [
            ("outbound", probe::outbound(rules, family)),
            ("inbound", probe::inbound(rules, family)),
        ] {
            let done = done.with_context(|| {
                format!(
                    "{family}: the {direction} rules are set but do not work. They stay, so that \
                     nothing passes by the proxy (mesh-agent redirect --clean removes them)"
                )
            })?;
            println!("{family} {direction}: {done}");
        }
    }
    Ok(())
}

fn clean(dry_run: bool) -> anyhow::Result<()> {
    if !dry_run {
        system::check_capabilities()?;
    }
    for family in FAMILIES {
        if family == Family::V6 && !system::has_ipv6() {
            continue;
        }
        let mut was_tproxy = false;
        for (tool, saved) in Tool::all(family)? {
            was_tproxy |= !saved.chains(mangle::TABLE.name).is_empty();
            let text = removal_text(&saved);
            if text.is_empty() {
                continue;
            }
            if dry_run {
                print!("# {family}: {}-restore --noflush\n{text}", tool.name());
                continue;
            }
            tool.restore(&text).with_context(|| format!("{family} rules are not removed"))?;
            println!("{family} traffic is not redirected any more ({})", tool.name());
        }
        if !dry_run {
            routes::remove(family, was_tproxy)?;
        }
    }
    Ok(())
}
