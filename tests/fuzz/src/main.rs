//! Runs the fuzzer on one target.
//!
//! ```text
//! fuzz TARGET [--minutes N] [--seed N] [--corpus DIRECTORY] [--keep N]
//! ```
//! `--keep N` writes the N shortest inputs that showed something new into the corpus at the end. An input
//! that goes wrong is written to `fuzz-TARGET-NUMBER.input`, and the run ends with status 1.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fuzz::{Fuzzer, TARGETS, Target};

/// An input that takes more processor time is a hang: the slowest good one takes a hundredth of it.
const SECONDS_MAX: u64 = 10;

struct Options {
    name: &'static str,
    target: Target,
    minutes: u64,
    seed: u64,
    corpus: PathBuf,
    keep: usize,
}

fn main() -> ExitCode {
    match options().and_then(|o| run(&o)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("fuzz: {message}");
            ExitCode::from(2)
        }
    }
}

fn options() -> Result<Options, String> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some((name, target)) = TARGETS.into_iter().find(|(n, _)| *n == name) else {
        return Err("which target? xml, patch or scheduler".into());
    };
    let mut options = Options {
        name,
        target,
        minutes: 20,
        seed: 1,
        corpus: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus")).join(name),
        keep: 0,
    };
    while let Some(argument) = arguments.next() {
        let value = (arguments.next()).ok_or_else(|| format!("{argument} needs a value"))?;
        let number = || value.parse().map_err(|_| format!("'{value}' is no number"));
        match argument.as_str() {
            "--minutes" => options.minutes = number()?,
            "--seed" => options.seed = number()?,
            "--keep" => options.keep = usize::try_from(number()?).unwrap_or(0),
            "--corpus" => options.corpus = value.into(),
            other => return Err(format!("unknown option {other}")),
        }
    }
    Ok(options)
}

fn read_corpus(options: &Options) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = (std::fs::read_dir(&options.corpus).into_iter())
        .flatten()
        .filter_map(|f| f.ok().map(|f| f.path()))
        .collect();
    files.sort();
    (files.iter())
        .filter_map(|f| std::fs::read(f).ok())
        .collect()
}

fn run(options: &Options) -> Result<bool, String> {
    std::panic::set_hook(Box::new(|_| {}));
    let mut fuzzer = Fuzzer::new(options.target, options.seed, read_corpus(options));
    let end = Instant::now() + Duration::from_secs(options.minutes * 60);
    watch(options.name);
    let mut number = 0;
    while Instant::now() < end {
        let input = fuzzer.input(number);
        if let Ok(mut current) = CURRENT.lock() {
            current.clone_from(&input);
        }
        STARTED.store(cpu_ticks() + 1, Ordering::Relaxed);
        let shown = std::panic::catch_unwind(|| options.target.run(&input));
        STARTED.store(0, Ordering::Relaxed);
        let Ok(shown) = shown else {
            let file = format!("fuzz-{}-{number}.input", options.name);
            std::fs::write(&file, &input).map_err(|e| format!("{file}: {e}"))?;
            println!(
                "input {number} of seed {}: a panic; see {file}",
                options.seed
            );
            return Ok(false);
        };
        fuzzer.learn(number, input, shown);
        number += 1;
        NUMBER.store(number, Ordering::Relaxed);
    }
    println!(
        "{}: {number} inputs in {} minutes, seed {}: no panic, no hang; {} kinds of outcome",
        options.name,
        options.minutes,
        options.seed,
        fuzzer.pool().len()
    );
    keep(options, &fuzzer)?;
    Ok(true)
}

/// Processor time when the input at hand was begun, plus one; 0 between inputs.
static STARTED: AtomicU64 = AtomicU64::new(0);
/// Which input is at hand.
static NUMBER: AtomicU64 = AtomicU64::new(0);
/// The input at hand.
static CURRENT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Ticks of processor time in a second, on every Linux.
const TICKS: u64 = 100;

/// Processor time of this program so far, in ticks: a busy machine is no hang.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
    // The 14th and 15th field, of which the first two stand before the bracket.
    let used = fields.skip(11).take(2);
    used.filter_map(|f| f.parse::<u64>().ok()).sum()
}

/// Ends the program when an input takes too long.
fn watch(name: &'static str) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let started = STARTED.load(Ordering::Relaxed);
            if started > 0 && cpu_ticks() + 1 > started + SECONDS_MAX * TICKS {
                let number = NUMBER.load(Ordering::Relaxed);
                let file = format!("fuzz-{name}-{number}.input");
                if let Ok(current) = CURRENT.lock() {
                    let _ = std::fs::write(&file, &*current);
                }
                println!("input {number}: no answer in {SECONDS_MAX} s; see {file}");
                std::process::exit(1);
            }
        }
    });
}

fn keep(options: &Options, fuzzer: &Fuzzer) -> Result<(), String> {
    let mut best: Vec<&Vec<u8>> = fuzzer.pool().iter().collect();
    best.sort_by_key(|input| input.len());
    for (number, input) in best.iter().take(options.keep).enumerate() {
        let file = options.corpus.join(format!("kept-{number:02}.input"));
        std::fs::write(&file, input).map_err(|e| format!("{}: {e}", file.display()))?;
    }
    Ok(())
}
