//! `ring-sim`: many seeds, each seed twice, or each safety rule removed in turn.

use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use ring_sim::{RULES, Report, World, run_seed};

/// Seeds between two reports of a long run.
const PROGRESS_EVERY: u64 = 1_000;

#[derive(Parser)]
#[command(about = "Membership and order of a site's nodes, simulated")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Random runs: a number of seeds, or as many as fit into some minutes.
    Run {
        /// Seeds, as FIRST..END.
        #[arg(long, value_parser = seeds, default_value = "0..1000000000")]
        seeds: Range<u64>,
        /// Stop after this long.
        #[arg(long)]
        minutes: Option<f64>,
        /// Stop after this many deliveries.
        #[arg(long)]
        deliveries: Option<u64>,
        /// And not before this many views were installed.
        #[arg(long)]
        views: Option<u64>,
        /// Threads.
        #[arg(long, default_value_t = 1)]
        jobs: usize,
    },
    /// One seed, with its settings.
    Replay {
        /// The seed.
        seed: u64,
    },
    /// Each seed twice: the trace's hash must be the same.
    Determinism {
        /// Seeds, as FIRST..END.
        #[arg(long, value_parser = seeds, default_value = "0..20")]
        seeds: Range<u64>,
    },
    /// Each safety rule removed in turn: the first seed that finds it missing.
    Rules {
        /// Seeds to try for each.
        #[arg(long, default_value_t = 200)]
        seeds: u64,
    },
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let (first, end) = text
        .split_once("..")
        .ok_or("write FIRST..END, as in 0..100")?;
    let number = |text: &str| {
        text.parse::<u64>()
            .map_err(|error| format!("{text}: {error}"))
    };
    Ok(number(first)?..number(end)?)
}

fn main() -> ExitCode {
    let fine = match Arguments::parse().what {
        What::Run {
            seeds,
            minutes,
            deliveries,
            views,
            jobs,
        } => {
            let least = match (deliveries, views) {
                (None, None) => (u64::MAX, u64::MAX),
                (deliveries, views) => (deliveries.unwrap_or(0), views.unwrap_or(0)),
            };
            run(&seeds, minutes, least, jobs)
        }
        What::Replay { seed } => replay(seed),
        What::Determinism { seeds } => determinism(seeds),
        What::Rules { seeds } => rules(seeds),
    };
    if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(seeds: &Range<u64>, minutes: Option<f64>, least: (u64, u64), jobs: usize) -> bool {
    let (next, breaches) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let total = Mutex::new((Report::default(), 0_u64));
    let start = Instant::now();
    let limit = minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let over = limit.is_some_and(|limit| start.elapsed() >= limit);
                    let enough = {
                        let total = lock(&total);
                        total.0.deliveries >= least.0 && total.0.views >= least.1
                    };
                    if seed >= seeds.end || over || enough || lock(&breaches).len() >= 5 {
                        return;
                    }
                    let (report, breach) = run_seed(seed, None);
                    lock(&breaches).extend(breach.map(|breach| (seed, breach)));
                    let mut total = lock(&total);
                    total.0.add(&report);
                    total.1 += 1;
                    if total.1.is_multiple_of(PROGRESS_EVERY) {
                        println!("{} seeds so far\n{}", total.1, total.0);
                    }
                }
            });
        }
    });
    let (report, runs) = total.into_inner().unwrap_or_default();
    println!(
        "{runs} seeds in {:.1} s\n{report}",
        start.elapsed().as_secs_f64()
    );
    let breaches = breaches.into_inner().unwrap_or_default();
    for (seed, breach) in &breaches {
        println!("VIOLATION seed {seed}: {breach}\n  reproduce: ring-sim replay {seed}");
    }
    println!("{} violations", breaches.len());
    breaches.is_empty()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn replay(seed: u64) -> bool {
    println!("{:#?}", ring_sim::Swarm::from_seed(seed));
    let mut world = World::new(seed, None);
    let breach = world.run().err();
    let (causes, report) = (world.causes(), &world.report);
    let verdict = breach.as_deref().unwrap_or("no violation");
    println!("{causes}\n{report}\nhash {:016x}, {verdict}", report.hash);
    breach.is_none()
}

fn determinism(seeds: Range<u64>) -> bool {
    let differing: Vec<u64> = seeds
        .clone()
        .filter(|seed| run_seed(*seed, None) != run_seed(*seed, None))
        .collect();
    println!(
        "{} seeds run twice, differing: {differing:?}",
        seeds.end - seeds.start
    );
    differing.is_empty()
}

fn rules(seeds: u64) -> bool {
    let mut fine = true;
    println!("{:<34} {:>6}  caught by", "rule removed", "seed");
    for (name, weakness) in RULES {
        let found = (0..seeds).find_map(|seed| Some((seed, run_seed(seed, Some(weakness)).1?)));
        match found {
            Some((seed, breach)) => println!("{name:<34} {seed:>6}  {breach}"),
            None => {
                println!("{name:<34}   NOT CAUGHT within {seeds} seeds");
                fine = false;
            }
        }
    }
    fine
}
