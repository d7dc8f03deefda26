//! What a detector is compared with: a plain moving average, and the calibrated score over one, in double precision.

/// A moving average and variance.
#[derive(Default)]
pub struct Ewma {
    mean: f64,
    variance: f64,
    seen: u32,
}

impl Ewma {
    /// How many standard deviations a value is off.
    pub fn update(&mut self, value: f64) -> f64 {
        if self.seen == 0 {
            self.mean = value;
        }
        let deviations = (value - self.mean) / (self.variance.sqrt() + 0.01 * self.mean.abs() + 1e-9);
        let weight = (1.0 / (f64::from(self.seen) + 1.0)).max(0.01);
        let off = value - self.mean;
        self.mean += weight * off;
        self.variance = (1.0 - weight) * (self.variance + weight * off * off);
        self.seen += 1;
        deviations
    }

    /// The scores of a series.
    pub fn scores(values: &[f32]) -> Vec<f32> {
        let mut ewma = Self::default();
        values
            .iter()
            .enumerate()
            .map(|(n, value)| {
                let deviations = ewma.update(f64::from(*value)).abs() as f32;
                if n < 10 { 0.0 } else { deviations }
            })
            .collect()
    }
}

/// The calibrated score.
pub struct Lane {
    ewma: Ewma,
    quantile: f64,
    excess: f64,
    weight: f64,
}

impl Lane {
    pub fn new() -> Self {
        Self { ewma: Ewma::default(), quantile: 2.5, excess: 0.5, weight: 20.0 }
    }

    /// The surprise of a value, in bits.
    pub fn update(&mut self, value: f64) -> f64 {
        let seen = f64::from(self.ewma.seen);
        let z = self.ewma.update(value).abs();
        let bits_of_z = if z >= 5.0 {
            (z * z / 2.0 + (1.2533 * z).ln()) / std::f64::consts::LN_2
        } else {
            -erfc(z * std::f64::consts::FRAC_1_SQRT_2).log2()
        };
        let depth = if seen < 10.0 { 1e-9 } else { bits_of_z.max(0.0).sqrt() + 1e-9 };
        let is_beyond = depth > self.quantile;
        let mut bits = 0.0;
        if is_beyond {
            bits = (100_f64.ln() + (depth - self.quantile) / self.excess) / std::f64::consts::LN_2;
            self.weight = (self.weight + 1.0).min(200.0);
            self.excess += ((depth - self.quantile).min(4.0 * self.excess) - self.excess) / self.weight;
            self.excess = self.excess.min(0.5);
        }
        let rate = (seen + 20.0).powf(-0.8).max(0.01);
        self.quantile = (self.quantile * (rate * (f64::from(u8::from(is_beyond)) - 0.01)).exp()).min(4.0);
        bits
    }

    /// The scores of a series.
    pub fn scores(values: &[f32]) -> Vec<f32> {
        let mut lane = Self::new();
        values.iter().map(|value| lane.update(f64::from(*value)) as f32).collect()
    }
}

/// The complementary error function for `x >= 0`: its series, summed until it does not change.
fn erfc(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-17 * sum.abs() {
        n += 1.0;
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    1.0 - sum * std::f64::consts::FRAC_2_SQRT_PI
}
