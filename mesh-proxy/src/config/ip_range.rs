//! Ranges of addresses.

use std::net::IpAddr;

pub(crate) fn contains((network, length): (IpAddr, u8), address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            same_prefix(u32::from(network).into(), u32::from(address).into(), length, 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            same_prefix(network.into(), address.into(), length, 128)
        }
        _ => false,
    }
}

fn same_prefix(a: u128, b: u128, length: u8, bits: u8) -> bool {
    let host_bits = bits.saturating_sub(length);
    host_bits >= 128 || a >> host_bits == b >> host_bits
}
