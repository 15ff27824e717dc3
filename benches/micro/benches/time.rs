//! `cargo bench -p micro`: how long each operation takes, and how the envelope compares with AES-256-GCM alone.
//!
//! With `--test`, each operation runs once, so that the benchmark cannot rot.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a broken assumption ends the measurement, whose results are printed"
)]

use std::time::{Duration, Instant};

use divan::Bencher;
use micro::{Operation, Run, operations};

fn main() {
    divan::main();
    let arguments: Vec<String> = std::env::args().collect();
    // `cargo bench` adds `--bench`. Any other argument asks for a part of the results.
    if arguments
        .iter()
        .skip(1)
        .all(|argument| argument == "--bench")
    {
        print_ratios();
    }
}

#[divan::bench(args = operations())]
fn time(bencher: Bencher<'_, '_>, operation: &Operation) {
    bencher.bench_local(operation.prepare());
}

/// How many pairs of samples a ratio is the median of.
const SAMPLES: usize = 201;
/// How often an operation runs for one sample.
const RUNS_A_SAMPLE: u32 = 200;

/// The speed of the envelope as a part of the speed of AES-256-GCM. Each sample of one is followed by a sample of the
/// other, so that a busy machine slows both.
fn print_ratios() {
    println!("\nspeed of the envelope, as a part of the speed of");
    println!("{:<10}  {:>12}  {:>12}", "", "raw", "cipher");
    for work in ["seal", "open"] {
        for size in [64, 1024, 8192] {
            let ours = format!("{work}-{size}");
            let [raw, cipher] =
                ["raw", "cipher"].map(|other| ratio(&ours, &format!("{other}-{work}-{size}")));
            println!("{ours:<10}  {raw:>12.2}  {cipher:>12.2}");
        }
    }
}

fn ratio(ours: &str, other: &str) -> f64 {
    let (mut ours, mut other) = (prepared(ours), prepared(other));
    let mut ratios: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let ours = sample(&mut ours);
            sample(&mut other).div_duration_f64(ours)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    *ratios.get(SAMPLES / 2).unwrap()
}

fn prepared(name: &str) -> Run {
    let mut all = operations().into_iter();
    all.find(|it| it.name == name).unwrap().prepare()
}

fn sample(run: &mut Run) -> Duration {
    let start = Instant::now();
    for _ in 0..RUNS_A_SAMPLE {
        run();
    }
    start.elapsed()
}
