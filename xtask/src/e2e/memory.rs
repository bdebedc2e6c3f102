//! What the sidecars of pods take.

use anyhow::{Result, ensure};

use super::Figures;
use super::ctx::{Ctx, PROXY};

/// Agent and proxy together, in MB.
const LIMIT: f64 = 20.0;

const PROGRAMS: [&str; 2] = ["mesh-agent", "mesh-proxy"];

/// The resident memory of agent and proxy in these pods: the mean and the largest.
pub(super) fn of_sidecars(ctx: &Ctx, pods: &[String]) -> Result<Figures> {
    let (mut sum, mut largest) = (0.0, 0.0_f64);
    for pod in pods {
        let processes = ["sh", "-c", "cat /proc/[0-9]*/status"];
        let one = resident_mb(&ctx.exec(pod, PROXY, &processes)?);
        ensure!(one > 0.0, "{pod}: no process of {PROGRAMS:?} in {PROXY}");
        (sum, largest) = (sum + one, largest.max(one));
    }
    ensure!(!pods.is_empty(), "no pods");
    let mean = sum / pods.len() as f64;
    Ok(Figures::default()
        .within("sidecars' RSS on average", mean, LIMIT, "MB")
        .and(format!("the largest {largest:.1} MB")))
}

/// Of the two programs, in what the kernel says of all processes.
fn resident_mb(statuses: &str) -> f64 {
    let (mut counts, mut kilobytes) = (false, 0.0);
    for line in statuses.lines() {
        if let Some(name) = line.strip_prefix("Name:") {
            counts = PROGRAMS.contains(&name.trim());
        }
        let rss = line.strip_prefix("VmRSS:").filter(|_| counts);
        let number = rss.and_then(|rss| rss.split_whitespace().next()?.parse::<f64>().ok());
        kilobytes += number.unwrap_or(0.0);
    }
    kilobytes * 1024.0 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_programs_count() {
        let text = "Name:\tmesh-agent\nVmRSS:\t    1000 kB\nName:\tsh\nVmRSS:\t 5 kB\n\
                    Name:\tmesh-proxy\nVmRSS:\t    1000 kB\n";
        assert_eq!(resident_mb(text), 2.048);
    }
}
