//! Whether counted requests fit a weight.

/// The probability, if each of `n` requests goes to a version with probability `p`, of a
/// count at least as unlikely as `k`: the exact two-sided binomial test.
///
/// 0 when `k` cannot happen at all. `p` is from 0 to 1.
pub(crate) fn two_sided(k: u64, n: u64, p: f64) -> f64 {
    if k > n {
        return 0.0;
    }
    if p <= 0.0 || p >= 1.0 {
        let certain = if p <= 0.0 { 0 } else { n };
        return if k == certain { 1.0 } else { 0.0 };
    }
    let ln_factorial = ln_factorials(n);
    let at = |index: u64| ln_factorial.get(index as usize).copied().unwrap_or(f64::NAN);
    let ln_probability = |k: u64| {
        let (k_f, rest) = (k as f64, (n - k) as f64);
        at(n) - at(k) - at(n - k) + k_f * p.ln() + rest * (1.0 - p).ln()
    };
    // Equal probabilities (those of k and n-k for p = 0.5) differ by rounding.
    let limit = ln_probability(k) + 1e-7;
    let sum: f64 = (0..=n).map(ln_probability).filter(|ln| *ln <= limit).map(f64::exp).sum();
    sum.min(1.0)
}

fn ln_factorials(n: u64) -> Vec<f64> {
    let mut table = vec![0.0];
    let mut sum = 0.0;
    for i in 1..=n {
        sum += (i as f64).ln();
        table.push(sum);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::two_sided;

    fn near(got: f64, expected: f64) {
        assert!((got - expected).abs() < expected * 1e-6 + 1e-12, "{got} is not {expected}");
    }

    #[test]
    fn small_cases_are_those_that_one_can_count() {
        near(two_sided(0, 4, 0.5), 2.0 / 16.0);
        near(two_sided(1, 4, 0.5), 10.0 / 16.0);
        near(two_sided(2, 4, 0.5), 1.0);
        // 3 of 3 with p = 1/4: no other count is as unlikely.
        near(two_sided(3, 3, 0.25), 1.0 / 64.0);
        near(two_sided(0, 2, 0.25), 1.0);
    }

    #[test]
    fn two_thousand_requests_tell_a_half_from_less() {
        assert!(two_sided(1000, 2000, 0.5) > 0.99);
        assert!(two_sided(1050, 2000, 0.5) > 1e-4);
        assert!(two_sided(1100, 2000, 0.5) < 1e-4);
        assert!(two_sided(900, 2000, 0.5) < 1e-4);
        assert!(two_sided(200, 2000, 0.1) > 0.9);
        assert!(two_sided(300, 2000, 0.1) < 1e-4);
    }

    #[test]
    fn certainties() {
        near(two_sided(0, 10, 0.0), 1.0);
        near(two_sided(10, 10, 1.0), 1.0);
        assert_eq!(two_sided(1, 10, 0.0), 0.0);
        assert_eq!(two_sided(11, 10, 0.5), 0.0);
    }
}
