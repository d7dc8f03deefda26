//! How surprising a small count is, exactly.
//!
//! Below a mean of about five a count is nothing like normal. Its tail is that of a Poisson count, or, where counts vary
//! more than that, of a negative binomial one with the variance that was seen.

/// Terms of the tail that are added up: the rest of it is less than what is told apart.
const MAX_TERMS: u32 = 64;

/// The surprise in bits of a count at least this high, or at most this high, when counts have this mean and variance.
pub fn bits(count: f32, mean: f32, variance: f32, is_high: bool) -> f32 {
    let mean = f64::from(mean.max(1e-3));
    let count = f64::from(count.max(0.0).floor());
    let variance = f64::from(variance).max(mean);
    // The negative binomial of `size` and `odds`; without excess variance it is as good as a Poisson one.
    let size = mean * mean / (variance - mean).max(mean * 1e-6);
    let odds = mean / (mean + size);
    let ln_term = |k: f64| {
        ln_gamma(k + size) - ln_gamma(size) - ln_gamma(k + 1.0) + size * (-odds).ln_1p() + k * odds.ln()
    };
    let ratio = |k: f64| (k + size) / (k + 1.0) * odds;
    let mut tail = 0.0;
    let mut term = 1.0;
    let first = if is_high { count } else { 0.0 };
    let mut k = first;
    for _ in 0..MAX_TERMS {
        if !is_high && k > count {
            break;
        }
        tail += term;
        term *= ratio(k);
        k += 1.0;
        if is_high && term < tail * 1e-4 {
            break;
        }
    }
    let ln_tail = ln_term(first) + f64::ln(tail);
    (-ln_tail * std::f64::consts::LOG2_E).max(0.0) as f32
}

/// The logarithm of the gamma function for positive numbers: Stirling's series, after moving up to where it holds.
fn ln_gamma(x: f64) -> f64 {
    let mut x = x;
    let mut product = 1.0;
    while x < 8.0 {
        product *= x;
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0)));
    (x - 0.5) * x.ln() - x + 0.918_938_533_204_672_8 + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_as_tables_have_them() {
        // Poisson: P(X >= 5 | 1) = 0.00366, P(X >= 10 | 2) = 4.65e-5, P(X = 0 | 5) = 0.00674, P(X <= 2 | 8) = 0.01375.
        for (count, mean, is_high, probability) in [
            (5.0, 1.0, true, 0.003_659_8_f32),
            (10.0, 2.0, true, 4.649_8e-5),
            (0.0, 5.0, false, 0.006_737_9),
            (2.0, 8.0, false, 0.013_754),
            (0.0, 3.0, true, 1.0),
        ] {
            let (found, expected) = (bits(count, mean, mean, is_high), -probability.log2());
            assert!((found - expected).abs() < 0.02, "{count} of {mean}: {found} bits, not {expected}");
        }
        // Negative binomial of mean 2 and variance 6, which is geometric-like: size 1, P(X >= k) = (2/3)^k.
        let (found, expected) = (bits(10.0, 2.0, 6.0, true), 10.0 * 1.5_f32.log2());
        assert!((found - expected).abs() < 0.02, "{found} bits, not {expected}");
    }

    #[test]
    fn surprise_rises_with_the_count_and_is_finite() {
        for variance in [0.0, 0.5, 1.0, 50.0] {
            let mut last = -1.0;
            for count in [0.0, 1.0, 2.0, 5.0, 10.0, 100.0, 1e4, 1e6] {
                let found = bits(count, 0.5, variance, true);
                assert!(found.is_finite() && found >= last, "{count}, {variance}: {found} after {last}");
                last = found;
            }
        }
    }

    #[test]
    fn the_logarithm_of_gamma_is_that_of_factorials() {
        for (x, expected) in
            [(1.0, 0.0), (5.0, 24.0_f64.ln()), (0.5, 0.572_364_942_9), (11.0, 3_628_800.0_f64.ln())]
        {
            assert!((ln_gamma(x) - expected).abs() < 1e-7, "{x}");
        }
    }
}
