//! What is timed.

use std::path::{Path, PathBuf};

use super::farm::{Event, Farm};
use super::groups::Groups;

/// Where a CIB comes from.
pub(crate) enum Input {
    Made(String),
    File(PathBuf),
}

/// One CIB to time.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) input: Input,
    /// How many times less processor time than Debian's is wanted.
    pub(crate) goal: Option<f64>,
    /// The case of which this one is twice the size.
    pub(crate) doubles: Option<String>,
}

impl Case {
    fn farm(farm: Farm, event: Event, goal: Option<f64>) -> Self {
        let (nodes, machines) = (farm.nodes, farm.machines);
        Self {
            name: format!("farm {nodes}x{machines} {}", event.name()),
            input: Input::Made(farm.cib(event)),
            goal,
            doubles: None,
        }
    }

    fn groups(groups: Groups, goal: Option<f64>) -> Self {
        Self {
            name: groups.name(),
            input: Input::Made(groups.cib()),
            goal,
            doubles: None,
        }
    }

    fn double_of(mut self, other: &Groups) -> Self {
        self.doubles = Some(other.name());
        self
    }
}

/// A farm of the size of the goals, or a small one.
fn farm(full: bool) -> Farm {
    if full {
        Farm {
            nodes: 32,
            machines: 400,
            promotable: 40,
            stacks: 8,
        }
    } else {
        Farm {
            nodes: 8,
            machines: 60,
            promotable: 8,
            stacks: 4,
        }
    }
}

/// Everything to time, in this order.
///
/// # Errors
/// The directory of further CIBs cannot be read.
pub(crate) fn all(full: bool, inputs: Option<&Path>) -> Result<Vec<Case>, String> {
    // The goals are for the full sizes.
    let goal = |times: f64| full.then_some(times);
    let mut cases = Vec::new();
    for event in [Event::Lost, Event::Standby, Event::Revoke] {
        cases.push(Case::farm(farm(full), event, goal(20.0)));
    }
    cases.push(Case::farm(farm(full), Event::Cold, goal(100.0)));
    let cold = |nodes, groups| Groups {
        nodes,
        groups,
        clones: 2,
        running: false,
    };
    let (nodes, groups) = if full { (16, 125) } else { (8, 30) };
    let base = cold(nodes, groups);
    cases.push(Case::groups(base, None));
    cases.push(Case::groups(cold(nodes, groups * 2), None).double_of(&base));
    cases.push(Case::groups(cold(nodes * 2, groups), None).double_of(&base));
    let (nodes, groups) = if full { (32, 500) } else { (16, 60) };
    cases.push(Case::groups(cold(nodes, groups), goal(200.0)));
    let running = Groups {
        running: true,
        ..cold(nodes, groups)
    };
    cases.push(Case::groups(running, goal(20.0)));
    if let Some(directory) = inputs {
        cases.extend(files(directory)?);
    }
    Ok(cases)
}

/// Every XML file of a directory.
fn files(directory: &Path) -> Result<Vec<Case>, String> {
    let failed = |e: std::io::Error| format!("{}: {e}", directory.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == "xml") {
            paths.push(path);
        }
    }
    paths.sort();
    let case = |path: PathBuf| Case {
        name: path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into(),
        input: Input::File(path),
        goal: None,
        doubles: None,
    };
    Ok(paths.into_iter().map(case).collect())
}
