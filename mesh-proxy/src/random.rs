//! Random numbers for choices, not for secrets: a small generator for each thread.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

thread_local! {
    // The standard library's hash keys are seeded by the operating system.
    static STATE: Cell<u64> = Cell::new(RandomState::new().build_hasher().finish());
}

/// A random number (SplitMix64: Steele, Lea and Flood, 2014).
pub(crate) fn next() -> u64 {
    let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A random number below `limit`; 0 when that is 0.
pub(crate) fn below(limit: u64) -> u64 {
    // The high half of the product is even enough: the bias is limit in 2^64.
    ((u128::from(next()) * u128::from(limit)) >> 64) as u64
}

/// A random number from 0 to 1.
pub(crate) fn share() -> f64 {
    below(1 << 53) as f64 / (1_u64 << 53) as f64
}

/// A random UUID (RFC 9562, version 4), as text.
pub(crate) fn uuid() -> [u8; 36] {
    let (high, low) = (next(), next());
    let high = (high & !0xf000) | 0x4000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    let mut text = [b'-'; 36];
    let mut nibbles =
        (0..16).rev().map(|n| high >> (4 * n)).chain((0..16).rev().map(|n| low >> (4 * n)));
    for (at, place) in text.iter_mut().enumerate() {
        if !matches!(at, 8 | 13 | 18 | 23)
            && let Some(nibble) = nibbles.next()
        {
            *place = b"0123456789abcdef"[(nibble & 0xf) as usize];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_below_its_limit() {
        assert_eq!(below(0), 0);
        assert_eq!(below(1), 0);
        assert!((0..1000).all(|_| below(3) < 3));
    }
}
