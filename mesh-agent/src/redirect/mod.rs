//! `mesh-agent redirect`: iptables rules that send a pod's TCP through its proxy.

mod args;
mod iptables;
mod rules;
mod system;

pub use args::Args;

use anyhow::Context;

use iptables::{Choice, Tool};
use rules::{Family, Present, restore_text};

/// Puts the rules in place, or prints them. Running it again gives the same rules.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let rules = args.rules()?;
    if args.dry_run {
        for family in [Family::V4, Family::V6] {
            println!("# {family}: {}-restore --noflush", family.command());
            print!("{}", restore_text(&rules, family, Present::default()));
        }
        return Ok(());
    }
    system::check_capabilities()?;
    apply(&rules, Family::V4, args.iptables)?;
    match apply_v6(&rules, args.iptables) {
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

fn apply_v6(rules: &rules::Rules, choice: Choice) -> anyhow::Result<()> {
    if !system::has_ipv6() {
        return Ok(());
    }
    apply(rules, Family::V6, choice)
}

fn apply(rules: &rules::Rules, family: Family, choice: Choice) -> anyhow::Result<()> {
    let tool = Tool::choose(family, choice)?;
    let present = Present::find(&tool.saved()?);
    tool.restore(&restore_text(rules, family, present))
        .with_context(|| format!("{family} traffic is not redirected"))?;
    println!("{family} traffic is redirected ({})", tool.name());
    Ok(())
}
