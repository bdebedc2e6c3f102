//! Bodies that tell when a byte of them is wrong or missing.

use std::sync::OnceLock;

use bytes::Bytes;

/// The longest body.
pub(crate) const MAX: usize = 64 << 10;

/// `length` bytes (at most [`MAX`]) that differ from seed to seed.
pub(crate) fn body(seed: u64, length: usize) -> Bytes {
    static ALL: OnceLock<Bytes> = OnceLock::new();
    let all = ALL.get_or_init(|| (0..2 * MAX as u64).map(byte).collect());
    // A prime, so that neighbours are far apart.
    let start = (seed.wrapping_mul(7919) % MAX as u64) as usize;
    all.slice(start..start + length.min(MAX))
}

fn byte(at: u64) -> u8 {
    (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_and_lengths_are_kept() {
        assert_eq!(body(1, 100), body(1, 100));
        assert_ne!(body(1, 100), body(2, 100));
        assert_eq!(body(u64::MAX, MAX).len(), MAX);
    }
}
