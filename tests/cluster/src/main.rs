//! `cluster-sim`: many seeds, or one with its trace.

use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use cluster_sim::{Report, World, run_seed};

#[derive(Parser)]
#[command(about = "A whole cluster, simulated")]
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
    },
    /// One seed, told event by event.
    Replay {
        /// The seed.
        seed: u64,
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
        What::Run { seeds, minutes } => run(seeds, minutes),
        What::Replay { seed } => replay(seed),
    };
    if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(seeds: Range<u64>, minutes: Option<f64>) -> bool {
    let start = Instant::now();
    let limit = minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let (mut total, mut runs, mut broken) = (Report::default(), 0_u64, 0);
    for seed in seeds {
        if limit.is_some_and(|limit| start.elapsed() >= limit) || broken >= 5 {
            break;
        }
        let (report, breach) = run_seed(seed);
        total.add(&report);
        runs += 1;
        if let Some(breach) = breach {
            broken += 1;
            println!("VIOLATION seed {seed}: {breach}\n  reproduce: cluster-sim replay {seed}");
        }
    }
    println!(
        "{runs} seeds in {:.1} s\n{total}",
        start.elapsed().as_secs_f64()
    );
    println!("{broken} violations");
    broken == 0
}

fn replay(seed: u64) -> bool {
    let mut world = World::new(seed);
    world.trace = Some(Vec::new());
    let breach = world.run().err();
    for line in world.trace.iter().flatten() {
        println!("{line}");
    }
    let verdict = breach.as_deref().unwrap_or("no violation");
    println!(
        "{}\nhash {:016x}, {verdict}",
        world.report, world.report.hash
    );
    breach.is_none()
}
