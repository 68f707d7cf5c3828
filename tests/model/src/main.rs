//! `model`: searches the small world of the ticket protocol. See `model --help`.

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use model::{Bounds, Crash, Found, search};
use ticket_protocol::Rules;

/// Searches every order of events in a small world: 3 acceptors, 2 proposers, loss, duplication,
/// reordering, clocks at the ends of their bound, one crash.
#[derive(Parser)]
#[command(name = "model", version)]
struct Arguments {
    /// What a crash takes.
    #[arg(long, value_enum, default_value_t = Takes::Memory)]
    crash: Takes,
    /// Grants that the first and the second site may begin.
    #[arg(long, num_args = 2, default_values_t = [1, 1])]
    grants: Vec<u8>,
    /// Renewals per site.
    #[arg(long, default_value_t = 0)]
    renewals: u8,
    /// Releases per site.
    #[arg(long, default_value_t = 0)]
    releases: u8,
    /// How far time goes: a lease is two ticks, acquire-after one.
    #[arg(long, default_value_t = 5)]
    ticks: u64,
    /// Whose clocks are fast, one bit per member; all eight ways if not given.
    #[arg(long)]
    fast: Option<u8>,
    /// Without this safety rule.
    #[arg(long)]
    without: Option<String>,
    /// Gives up after so many states.
    #[arg(long, default_value_t = 1_000_000_000)]
    states: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Takes {
    /// There is none.
    Nothing,
    /// A member starts again with its disk.
    Process,
    /// With or without its disk.
    Memory,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let rules = match &arguments.without {
        None => Rules::default(),
        Some(name) => match Rules::without(name) {
            Some(rules) => rules,
            None => {
                eprintln!(
                    "no rule is called {name}: name one of {}",
                    Rules::NAMES.join(", ")
                );
                return ExitCode::FAILURE;
            }
        },
    };
    let crash = match arguments.crash {
        Takes::Nothing => Crash::Never,
        Takes::Process => Crash::Kept,
        Takes::Memory => Crash::Lost,
    };
    let begun = Instant::now();
    let mut total = Found::default();
    for fast in 0..8 {
        if arguments.fast.is_some_and(|one| one != fast) {
            continue;
        }
        let bounds = Bounds {
            rules,
            grants: [arguments.grants[0], arguments.grants[1]],
            renewals: arguments.renewals,
            releases: arguments.releases,
            crash,
            ticks: arguments.ticks,
            fast,
        };
        let found = search(&bounds, arguments.states);
        println!(
            "fast clocks {fast:03b}: {} states, {} of them after a takeover, {} steps, depth {}, {:.0} s{}",
            found.states,
            found.taken_over,
            found.steps,
            found.depth,
            begun.elapsed().as_secs_f64(),
            if found.cut_short { ", CUT SHORT" } else { "" },
        );
        total.states += found.states;
        total.steps += found.steps;
        total.cut_short |= found.cut_short;
        if let Some((what, steps)) = found.violation {
            for step in &steps {
                println!("  {step}");
            }
            println!("VIOLATION {what}");
            return ExitCode::FAILURE;
        }
    }
    println!(
        "{} unique states, {} steps, no violation",
        total.states, total.steps
    );
    if total.cut_short {
        println!("not exhaustive: cut short at {} states", arguments.states);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
