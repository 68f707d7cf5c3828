//! The recorded cases.

use std::path::{Path, PathBuf};

use cib::Cib;
use scheduler::Inputs;

use crate::graph::{Difference, Graph};

/// Used when neither a case nor its CIB says when it was.
const SOME_TIME: i64 = 1_780_000_000;

/// A directory of recordings.
#[derive(Debug)]
pub struct Recordings {
    directory: PathBuf,
}

/// One recorded case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its name; the files are called like it.
    pub name: String,
    /// What it is mainly about.
    pub group: String,
    /// The time to assume, if not that of the CIB.
    pub time: Option<String>,
}

impl Recordings {
    /// Finds the recordings, if they are there.
    pub fn find() -> Result<Self, PathBuf> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
        let root = std::env::var_os("INTERLOCK_CONFORMANCE").map_or(beside, PathBuf::from);
        let directory = root.join("scheduler");
        if directory.join("cases.tsv").is_file() {
            Ok(Self { directory })
        } else {
            Err(directory)
        }
    }

    fn read(&self, path: &str) -> Result<String, String> {
        let path = self.directory.join(path);
        std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// All cases.
    pub fn cases(&self) -> Result<Vec<Case>, String> {
        let list = self.read("cases.tsv")?;
        let cases = list.lines().skip(1).filter_map(|line| {
            let mut fields = line.split('\t');
            let (name, group) = (fields.next()?, fields.next()?);
            let time = fields.next().and_then(|args| args.strip_prefix("-t|"));
            Some(Case {
                name: name.to_owned(),
                group: group.to_owned(),
                time: time.map(str::to_owned),
            })
        });
        Ok(cases.collect())
    }

    /// Tells whether a case is decided alike when reasons are recorded; its summary is made as well.
    pub fn recording_is_harmless(&self, case: &Case) -> Result<bool, String> {
        let input = self.read(&format!("xml/{}.xml", case.name))?;
        let cib = Cib::parse(&input, Some(&case.name)).map_err(|e| e.to_string())?;
        let inputs = Inputs {
            now: self.time(case, &cib)?,
            grants: None,
        };
        let plain = tools::graph_xml(&scheduler::simulate(&cib, &inputs));
        let told = scheduler::explain(&cib, &inputs, &scheduler::Subject::Cluster);
        Ok(told.is_some_and(|t| tools::graph_xml(&t.transition) == plain))
    }

    fn time(&self, case: &Case, cib: &Cib) -> Result<i64, String> {
        match &case.time {
            Some(time) => scheduler::parse_time(time).ok_or_else(|| format!("no time: {time}")),
            None => Ok(tools::recorded_time(cib).unwrap_or(SOME_TIME)),
        }
    }

    /// Works a case out and compares the answer with the recording.
    pub fn compare(&self, case: &Case) -> Result<Difference, String> {
        let input = self.read(&format!("xml/{}.xml", case.name))?;
        let recorded = self.read(&format!("exp/{}.exp", case.name))?;
        let cib = Cib::parse(&input, Some(&case.name)).map_err(|e| e.to_string())?;
        let now = self.time(case, &cib)?;
        let inputs = Inputs { now, grants: None };
        let answer = tools::graph_xml(&scheduler::simulate(&cib, &inputs));
        let again = tools::graph_xml(&scheduler::simulate(&cib, &inputs));
        if answer != again {
            return Err("two runs differ".into());
        }
        Ok(Graph::parse(&recorded)?.difference(&Graph::parse(&answer)?))
    }
}
