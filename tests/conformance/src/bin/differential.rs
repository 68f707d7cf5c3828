//! Random clusters, answered by us and by another `crm_simulate`.
//!
//! ```text
//! differential run [--seeds A..B] [--gate PERCENT] [--program PATH] [--list]
//! differential settle [--seeds A..B]   plays cold clusters on until nothing is left to do
//! differential make SEED          prints the case
//! differential show SEED|FILE     prints the difference
//! differential shrink SEED|FILE   prints a smaller case with the same kind of difference
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use conformance::random::Sketch;
use conformance::{
    Anchor, CLASSES, Verdict, known_class, ours_settles, random_case, shrink, unchecked,
};

struct Options {
    command: String,
    subject: String,
    seeds: std::ops::Range<u64>,
    gate: usize,
    program: PathBuf,
    list: bool,
    jobs: u64,
}

fn main() -> ExitCode {
    match options().and_then(|o| run(&o)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("differential: {message}");
            ExitCode::from(2)
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        command: String::new(),
        subject: String::new(),
        seeds: 0..300,
        gate: 0,
        program: "crm_simulate".into(),
        list: false,
        jobs: 1,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || (arguments.next()).ok_or_else(|| format!("{argument} needs a value"));
        let number = |text: &str| text.parse().map_err(|_| format!("'{text}' is no number"));
        match argument.as_str() {
            "--seeds" => {
                let text = value()?;
                let (from, to) = text.split_once("..").ok_or("--seeds A..B")?;
                options.seeds = number(from)?..number(to)?;
            }
            "--gate" => options.gate = value()?.parse().map_err(|_| "--gate PERCENT")?,
            "--jobs" => options.jobs = number(&value()?)?,
            "--program" => options.program = value()?.into(),
            "--list" => options.list = true,
            _ if options.command.is_empty() => options.command = argument,
            _ => options.subject = argument,
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<bool, String> {
    let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
    let anchor = |number| Anchor::new(options.program.clone(), directory.path().into(), number);
    match options.command.as_str() {
        "run" => many(options, &anchor),
        "settle" => settle(options, &anchor(0)),
        "make" => {
            print!("{}", subject(options, &anchor(0))?);
            Ok(true)
        }
        "show" => {
            let verdict = anchor(0).compare(&subject(options, &anchor(1))?);
            show(&verdict);
            Ok(verdict.same())
        }
        "shrink" => {
            let text = subject(options, &anchor(1))?;
            let anchor = anchor(0);
            let kind = anchor.compare(&text).signature();
            let keeps = |text: &str| anchor.compare(text).signature() == kind;
            let text = shrink(&text, &keeps);
            print!("{text}");
            Ok(true)
        }
        _ => Err("run, make, show or shrink?".into()),
    }
}

/// Whether we come to rest wherever the other program does.
fn settle(options: &Options, anchor: &Anchor) -> Result<bool, String> {
    let (mut both, mut neither, mut ahead, mut behind) = (0, 0, 0, Vec::new());
    for seed in options.seeds.clone() {
        let cib = Sketch::cold(seed).cib;
        match (anchor.settles(&cib), ours_settles(&cib)) {
            (true, true) => both += 1,
            (false, false) => neither += 1,
            (false, true) => ahead += 1,
            (true, false) => behind.push(seed),
        }
    }
    println!(
        "{both} come to rest with both, {neither} with neither, {ahead} only with us, {} only with {}: {behind:?}",
        behind.len(),
        options.program.display()
    );
    Ok(behind.is_empty())
}

fn subject(options: &Options, anchor: &Anchor) -> Result<String, String> {
    if let Ok(seed) = options.subject.parse() {
        return Ok(random_case(seed, anchor));
    }
    let path = Path::new(&options.subject);
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn show(verdict: &Verdict) {
    println!("{}", verdict.signature());
    match verdict {
        Verdict::Compared(d) => {
            for (what, list) in [("missing", &d.missing), ("extra", &d.extra)] {
                for action in list {
                    println!("  {what:8} {action}");
                }
            }
            let same = d.missing.is_empty() && d.extra.is_empty();
            for (what, list) in [("unordered", &d.unordered), ("overordered", &d.overordered)] {
                for (first, then) in list.iter().filter(|_| same) {
                    println!("  {what:11} {} -> {}", short(first), short(then));
                }
            }
        }
        Verdict::Refused(why) | Verdict::Wrong(why) => println!("  {why}"),
    }
}

fn short(action: &str) -> String {
    let fields: Vec<&str> = action.split(" | ").skip(2).take(2).collect();
    fields.join("@")
}

/// What was counted.
#[derive(Default)]
struct Tally {
    compared: usize,
    refused: usize,
    same_actions: usize,
    same: usize,
    kinds: BTreeMap<String, Vec<u64>>,
    known: BTreeMap<&'static str, usize>,
}

fn many(options: &Options, anchor: &(dyn Fn(usize) -> Anchor + Sync)) -> Result<bool, String> {
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs)
            .map(|job| {
                scope.spawn(move || some(options, job, &anchor(usize::try_from(job).unwrap_or(0))))
            })
            .collect();
        workers.into_iter().filter_map(|w| w.join().ok()).collect()
    });
    let mut all = Tally::default();
    for tally in tallies {
        all.compared += tally.compared;
        all.refused += tally.refused;
        all.same_actions += tally.same_actions;
        all.same += tally.same;
        for (kind, seeds) in tally.kinds {
            all.kinds.entry(kind).or_default().extend(seeds);
        }
        for (class, count) in tally.known {
            *all.known.entry(class).or_default() += count;
        }
    }
    report(options, &all)
}

fn some(options: &Options, job: u64, anchor: &Anchor) -> Tally {
    let mut tally = Tally::default();
    for seed in options.seeds.clone().filter(|s| s % options.jobs == job) {
        let text = random_case(seed, anchor);
        let verdict = anchor.compare(&unchecked(&text));
        if matches!(verdict, Verdict::Refused(_)) {
            tally.refused += 1;
        } else {
            tally.compared += 1;
            tally.same_actions += usize::from(verdict.same_actions());
            tally.same += usize::from(verdict.same());
        }
        if verdict.same() {
            continue;
        }
        match known_class(&text, &verdict) {
            Some(class) => *tally.known.entry(class).or_default() += 1,
            None => tally
                .kinds
                .entry(verdict.signature())
                .or_default()
                .push(seed),
        }
    }
    tally
}

fn report(options: &Options, tally: &Tally) -> Result<bool, String> {
    let mut kinds: Vec<_> = tally.kinds.iter().collect();
    kinds.sort_by_key(|(_, seeds)| std::cmp::Reverse(seeds.len()));
    for (kind, seeds) in kinds {
        let shown = if options.list { seeds.len() } else { 6 };
        let shown: Vec<String> = seeds.iter().take(shown).map(u64::to_string).collect();
        println!("{:5} {kind}: {}", seeds.len(), shown.join(" "));
    }
    for (class, count) in &tally.known {
        let why = CLASSES.iter().find(|(name, _)| name == class);
        println!(
            "{count:5} explained: {class}: {}",
            why.map_or("", |(_, w)| w)
        );
    }
    if tally.compared == 0 {
        return Err("nothing was compared".into());
    }
    let percent = |count: usize| format!("{:.2} %", 100.0 * count as f64 / tally.compared as f64);
    println!(
        "{} compared, {} refused by {}; same actions {} ({}), in the same order {} ({})",
        tally.compared,
        tally.refused,
        options.program.display(),
        tally.same_actions,
        percent(tally.same_actions),
        tally.same,
        percent(tally.same)
    );
    Ok(tally.same_actions * 100 >= options.gate * tally.compared)
}
