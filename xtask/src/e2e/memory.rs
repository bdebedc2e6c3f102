//! What the sidecars of pods take.

use anyhow::{Result, ensure};

use super::Figures;
use super::ctx::{Ctx, PROXY};

/// Agent and proxy together, in MB.
const LIMIT: f64 = 20.0;

const PROGRAMS: [&str; 2] = ["mesh-agent", "mesh-proxy"];

/// The resident memory of agent and proxy in these pods. What of it are pages of the programs'
/// files is told apart: it is shared by all pods of a node, and large when they are not
/// optimized.
pub(super) fn of_sidecars(ctx: &Ctx, pods: &[String]) -> Result<Figures> {
    let (mut all, mut files) = (0.0, 0.0);
    for pod in pods {
        let processes = ["sh", "-c", "cat /proc/[0-9]*/status"];
        let status = ctx.exec(pod, PROXY, &processes)?;
        let one = megabytes(&status, "VmRSS:");
        ensure!(one > 0.0, "{pod}: no process of {PROGRAMS:?} in {PROXY}");
        (all, files) = (all + one, files + megabytes(&status, "RssFile:"));
    }
    ensure!(!pods.is_empty(), "no pods");
    let count = pods.len() as f64;
    Ok(Figures::default()
        .within("a sidecar's RSS", all / count, LIMIT, "MB")
        .and(format!("{:.1} MB of it pages of files", files / count)))
}

/// Of the two programs together, in what the kernel says of all processes.
fn megabytes(statuses: &str, field: &str) -> f64 {
    let (mut counts, mut kilobytes) = (false, 0.0);
    for line in statuses.lines() {
        if let Some(name) = line.strip_prefix("Name:") {
            counts = PROGRAMS.contains(&name.trim());
        }
        let rss = line.strip_prefix(field).filter(|_| counts);
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
        assert_eq!(megabytes(text, "VmRSS:"), 2.048);
    }
}
