//! Which iptables, and running it.

use std::io::{ErrorKind, Write as _};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail};

use super::rules::Family;
use super::saved::Saved;
use super::system;

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

/// The variant to use, by what each has now; none is the system's default. Two that
/// contradict each other are an error, which says what to do.
fn pick(
    choice: Choice,
    nft: Option<&Saved>,
    legacy: Option<&Saved>,
) -> anyhow::Result<Option<&'static str>> {
    let is = |saved: Option<&Saved>, what: fn(&Saved) -> bool| saved.is_some_and(what);
    let (nft_ours, legacy_ours) = (is(nft, Saved::has_ours), is(legacy, Saved::has_ours));
    if (nft_ours && (legacy_ours || choice == Choice::Legacy))
        || (legacy_ours && choice == Choice::Nft)
    {
        let other = if choice == Choice::Nft { "legacy" } else { "nft" };
        bail!(
            "rules of an earlier run are in iptables-{other}, and the kernel would apply both: \
             remove them first, with mesh-agent redirect --clean"
        );
    }
    let redirect = (is(nft, Saved::others_redirect), is(legacy, Saved::others_redirect));
    let used = (is(nft, Saved::has_others), is(legacy, Saved::has_others));
    Ok(match (choice, redirect, used) {
        (Choice::Nft, ..) => Some("nft"),
        (Choice::Legacy, ..) => Some("legacy"),
        // Our own rules come first, whatever others there are.
        (Choice::Auto, ..) if nft_ours => Some("nft"),
        (Choice::Auto, ..) if legacy_ours => Some("legacy"),
        (Choice::Auto, (true, true), _) => bail!(
            "iptables-nft and iptables-legacy both have rules here in the tables nat or mangle, \
             and the kernel applies both: remove those of one, or choose with --iptables nft or \
             --iptables legacy"
        ),
        (Choice::Auto, (true, false), _) | (Choice::Auto, (false, false), (true, false)) => {
            Some("nft")
        }
        (Choice::Auto, (false, true), _) | (Choice::Auto, (false, false), (false, true)) => {
            Some("legacy")
        }
        (Choice::Auto, (false, false), _) => None,
    })
}

impl Tool {
    /// The one to use, and what it has now.
    pub(super) fn choose(family: Family, choice: Choice) -> anyhow::Result<(Self, Saved)> {
        let saved = |variant| Self::variant(family, variant).saved().ok();
        let variant = pick(choice, saved("nft").as_ref(), saved("legacy").as_ref())
            .with_context(|| format!("{family} traffic is not redirected"))?;
        let tool = match variant {
            Some(variant) => Self::variant(family, variant),
            None => Self { name: family.command().to_owned() },
        };
        let saved = tool.saved()?;
        Ok((tool, saved))
    }

    /// Every variant that there is; the error of the default when there is none.
    pub(super) fn all(family: Family) -> anyhow::Result<Vec<(Self, Saved)>> {
        let variants = ["nft", "legacy"].map(|variant| Self::variant(family, variant));
        let found = variants.into_iter().filter_map(|tool| {
            let saved = tool.saved().ok()?;
            Some((tool, saved))
        });
        let found: Vec<_> = found.collect();
        if found.is_empty() {
            let tool = Self { name: family.command().to_owned() };
            let saved = tool.saved()?;
            return Ok(vec![(tool, saved)]);
        }
        Ok(found)
    }

    fn variant(family: Family, variant: &str) -> Self {
        Self { name: format!("{}-{variant}", family.command()) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// All rules that this variant has. Naming no table, it creates none.
    fn saved(&self) -> anyhow::Result<Saved> {
        let output = self.run("save", &[], "")?;
        Ok(Saved::parse(&String::from_utf8_lossy(&output.stdout)))
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
fn advice(said: &str) -> String {
    let lower = said.to_ascii_lowercase();
    let text = if lower.contains("lock file") {
        "; it locks a file in /run, which must be writable (or set XTABLES_LOCKFILE)"
    } else if lower.contains("permission denied") || lower.contains("not permitted") {
        return match system::missing_capabilities().as_slice() {
            [] => {
                "; the container runtime forbids it, though the capabilities are there".to_owned()
            }
            missing => format!("; missing: {} ({})", missing.join(", "), system::ADVICE),
        };
    } else if said.contains("does not exist") || said.contains("No chain/target/match") {
        "; the kernel lacks a part of netfilter: load the modules iptable_nat (legacy) or \
         nft_chain_nat (nft), xt_REDIRECT, xt_owner (for TPROXY xt_TPROXY, xt_mark and \
         xt_conntrack), or try --iptables nft or legacy"
    } else if lower.contains("lock") {
        "; another program is changing the rules: try again"
    } else {
        ""
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
    const RULES: &str = "*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j ACCEPT\nCOMMIT\n";
    const FILTER: &str = "*filter\n-A INPUT -j ACCEPT\nCOMMIT\n";
    const OURS: &str = "*nat\n:MESH_OUTPUT - [0:0]\nCOMMIT\n";

    fn pick_of(
        choice: Choice,
        nft: Option<&str>,
        legacy: Option<&str>,
    ) -> Result<Option<&'static str>, String> {
        let (nft, legacy) = (nft.map(Saved::parse), legacy.map(Saved::parse));
        pick(choice, nft.as_ref(), legacy.as_ref()).map_err(|error| error.to_string())
    }

    #[test]
    fn takes_the_variant_that_is_in_use() {
        let pick = |nft, legacy| pick_of(Choice::Auto, nft, legacy);
        assert_eq!(pick(Some(EMPTY), Some(EMPTY)), Ok(None));
        assert_eq!(pick(Some(RULES), Some(EMPTY)), Ok(Some("nft")));
        assert_eq!(pick(Some(EMPTY), Some(RULES)), Ok(Some("legacy")));
        assert_eq!(pick(None, Some(RULES)), Ok(Some("legacy")));
        assert_eq!(pick(Some(FILTER), Some(RULES)), Ok(Some("legacy")));
        assert_eq!(pick(Some(FILTER), Some(EMPTY)), Ok(Some("nft")));
        assert_eq!(pick(Some(FILTER), Some(FILTER)), Ok(None));
    }

    #[test]
    fn our_own_rules_decide_first() {
        let pick = |nft, legacy| pick_of(Choice::Auto, nft, legacy);
        assert_eq!(pick(Some(RULES), Some(OURS)), Ok(Some("legacy")));
        assert_eq!(pick(Some(OURS), Some(RULES)), Ok(Some("nft")));
    }

    #[test]
    fn a_contradiction_is_an_error_unless_the_user_chose() {
        let both = pick_of(Choice::Auto, Some(RULES), Some(RULES)).unwrap_err();
        assert!(both.contains("both have rules"), "{both}");
        assert_eq!(pick_of(Choice::Legacy, Some(RULES), Some(RULES)), Ok(Some("legacy")));
        let ours = pick_of(Choice::Legacy, Some(OURS), Some(EMPTY)).unwrap_err();
        assert!(ours.contains("in iptables-nft") && ours.contains("--clean"), "{ours}");
        let ours = pick_of(Choice::Nft, Some(EMPTY), Some(OURS)).unwrap_err();
        assert!(ours.contains("in iptables-legacy"), "{ours}");
        assert!(pick_of(Choice::Auto, Some(OURS), Some(OURS)).is_err());
    }
}
