//! Another `crm_simulate` beside ours.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cib::{Cib, Document};
use scheduler::{ActionKind, Inputs};

use crate::graph::{Difference, Graph};
use crate::random::NOW;

/// A program that answers like Pacemaker's `crm_simulate`.
#[derive(Debug)]
pub struct Anchor {
    program: PathBuf,
    directory: PathBuf,
    /// Which of several users of the directory this is.
    number: usize,
}

/// What came of a comparison.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The other program does not take this input; there is nothing to compare.
    Refused(String),
    /// Both answered.
    Compared(Difference),
    /// We did not answer properly.
    Wrong(String),
}

impl Verdict {
    /// Whether the same is done, in whatever order.
    pub fn same_actions(&self) -> bool {
        matches!(self, Self::Compared(d) if d.missing.is_empty() && d.extra.is_empty())
    }

    /// Whether the same is done in the same order.
    pub fn same(&self) -> bool {
        matches!(self, Self::Compared(d) if d.is_none())
    }

    /// The kind of the difference, for putting like ones together: operations that are missing (`-`),
    /// extra (`+`), or different in detail (`~`).
    pub fn signature(&self) -> String {
        let Self::Compared(d) = self else {
            return match self {
                Self::Refused(why) => format!("refused: {why}"),
                _ => "wrong".into(),
            };
        };
        let keys = |list: &[String]| -> Vec<String> {
            list.iter().map(|a| field(a, 2).to_owned()).collect()
        };
        let (missing, extra) = (keys(&d.missing), keys(&d.extra));
        let mut parts = std::collections::BTreeSet::new();
        for action in &d.missing {
            let sign = if extra.contains(&field(action, 2).to_owned()) {
                '~'
            } else {
                '-'
            };
            parts.insert(format!("{sign}{}", field(action, 1)));
        }
        for action in &d.extra {
            if !missing.contains(&field(action, 2).to_owned()) {
                parts.insert(format!("+{}", field(action, 1)));
            }
        }
        if parts.is_empty() {
            if !d.unordered.is_empty() {
                parts.insert("order-".into());
            }
            if !d.overordered.is_empty() {
                parts.insert("order+".into());
            }
        }
        parts.into_iter().collect::<Vec<_>>().join(" ")
    }
}

fn field(action: &str, index: usize) -> &str {
    action.split(" | ").nth(index).unwrap_or("")
}

impl Anchor {
    /// A program that works in a directory of its own, as user `number` of it.
    pub fn new(program: PathBuf, directory: PathBuf, number: usize) -> Self {
        Self {
            program,
            directory,
            number,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{}-{name}.xml", self.number))
    }

    fn run(&self, input: &str, arguments: &[&str], file: &Path) -> Result<(), String> {
        let source = self.file("in");
        std::fs::write(&source, input).map_err(|e| format!("{}: {e}", source.display()))?;
        let run = Command::new(&self.program)
            .args(arguments)
            .arg(file)
            .arg("-Q")
            .arg("-x")
            .arg(&source)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("PCMK_logfile", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|e| format!("{}: {e}", self.program.display()))?;
        if run.success() {
            return Ok(());
        }
        Err(format!("{run}"))
    }

    /// Its graph.
    ///
    /// # Errors
    /// It refused the input, or could not be started; the text says which.
    pub fn graph(&self, input: &str) -> Result<String, String> {
        let graph = self.file("graph");
        self.run(input, &["-R", "-G"], &graph)?;
        std::fs::read_to_string(&graph).map_err(|e| e.to_string())
    }

    /// The CIB after its simulated transition.
    ///
    /// # Errors
    /// As [`Self::graph`]; or the transition could not be carried out to its end.
    pub fn play(&self, input: &str) -> Result<Cib, String> {
        let output = self.file("out");
        self.run(&unchecked(input), &["-S", "-O"], &output)?;
        let text = std::fs::read_to_string(&output).map_err(|e| e.to_string())?;
        Cib::parse(&text, None).map_err(|e| e.to_string())
    }

    /// Whether a cluster comes to rest with it, when everything succeeds.
    pub fn settles(&self, cib: &Cib) -> bool {
        let mut cib = cib.clone();
        for _ in 0..SETTLES_WITHIN {
            let text = unchecked(&cib.to_text());
            let graph = self
                .graph(&text)
                .and_then(|g| Document::parse(&g, None).map_err(|e| e.to_string()));
            let Ok(graph) = graph else {
                return false;
            };
            if !graph
                .root()
                .descendants()
                .any(|e| matches!(e.name(), "rsc_op" | "crm_event"))
            {
                return true;
            }
            match self.play(&text) {
                Ok(after) => cib = after,
                Err(_) => return false,
            }
        }
        false
    }

    /// Compares our answer with its answer.
    pub fn compare(&self, input: &str) -> Verdict {
        let theirs = match self.graph(input) {
            Ok(graph) => graph,
            Err(why) => return Verdict::Refused(why),
        };
        let theirs = match Graph::parse(&theirs) {
            Ok(graph) => graph,
            Err(why) => return Verdict::Refused(why),
        };
        match ours(input).and_then(|graph| Graph::parse(&graph)) {
            Ok(graph) => Verdict::Compared(theirs.difference(&graph)),
            Err(why) => Verdict::Wrong(why),
        }
    }
}

/// Transitions after which a cluster that has not come to rest is not going to.
const SETTLES_WITHIN: usize = 12;

/// Whether a cluster comes to rest with us, when everything succeeds.
pub fn ours_settles(cib: &Cib) -> bool {
    let mut cib = cib.clone();
    for _ in 0..SETTLES_WITHIN {
        let inputs = Inputs {
            now: NOW,
            grants: None,
        };
        let transition = scheduler::simulate(&cib, &inputs);
        let left = transition
            .synapses
            .iter()
            .any(|s| s.action.kind != ActionKind::Pseudo);
        if !left {
            return true;
        }
        cib = tools::after(&cib, &transition, NOW);
    }
    false
}

/// Checking an input against the schema costs more than answering it.
pub fn unchecked(input: &str) -> String {
    input.replacen(
        "validate-with=\"pacemaker-3.9\"",
        "validate-with=\"none\"",
        1,
    )
}

/// Our graph.
///
/// # Errors
/// The input is no CIB, or we did not come to an answer.
pub fn ours(input: &str) -> Result<String, String> {
    let cib = Cib::parse(input, None).map_err(|e| e.to_string())?;
    let now = tools::recorded_time(&cib).unwrap_or(NOW);
    let inputs = Inputs { now, grants: None };
    std::panic::catch_unwind(|| tools::graph_xml(&scheduler::simulate(&cib, &inputs)))
        .map_err(|_| "we panicked".to_owned())
}
