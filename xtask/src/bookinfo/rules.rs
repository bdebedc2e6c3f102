//! The well-known rule files, and the effect that each must have.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::traffic::{self, Headers, Tally};
use crate::binomial::two_sided;
use crate::paths;

/// For the many small tests of one run: together they fail by chance once in some ten
/// thousand runs.
pub(crate) const RARE: f64 = 1e-6;
/// For every proxy to have a rule, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Which share of the requests each version gets; a version that is not named gets none.
pub(crate) type Shares = &'static [(&'static str, f64)];

/// A rule file, and for a request's headers the shares that it must lead to.
struct Rule {
    file: &'static str,
    effects: &'static [(Headers, Shares)],
}

const NOBODY: Headers = &[];
const JASON: Headers = &[("cookie", "user=jason")];
const SOMEBODY: Headers = &[("cookie", "user=anna")];

const RULES: [Rule; 4] = [
    Rule { file: "virtual-service-all-v1.yaml", effects: &[(NOBODY, &[("v1", 1.0)])] },
    Rule {
        file: "virtual-service-reviews-50-v3.yaml",
        effects: &[(NOBODY, &[("v1", 0.5), ("v3", 0.5)])],
    },
    Rule {
        file: "virtual-service-reviews-90-10.yaml",
        effects: &[(NOBODY, &[("v1", 0.9), ("v2", 0.1)])],
    },
    Rule {
        file: "virtual-service-reviews-test-v2.yaml",
        effects: &[(JASON, &[("v2", 1.0)]), (SOMEBODY, &[("v1", 1.0)]), (NOBODY, &[("v1", 1.0)])],
    },
];

/// Applies each rule file in turn and checks its effect on the page at this address.
///
/// # Errors
/// When one is refused or does not have it.
pub(crate) fn check(page: SocketAddr, apply: impl Fn(&Path) -> Result<()>) -> Result<()> {
    let folder = paths::root().join("samples/bookinfo/rules");
    apply(&folder.join("destination-rule-all.yaml"))?;
    for rule in &RULES {
        apply(&folder.join(rule.file))?;
        for (headers, shares) in rule.effects {
            settle(page, headers, shares).with_context(|| rule.file)?;
            let tally = traffic::sample(page, 1000, headers).with_context(|| rule.file)?;
            fits(&tally, shares, RARE).with_context(|| rule.file)?;
            eprintln!("   {} {headers:?}: {tally}", rule.file);
        }
    }
    Ok(())
}

/// Waits until only these versions answer, and each of them does.
///
/// # Errors
/// When a request fails meanwhile, and after a minute.
pub(crate) fn settle(page: SocketAddr, headers: Headers, shares: Shares) -> Result<()> {
    let start = Instant::now();
    loop {
        // With 100 requests a version with a share of 0.1 is missed once in 38,000 times.
        let tally = traffic::sample(page, 100, headers)?;
        let mut expected: Vec<&str> = shares.iter().map(|(version, _)| *version).collect();
        expected.sort_unstable();
        if tally.names() == expected {
            return Ok(());
        }
        if start.elapsed() > DEADLINE {
            bail!("{DEADLINE:?} after the rule: expected only {expected:?}, got {tally}");
        }
    }
}

/// Whether a count fits the shares, by a two-sided binomial test for each version that fails
/// by chance with this probability.
///
/// # Errors
/// When it does not; the message has the count.
pub(crate) fn fits(tally: &Tally, shares: Shares, significance: f64) -> Result<()> {
    for name in tally.names() {
        ensure!(shares.iter().any(|(version, _)| *version == name), "{name} answered: {tally}");
    }
    for (version, share) in shares {
        let probability = two_sided(tally.of(version), tally.total(), *share);
        ensure!(
            probability >= significance,
            "{tally}: with a share of {share} for {version} this has a probability of \
             {probability:.1e}"
        );
    }
    Ok(())
}
