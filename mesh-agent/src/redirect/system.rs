//! What the kernel says about this process and its network.

use std::fs;
use std::net::Ipv6Addr;

const CAP_SETUID: u32 = 7;
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;

/// How to give them.
pub(super) const ADVICE: &str =
    "run as root, or in a container with securityContext.capabilities.add: [NET_ADMIN, NET_RAW]";

/// Before iptables says it less clearly. Only iptables-legacy needs NET_RAW: it says so.
pub(super) fn check_capabilities() -> anyhow::Result<()> {
    if !has(CAP_NET_ADMIN) {
        let missing = missing_capabilities();
        let (names, verb) = (missing.join(" and "), if missing.len() > 1 { "are" } else { "is" });
        let noun = if missing.len() > 1 { "capabilities" } else { "capability" };
        anyhow::bail!(
            "the {noun} {names} {verb} missing, without which no rule can be set: {ADVICE}"
        );
    }
    Ok(())
}

/// Those that setting rules needs and this process has not.
pub(super) fn missing_capabilities() -> Vec<&'static str> {
    let wanted = [(CAP_NET_ADMIN, "NET_ADMIN"), (CAP_NET_RAW, "NET_RAW")];
    wanted.into_iter().filter(|(bit, _)| !has(*bit)).map(|(_, name)| name).collect()
}

/// Whether this process may act as another user.
pub(super) fn may_change_user() -> bool {
    has(CAP_SETUID)
}

/// Unreadable counts as present.
fn has(capability: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    !lacks(&status, capability)
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

/// Whether this network namespace has any IPv6 address; not even lo has one where IPv6 is
/// switched off.
pub(super) fn has_ipv6_address() -> bool {
    fs::read_to_string("/proc/net/if_inet6").is_ok_and(|table| !table.trim().is_empty())
}

/// Whether this network namespace has an IPv6 address that others can reach.
pub(super) fn has_global_ipv6() -> bool {
    fs::read_to_string("/proc/net/if_inet6").is_ok_and(|table| any_global(&table))
}

/// Whether the kernel still looks for another who has this address: it does not count yet.
pub(super) fn is_tentative(address: Ipv6Addr) -> bool {
    let table = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    tentative(&table, address)
}

fn tentative(table: &str, address: Ipv6Addr) -> bool {
    const IFA_F_TENTATIVE: u32 = 0x40;
    let name = format!("{:032x}", address.to_bits());
    let flags = table.lines().find(|line| line.starts_with(&name));
    let flags = flags.and_then(|line| line.split_whitespace().nth(4));
    flags.is_some_and(|text| u32::from_str_radix(text, 16).is_ok_and(|f| f & IFA_F_TENTATIVE != 0))
}

/// Columns: address, interface number, prefix length, scope, flags, name; scope 0 is global.
/// The address that we have given to lo ourselves does not count.
fn any_global(table: &str) -> bool {
    table.lines().any(|line| {
        let mut columns = line.split_whitespace();
        columns.nth(3) == Some("00") && columns.nth(1) != Some("lo")
    })
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
        let own = "00000000000000000000000000000006 01 80 00 80 lo\n";
        assert!(!any_global(own));
        assert!(any_global(&format!("{lo}{link}{own}{global}")));
    }

    #[test]
    fn an_address_that_is_still_looked_for() {
        let table = "fd000000000000000000000000000002 02 40 00 c0 eth0\n\
                     fd000000000000000000000000000003 02 40 00 80 eth0\n";
        assert!(tentative(table, "fd00::2".parse().unwrap()));
        assert!(!tentative(table, "fd00::3".parse().unwrap()));
        assert!(!tentative(table, "fd00::4".parse().unwrap()));
    }
}
