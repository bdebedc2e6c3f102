//! Shares of the traffic.

/// Envoy's `FractionalPercent`: `numerator` in `denominator`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fraction {
    pub(crate) numerator: u32,
    /// 100, 10,000 or 1,000,000.
    pub(crate) denominator: u32,
}

impl Fraction {
    /// Whether a number taken by chance falls into the share.
    pub(crate) fn takes(self, random: u64) -> bool {
        random % u64::from(self.denominator.max(1)) < self.numerator.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_its_share() {
        let fraction = |numerator| Fraction { numerator, denominator: 100 };
        let taken = |numerator| (0..1000).filter(|n| fraction(numerator).takes(*n)).count();
        assert_eq!([0, 25, 100, 200].map(taken), [0, 250, 1000, 1000]);
    }
}
