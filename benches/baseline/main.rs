//! What a baseline costs for each tick, and what it finds.
//!
//! `cargo bench --bench baseline -- [--seed N] [--labelled DIR]` prints
//!
//! - nanoseconds for a tick of each kind of series, beside a plain moving average over the same numbers in the same run;
//! - the best event F1 over made-up series of several shapes, one threshold for all of them, of the detector, of the
//!   calibrated score that it was taken from, and of a plain moving average;
//! - with a directory, the same for the series in it: files `*.csv` with rows `timestamp,value,label`, where a label that
//!   is not 0 marks what is to be found. Nothing is fitted to them but the one threshold.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on should say where")]

mod lane;
mod score;
mod suite;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use score::Scored;
use suite::Random;
use watchbell::cli::baseline::Series;
use watchbell::rules::baseline::Season;
use watchbell::windows::baseline::detector::{Detector, Values};

/// A Monday.
const START: i64 = 1_767_571_200;
/// Made-up series of each shape.
const OF_EACH: u64 = 12;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option =
        |name| arguments.iter().position(|argument| argument == name).map(|at| arguments[at + 1].as_str());
    speed();
    made_up(option("--seed").map_or(1, |seed| seed.parse().unwrap()));
    if let Some(directory) = option("--labelled") {
        labelled(Path::new(directory));
    }
}

/// The best of a few rounds: the others were disturbed.
fn nanoseconds(ticks: usize, mut round: impl FnMut()) -> f64 {
    let rounds = (0..5).map(|_| {
        let started = Instant::now();
        round();
        started.elapsed().as_nanos() as f64 / ticks as f64
    });
    rounds.fold(f64::INFINITY, f64::min)
}

fn speed() {
    let mut random = Random::new(1);
    let busy: Vec<f32> = (0..400_000).map(|_| (200.0 + 15.0 * random.normal()).round() as f32).collect();
    let quiet: Vec<f32> = (0..400_000).map(|_| if random.unit() < 0.2 { 1.0 } else { 0.0 }).collect();
    let floor = nanoseconds(busy.len(), || {
        let mut ewma = lane::Ewma::default();
        let sum: f64 = busy.iter().map(|value| ewma.update(f64::from(*value))).sum();
        std::hint::black_box(sum);
    });
    println!("a plain moving average: {floor:.0} ns a tick");
    for (name, values, numbers) in [
        ("counts", Values::Counts, &busy),
        ("few", Values::Counts, &quiet),
        ("numbers", Values::Numbers, &busy),
    ] {
        let took = nanoseconds(numbers.len(), || {
            let mut detector = Detector::new(values, Season::Week);
            let ticks = numbers.iter().zip(0..);
            let bits: f32 = ticks.map(|(value, tick)| detector.update(*value, START + tick * 60).bits).sum();
            std::hint::black_box(bits);
        });
        println!("baseline, {name}: {took:.0} ns a tick, {:.1} times the moving average", took / floor);
    }
}

fn made_up(seed: u64) {
    let all = suite::suite(OF_EACH, seed);
    println!("\nmade-up series, seed {seed}: {}", all.len());
    let with = |scores: &dyn Fn(&suite::Series) -> Vec<f32>| -> Vec<Scored> {
        let scored = |series: &suite::Series| Scored {
            shape: series.shape,
            scores: scores(series),
            events: series.events.clone(),
        };
        all.iter().map(scored).collect()
    };
    print("moving average", &with(&|series| lane::Ewma::scores(&series.values)));
    print("calibrated score", &with(&|series| lane::Lane::scores(&series.values)));
    for season in [Season::None, Season::Day, Season::Week] {
        let scores = |series: &suite::Series| {
            let mut detector = Detector::new(suite::kind_of(&series.values), season);
            let ticks = series.values.iter().zip(0..);
            ticks.map(|(value, tick)| detector.update(*value, START + tick * series.tick).bits).collect()
        };
        print(&format!("baseline, season {season:?}").to_lowercase(), &with(&scores));
    }
}

fn labelled(directory: &Path) {
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    files.sort();
    println!("\n{} series in {}", files.len(), directory.display());
    let mut all: [Vec<Scored>; 3] = Default::default();
    for path in &files {
        let series = Series::read(std::io::BufReader::new(std::fs::File::open(path).unwrap())).unwrap();
        let events =
            score::events(series.third.iter().map(|label| !matches!(label.as_str(), "" | "0" | "0.0")));
        let values = series.numbers();
        let scores = [
            lane::Ewma::scores(&values),
            lane::Lane::scores(&values),
            series.scores(series.tick(), series.values(), Season::Week),
        ];
        for (all, scores) in all.iter_mut().zip(scores) {
            all.push(Scored { shape: "all", scores, events: events.clone() });
        }
    }
    for (name, scored) in ["moving average", "calibrated score", "baseline"].into_iter().zip(&all) {
        print(name, scored);
    }
}

fn print(name: &str, all: &[Scored]) {
    let best = score::best(all);
    println!(
        "{name}: F1 {:.3} (recall {:.3}, precision {:.3}) at {:.1}",
        best.f1, best.recall, best.precision, best.threshold
    );
    let mut shapes: BTreeMap<&str, (usize, usize, usize)> = BTreeMap::new();
    for series in all {
        let count = score::count(series, best.threshold);
        let (found, events, wrong) = shapes.entry(series.shape).or_default();
        *found += count.found;
        *events += series.events.len();
        *wrong += count.false_alarms;
    }
    let texts: Vec<String> = shapes
        .into_iter()
        .map(|(shape, (found, events, wrong))| format!("{shape} {found}/{events} and {wrong} false"))
        .collect();
    println!("    {}", texts.join("; "));
}
