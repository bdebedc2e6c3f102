//! What the kernel says about this process and its network.

use std::fs;

const CAP_NET_ADMIN: u32 = 12;

/// Before iptables says it less clearly. Unreadable counts as present.
pub(super) fn check_capabilities() -> anyhow::Result<()> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if lacks(&status, CAP_NET_ADMIN) {
        anyhow::bail!(
            "the capability NET_ADMIN is missing, without which no rule can be set: run as root, \
             or in a container with securityContext.capabilities.add: [NET_ADMIN, NET_RAW]"
        );
    }
    Ok(())
}

fn lacks(status: &str, capability: u32) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .is_some_and(|bits| bits & (1 << capability) == 0)
}

/// Whether the kernel speaks IPv6 at all.
pub(super) fn has_ipv6() -> bool {
    fs::exists("/proc/net/if_inet6").unwrap_or(false)
}

/// Whether this network namespace has an IPv6 address that others can reach.
pub(super) fn has_global_ipv6() -> bool {
    fs::read_to_string("/proc/net/if_inet6").is_ok_and(|table| any_global(&table))
}

/// Columns: address, interface number, prefix length, scope, flags, name; scope 0 is global.
fn any_global(table: &str) -> bool {
    table.lines().any(|line| line.split_whitespace().nth(3) == Some("00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_capabilities() {
        assert!(lacks("Name:\tx\nCapEff:\t0000000000000000\n", CAP_NET_ADMIN));
        assert!(!lacks("CapEff:\t0000000000003000\n", CAP_NET_ADMIN));
        assert!(!lacks("", CAP_NET_ADMIN));
    }

    #[test]
    fn only_global_addresses_count() {
        let lo = "00000000000000000000000000000001 01 80 10 80 lo\n";
        let link = "fe80000000000000a8bbccfffe000001 02 40 20 80 eth0\n";
        let global = "fd000000000000000000000000000002 02 40 00 80 eth0\n";
        assert!(!any_global(&format!("{lo}{link}")));
        assert!(any_global(&format!("{lo}{link}{global}")));
    }
}
