//! Which iptables, and running it.

use std::io::{ErrorKind, Write as _};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail};

use super::rules::Family;

/// The kernel keeps the rules of nft and legacy apart and applies both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// Whichever has rules already, else the system's default.
    Auto,
    /// iptables-nft.
    Nft,
    /// iptables-legacy.
    Legacy,
}

/// One of iptables, iptables-nft, ip6tables-legacy and so on.
pub(super) struct Tool {
    name: String,
}

/// A rule, or a chain of somebody's own: the built-in chains have a policy, others a dash.
fn has_rules(saved: &str) -> bool {
    saved
        .lines()
        .any(|line| line.starts_with("-A ") || (line.starts_with(':') && line.contains(" - [")))
}

/// The variant to use, by what each has now. Our own rules of an earlier run come first.
fn pick(nft: Option<&str>, legacy: Option<&str>) -> Choice {
    let ours = |saved: Option<&str>| saved.is_some_and(|text| text.contains("MESH_OUTPUT"));
    let used = |saved: Option<&str>| saved.is_some_and(has_rules);
    match (ours(nft), ours(legacy), used(nft), used(legacy)) {
        (true, ..) => Choice::Nft,
        (_, true, ..) => Choice::Legacy,
        (.., true, false) => Choice::Nft,
        (.., false, true) => Choice::Legacy,
        _ => Choice::Auto,
    }
}

impl Tool {
    pub(super) fn choose(family: Family, choice: Choice) -> anyhow::Result<Self> {
        let command = family.command();
        let saved = |variant: &str| Self { name: format!("{command}-{variant}") }.saved().ok();
        let variant = match choice {
            Choice::Auto => pick(saved("nft").as_deref(), saved("legacy").as_deref()),
            fixed => fixed,
        };
        let name = match variant {
            Choice::Auto => command.to_owned(),
            Choice::Nft => format!("{command}-nft"),
            Choice::Legacy => format!("{command}-legacy"),
        };
        Ok(Self { name })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// All rules that this variant has. Naming no table, it creates none.
    pub(super) fn saved(&self) -> anyhow::Result<String> {
        let output = self.run("save", &[], "")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Applies the whole text, or nothing of it.
    pub(super) fn restore(&self, text: &str) -> anyhow::Result<()> {
        self.run("restore", &["--noflush", "--wait=10"], text).map(drop)
    }

    fn run(&self, verb: &str, args: &[&str], input: &str) -> anyhow::Result<Output> {
        let program = format!("{}-{verb}", self.name);
        let output = spawn_and_feed(&program, args, input)?;
        if output.status.success() {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} failed ({}): {}{}", output.status, said.trim(), advice(&said));
    }
}

fn spawn_and_feed(program: &str, args: &[&str], input: &str) -> anyhow::Result<Output> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow::anyhow!(
                "{program} is not in the PATH: install iptables (Debian, Alpine: package iptables)"
            ),
            _ => anyhow::anyhow!("{program} cannot be started: {error}"),
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        // It may end without reading; its message then says more than a broken pipe.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output().with_context(|| format!("{program} ended unseen"))
}

/// What to do about the usual complaints of iptables.
fn advice(said: &str) -> &'static str {
    if said.contains("Permission denied") || said.contains("not permitted") {
        "; give the container the capabilities NET_ADMIN and NET_RAW and run it as root"
    } else if said.contains("does not exist") || said.contains("No chain/target/match") {
        "; the kernel lacks a part of netfilter: load the modules iptable_nat (legacy) or \
         nft_chain_nat (nft), xt_REDIRECT, xt_owner, or try --iptables nft or legacy"
    } else if said.contains("lock") {
        "; another program is changing the rules: try again"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
    const RULES: &str = "*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j ACCEPT\nCOMMIT\n";
    const OURS: &str = "*nat\n:MESH_OUTPUT - [0:0]\nCOMMIT\n";

    #[test]
    fn takes_the_variant_that_is_in_use() {
        assert_eq!(pick(Some(EMPTY), Some(EMPTY)), Choice::Auto);
        assert_eq!(pick(Some(RULES), Some(EMPTY)), Choice::Nft);
        assert_eq!(pick(Some(EMPTY), Some(RULES)), Choice::Legacy);
        assert_eq!(pick(None, Some(RULES)), Choice::Legacy);
        assert_eq!(pick(Some(RULES), Some(RULES)), Choice::Auto);
    }

    #[test]
    fn our_own_rules_decide_first() {
        assert_eq!(pick(Some(RULES), Some(OURS)), Choice::Legacy);
        assert_eq!(pick(Some(OURS), Some(RULES)), Choice::Nft);
    }
}
