//! Hash functions that are part of what others rely on: Envoy's, so that the same keys go to
//! the same endpoints.

use twox_hash::XxHash64;

/// The seed of the C++ standard library's hash, which Envoy uses with [`murmur2`].
pub(crate) const STD_SEED: u64 = 0xc70f_6907;

/// xxHash64.
pub(crate) fn xx64(data: &[u8], seed: u64) -> u64 {
    XxHash64::oneshot(seed, data)
}

/// MurmurHash2 of 64 bits (MurmurHash64A).
pub(crate) fn murmur2(data: &[u8], seed: u64) -> u64 {
    const MUL: u64 = 0xc6a4_a793_5bd1_e995;
    let mix = |value: u64| {
        let value = value.wrapping_mul(MUL);
        value ^ (value >> 47)
    };
    let (words, rest) = data.as_chunks::<8>();
    let mut hash = seed ^ (data.len() as u64).wrapping_mul(MUL);
    for word in words {
        hash ^= mix(u64::from_le_bytes(*word)).wrapping_mul(MUL);
        hash = hash.wrapping_mul(MUL);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(MUL);
    }
    mix(hash ^ (hash >> 47))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // Of Envoy's own tests of its hash functions.
        assert_eq!(xx64(b"foo", 0), 3_728_699_739_546_630_719);
        assert_eq!(xx64(b"bar", 0), 5_234_164_152_756_840_025);
        assert_eq!(xx64(b"foo\nbar", 0), 8_917_841_378_505_826_757);
        assert_eq!(murmur2(b"foo", STD_SEED), 9_631_199_822_919_835_226);
        assert_eq!(murmur2(b"bar", STD_SEED), 11_474_628_671_133_349_555);
        assert_eq!(murmur2(b"foo\nbar", STD_SEED), 16_306_510_975_912_980_159);
    }
}
