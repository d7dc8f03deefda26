//! Made-up series with labels: shapes that traffic has, and what goes wrong with them.
//!
//! They are no measurements of anything real: what is better here may not be better elsewhere.

use watchbell::windows::baseline::detector::Values;

/// A series with labels.
pub struct Series {
    /// Its shape.
    pub shape: &'static str,
    /// Seconds of a tick.
    pub tick: i64,
    /// Values, tick by tick.
    pub values: Vec<f32>,
    /// What is to be found: first and last tick.
    pub events: Vec<(usize, usize)>,
}

/// A small generator, the same everywhere: splitmix64.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = ((-2.0 * (1.0 - self.unit()).ln()).sqrt(), self.unit() * std::f64::consts::TAU);
        radius * angle.cos()
    }

    /// A count whose mean varies by this part.
    fn noisy(&mut self, mean: f64, part: f64) -> f64 {
        let factor = (1.0 + part * self.normal()).max(0.1);
        self.poisson(mean * factor)
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 50.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0.0);
        while product > limit {
            product *= self.unit();
            count += 1.0;
        }
        count
    }
}

/// What the numbers of a series are, by the first of them, as `watchbell baseline` has it.
pub fn kind_of(values: &[f32]) -> Values {
    let are_counts = values.iter().take(1_000).all(|value| *value >= 0.0 && value.fract() == 0.0);
    if are_counts { Values::Counts } else { Values::Numbers }
}

const DAY: f64 = 86_400.0;

/// Hours of business: low at night, high by day, with two humps.
fn daily(seconds: f64) -> f64 {
    let phase = (seconds / DAY).fract() * std::f64::consts::TAU;
    (1.0 - 0.75 * phase.cos() + 0.2 * (2.0 * phase).sin()).max(0.05)
}

fn is_weekend(seconds: f64) -> bool {
    (seconds / DAY) as i64 % 7 >= 5
}

/// Makes a series.
type Make = fn(&mut Random) -> Series;

/// All series: of each shape so many.
pub fn suite(of_each: u64, seed: u64) -> Vec<Series> {
    let shapes: [(&'static str, Make); 10] = [
        ("daily", daily_counts),
        ("sparse", sparse),
        ("level shift", level_shift),
        ("outage", outage),
        ("trend", trend),
        ("bursts", bursts),
        ("heavy tail", heavy_tail),
        ("jobs", jobs),
        ("weekly", weekly),
        ("wandering", wandering),
    ];
    let mut all = Vec::new();
    for (number, (shape, make)) in shapes.into_iter().enumerate() {
        for again in 0..of_each {
            let mut random = Random::new(seed.wrapping_mul(1_000_003) + number as u64 * 1_000 + again);
            all.push(Series { shape, ..make(&mut random) });
        }
    }
    all
}

/// Puts so many events in, after the first third, a fair way apart. `change` is given the value and how strong the event is.
fn with_events(
    random: &mut Random,
    values: &mut [f32],
    count: usize,
    lengths: (f64, f64),
    change: impl Fn(&mut Random, f64, f64) -> f64,
) -> Vec<(usize, usize)> {
    let from = values.len() / 3;
    let room = (values.len() - from) / (count + 1);
    let mut events = Vec::new();
    for number in 0..count {
        let start = from + room * number + (random.unit() * room as f64 * 0.7) as usize;
        let length = (random.between(lengths.0, lengths.1) as usize).max(1);
        let end = (start + length - 1).min(values.len() - 1);
        let strength = random.unit();
        // Every other one comes slowly.
        let onset = if number % 2 == 0 { 1.0 } else { (length as f64 * 0.5).max(1.0) };
        for (tick, value) in values[start..=end].iter_mut().enumerate() {
            let part = ((tick + 1) as f64 / onset).min(1.0);
            let usual = f64::from(*value);
            let changed = usual + (change(random, usual, strength) - usual) * part;
            *value = if usual.fract() == 0.0 { changed.round() } else { changed } as f32;
        }
        events.push((start, end));
    }
    events
}

fn blank(tick: i64, values: Vec<f32>, events: Vec<(usize, usize)>) -> Series {
    Series { shape: "", tick, values, events }
}

fn daily_counts(random: &mut Random) -> Series {
    let level = 10.0_f64.powf(random.between(1.3, 3.5));
    let mut values: Vec<f32> =
        (0..14 * 1440).map(|n| random.noisy(level * daily(f64::from(n) * 60.0), 0.08) as f32).collect();
    let events = with_events(random, &mut values, 6, (2.0, 20.0), |_, value, strength| {
        (value * (1.8 + 2.0 * strength)).round()
    });
    blank(60, values, events)
}

fn sparse(random: &mut Random) -> Series {
    let level = random.between(0.05, 3.0);
    let mut values: Vec<f32> =
        (0..14 * 1440).map(|n| random.poisson(level * daily(f64::from(n) * 60.0)) as f32).collect();
    let events = with_events(random, &mut values, 4, (1.0, 10.0), |random, value, strength| {
        value + random.poisson(12.0 + 25.0 * strength)
    });
    blank(60, values, events)
}

fn level_shift(random: &mut Random) -> Series {
    let level = random.between(50.0, 2_000.0);
    let shifts = 4;
    let length = 10_000;
    let mut events = Vec::new();
    let mut factor = 1.0;
    let mut values = Vec::new();
    for n in 0..length {
        if n > 0 && n % (length / (shifts + 1)) == 0 {
            factor = if factor == 1.0 {
                if random.unit() < 0.5 { random.between(1.6, 2.5) } else { random.between(0.3, 0.6) }
            } else {
                1.0
            };
            events.push((n, n + 5));
        }
        values.push(random.noisy(level * factor, 0.05) as f32);
    }
    blank(60, values, events)
}

fn outage(random: &mut Random) -> Series {
    let level = 10.0_f64.powf(random.between(1.5, 3.0));
    let mut values: Vec<f32> = (0..10 * 1440)
        .map(|n| random.noisy(level * (0.4 + daily(f64::from(n) * 60.0)), 0.1) as f32)
        .collect();
    let events = with_events(random, &mut values, 4, (5.0, 60.0), |random, value, strength| {
        (value * (0.25 * strength) * random.unit()).round()
    });
    blank(60, values, events)
}

fn trend(random: &mut Random) -> Series {
    let (level, slope) = (random.between(100.0, 300.0), random.between(0.01, 0.08));
    let noise = random.between(2.0, 8.0);
    let mut values: Vec<f32> =
        (0..10_000).map(|n| (level + slope * f64::from(n) + noise * random.normal()) as f32).collect();
    let events = with_events(random, &mut values, 5, (2.0, 15.0), move |_, value, strength| {
        value + noise * (8.0 + 10.0 * strength)
    });
    blank(300, values, events)
}

/// Noise that comes in bursts of its own, as delays do.
fn bursts(random: &mut Random) -> Series {
    let mut volatility = 0.0;
    let mut values: Vec<f32> = (0..14_400)
        .map(|_| {
            volatility = 0.98 * volatility + 0.1 * random.normal();
            (100.0 * (0.15 * random.normal() * f64::exp(volatility)).exp()) as f32
        })
        .collect();
    let events =
        with_events(random, &mut values, 5, (3.0, 20.0), |_, value, strength| value * (3.0 + 3.0 * strength));
    blank(60, values, events)
}

/// Single ticks that are far out, which are nobody's concern; what lasts is.
fn heavy_tail(random: &mut Random) -> Series {
    let mut values: Vec<f32> = (0..14_400)
        .map(|_| {
            let tail = if random.unit() < 0.01 { random.between(2.0, 6.0) } else { 0.0 };
            (50.0 + 5.0 * random.normal() + 5.0 * tail) as f32
        })
        .collect();
    let events =
        with_events(random, &mut values, 5, (3.0, 20.0), |_, value, strength| value + 60.0 + 60.0 * strength);
    blank(60, values, events)
}

/// A job at the same time each day sends much, as it should.
fn jobs(random: &mut Random) -> Series {
    let level = random.between(50.0, 500.0);
    let hour = (random.unit() * 24.0) as i64;
    let mut values: Vec<f32> = (0..21 * 288)
        .map(|n| {
            let seconds = i64::from(n) * 300;
            let factor = if seconds / 3600 % 24 == hour { 4.0 } else { 1.0 };
            random.noisy(level * factor, 0.1) as f32
        })
        .collect();
    let events = with_events(random, &mut values, 4, (1.0, 6.0), |_, value, strength| {
        (value * (2.5 + 2.0 * strength)).round()
    });
    blank(300, values, events)
}

fn weekly(random: &mut Random) -> Series {
    let level = random.between(500.0, 5_000.0);
    let mut values: Vec<f32> = (0..12 * 168)
        .map(|n| {
            let seconds = f64::from(n) * 3_600.0;
            let week = if is_weekend(seconds) { 0.4 } else { 1.0 };
            random.noisy(level * week * daily(seconds), 0.06) as f32
        })
        .collect();
    let events = with_events(random, &mut values, 4, (1.0, 4.0), |_, value, strength| {
        (value * (1.7 + strength)).round()
    });
    blank(3_600, values, events)
}

/// A level that goes its own way.
fn wandering(random: &mut Random) -> Series {
    let mut level: f64 = 5.0;
    let mut values: Vec<f32> = (0..14_400)
        .map(|_| {
            level += 0.01 * random.normal() - 0.0005 * (level - 5.0);
            (level.exp() * (1.0 + 0.04 * random.normal())) as f32
        })
        .collect();
    let events = with_events(random, &mut values, 5, (2.0, 15.0), |_, value, strength| {
        if strength < 0.3 { value * 0.4 } else { value * (1.4 + strength) }
    });
    blank(60, values, events)
}
