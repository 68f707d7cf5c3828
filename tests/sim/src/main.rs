//! `sim`: runs, replays and proves the simulator. See `sim --help`.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use sim::{Bound, Plan, SCENARIOS, Sweep, catch, determinism, run, sweep};
use ticket_protocol::Rules;

/// Simulates the ticket protocol: all members, every fault, one seed per run.
#[derive(Parser)]
#[command(name = "sim", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run many seeds until a bound is met; the first bound counts.
    Run {
        /// Seeds A..B (B excluded), or A.. for all from A on.
        #[arg(long, value_parser = seeds)]
        seeds: Option<std::ops::Range<u64>>,
        /// Stop after so many events.
        #[arg(long)]
        events: Option<u64>,
        /// Stop after so many minutes.
        #[arg(long)]
        minutes: Option<f64>,
        /// Threads.
        #[arg(long, default_value_t = 1)]
        jobs: usize,
    },
    /// Run one seed again.
    Replay {
        /// The seed.
        seed: u64,
        /// Print everything that happens.
        #[arg(long)]
        trace: bool,
        /// With this safety rule removed.
        #[arg(long)]
        without: Option<String>,
    },
    /// Run each seed twice and compare the trace hashes.
    Determinism {
        /// Seeds A..B (B excluded).
        #[arg(long, value_parser = seeds, default_value = "0..100")]
        seeds: std::ops::Range<u64>,
    },
    /// Remove each safety rule in turn and show which seed and which oracle find out.
    Rules {
        /// Seeds A..B (B excluded).
        #[arg(long, value_parser = seeds, default_value = "0..200")]
        seeds: std::ops::Range<u64>,
        /// Only this rule.
        #[arg(long)]
        rule: Option<String>,
    },
    /// Play a named scenario (D1 to D8), or all.
    Scenario {
        /// Its name, or `all`.
        name: String,
        /// Print everything that happens.
        #[arg(long)]
        trace: bool,
    },
}

fn seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let parse = |number: &str| {
        number
            .parse::<u64>()
            .map_err(|error| format!("{number}: {error}"))
    };
    match text.split_once("..") {
        Some((first, "")) => Ok(parse(first)?..u64::MAX),
        Some((first, end)) => Ok(parse(first)?..parse(end)?),
        None => Err("write two numbers, as in 0..200".to_owned()),
    }
}

fn main() -> ExitCode {
    let good = match Arguments::parse().verb {
        Verb::Run {
            seeds,
            events,
            minutes,
            jobs,
        } => run_many(seeds, events, minutes, jobs),
        Verb::Replay {
            seed,
            trace,
            without,
        } => replay(seed, trace, without.as_deref()),
        Verb::Determinism { seeds } => same_twice(seeds),
        Verb::Rules { seeds, rule } => rules(&seeds, rule.as_deref()),
        Verb::Scenario { name, trace } => scenarios(&name, trace),
    };
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// So many seeds are run where no bound was given.
const SEEDS_UNBOUNDED: u64 = 1_000;
/// How often a long run says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(30);

fn run_many(
    seeds: Option<std::ops::Range<u64>>,
    events: Option<u64>,
    minutes: Option<f64>,
    jobs: usize,
) -> bool {
    let mut seeds = seeds.unwrap_or(0..u64::MAX);
    if seeds.end == u64::MAX && events.is_none() && minutes.is_none() {
        seeds.end = seeds.start.saturating_add(SEEDS_UNBOUNDED);
    }
    let time = minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let bound = Bound {
        end: Some(seeds.end),
        events,
        time,
    };
    let told = Mutex::new((Instant::now(), 0));
    let result = sweep(seeds.start, bound, jobs, |so_far| {
        let mut told = told.lock().unwrap_or_else(|poison| poison.into_inner());
        for (seed, violation) in &so_far.bad[told.1..] {
            eprintln!("VIOLATION seed {seed}: {violation}");
        }
        told.1 = so_far.bad.len();
        if told.0.elapsed() >= TELL_EVERY {
            told.0 = Instant::now();
            eprintln!(
                "{} seeds, {} events, {} takeovers, {} bad seeds, {:.0} s",
                so_far.stats.seeds,
                so_far.stats.events,
                so_far.stats.takeovers,
                so_far.bad.len(),
                so_far.took.as_secs_f64()
            );
        }
    });
    print_sweep(&result);
    result.bad.is_empty()
}

fn print_sweep(result: &Sweep) {
    print!("{}", result.stats.text(&result.faults));
    let seconds = result.took.as_secs_f64();
    let speed = result.stats.events as f64 / seconds.max(0.001);
    println!("took {seconds:.1} s, {speed:.0} events/s");
    for (seed, violation) in &result.bad {
        println!("VIOLATION seed {seed}: {violation}");
        println!("  reproduce: cargo run --profile sim -p sim -- replay {seed} --trace");
    }
    println!("violations: {}", result.bad.len());
}

fn replay(seed: u64, trace: bool, without: Option<&str>) -> bool {
    let rules = match without {
        None => Rules::default(),
        Some(name) => match Rules::without(name) {
            Some(rules) => rules,
            None => {
                eprintln!("no rule is called {name}; `sim rules` lists them");
                return false;
            }
        },
    };
    let plan = Plan::from_seed(seed);
    println!("{plan:#?}");
    let result = run(plan, rules, trace, trace);
    print!("{}", result.stats.text(&result.faults));
    println!("trace hash {:016x}", result.hash);
    for violation in &result.violations {
        println!("VIOLATION {violation}");
    }
    println!("violations: {}", result.violations.len());
    result.violations.is_empty()
}

fn same_twice(seeds: std::ops::Range<u64>) -> bool {
    let count = seeds.end.saturating_sub(seeds.start);
    let differ = determinism(seeds);
    println!(
        "{count} seeds run twice, {} with different traces",
        differ.len()
    );
    for seed in &differ {
        println!("DIFFERS seed {seed}");
    }
    differ.is_empty()
}

fn rules(seeds: &std::ops::Range<u64>, only: Option<&str>) -> bool {
    let mut good = true;
    println!("| rule removed | first seed that catches it | oracle |");
    println!("|---|---|---|");
    for rule in Rules::NAMES
        .iter()
        .filter(|&&name| only.is_none_or(|one| one == name))
    {
        match catch(rule, seeds.clone()) {
            Ok(Some(caught)) => println!("| {rule} | {} | {} |", caught.seed, caught.oracle),
            Ok(None) => {
                println!("| {rule} | **not caught** | |");
                good = false;
            }
            Err(error) => {
                println!("{rule}: {error}");
                return false;
            }
        }
        let _ = std::io::stdout().flush();
    }
    if only.is_none() {
        let bound = Bound {
            end: Some(seeds.end),
            ..Bound::default()
        };
        let whole = sweep(seeds.start, bound, 1, |_| {});
        println!(
            "| none (all rules in force) | {} bad seeds | |",
            whole.bad.len()
        );
        good &= whole.bad.is_empty();
    }
    good
}

fn scenarios(name: &str, trace: bool) -> bool {
    let all = name == "all";
    let mut good = true;
    let mut played = 0;
    for scenario in SCENARIOS
        .iter()
        .filter(|one| all || one.name.eq_ignore_ascii_case(name))
    {
        played += 1;
        let result = scenario.play(trace);
        let fine = result.violations.is_empty() && result.missed.is_empty();
        good &= fine;
        println!(
            "{} {}: {}",
            scenario.name,
            if fine { "ok" } else { "FAILED" },
            scenario.title
        );
        for violation in &result.violations {
            println!("  VIOLATION {violation}");
        }
        for missed in &result.missed {
            println!("  MISSED {missed}");
        }
    }
    if played == 0 {
        eprintln!("no scenario is called {name}; there are D1 to D8, and all");
    }
    good && played > 0
}
