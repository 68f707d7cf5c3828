//! The project's own cases: what the documentation says, in actions and their order.

use std::path::{Path, PathBuf};

use cib::{Cib, Element};
use scheduler::Inputs;

use crate::graph::Graph;

/// The time of every case: 2026-05-28T20:26:40Z.
const NOW: i64 = 1_780_000_000;

/// A case of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Its name; the files are called like it.
    pub name: String,
    /// What the documentation says.
    pub says: String,
    actions: Vec<String>,
    before: Vec<(String, String)>,
    not_before: Vec<(String, String)>,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

/// All of our own cases, by name. An error names the file, and what is wrong with it.
pub fn own_cases() -> Result<Vec<Own>, String> {
    let entries = std::fs::read_dir(directory()).map_err(|e| format!("cases: {e}"))?;
    let mut cases = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| format!("cases: {e}"))?.path();
        if path.extension().is_some_and(|e| e == "txt") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let text = std::fs::read_to_string(&path).map_err(|e| format!("{name}: {e}"))?;
            cases.push(Own::read(&name, &text)?);
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

impl Own {
    fn read(name: &str, text: &str) -> Result<Self, String> {
        let mut case = Self {
            name: name.to_owned(),
            says: String::new(),
            actions: Vec::new(),
            before: Vec::new(),
            not_before: Vec::new(),
        };
        let mut section = "";
        for line in text.lines() {
            if let Some(says) = line.strip_prefix("# ") {
                says.clone_into(&mut case.says);
            } else if !line.starts_with(' ') {
                section = line;
            } else {
                let pair = line.split_once(" < ");
                let pair = pair.map(|(a, b)| (a.trim().to_owned(), b.trim().to_owned()));
                match (section, pair) {
                    ("actions", None) => case.actions.push(line.trim().to_owned()),
                    ("before", Some(pair)) => case.before.push(pair),
                    ("not before", Some(pair)) => case.not_before.push(pair),
                    _ => return Err(format!("{name}: '{line}' under '{section}' means nothing")),
                }
            }
        }
        case.actions.sort();
        Ok(case)
    }

    /// The file of the cluster.
    pub fn file(&self) -> PathBuf {
        directory().join(format!("{}.xml", self.name))
    }

    /// The time to judge by, in seconds since the epoch.
    pub const fn time() -> i64 {
        NOW
    }

    /// Our graph, as XML. An error names what is wrong with the case.
    pub fn ours(&self) -> Result<String, String> {
        let (cib, inputs) = self.input()?;
        Ok(tools::graph_xml(&scheduler::simulate(&cib, &inputs)))
    }

    /// Our graph when reasons are recorded. An error names what is wrong with the case.
    pub fn ours_explained(&self) -> Result<String, String> {
        let (cib, inputs) = self.input()?;
        let told = scheduler::explain(&cib, &inputs, &scheduler::Subject::Cluster);
        let told = told.ok_or_else(|| format!("{}: no explanation", self.name))?;
        Ok(tools::graph_xml(&told.transition))
    }

    fn input(&self) -> Result<(Cib, Inputs), String> {
        let file = self.file();
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", self.name))?;
        let cib = Cib::parse(&text, Some(&self.name)).map_err(|e| e.to_string())?;
        let (now, grants) = (NOW, None);
        Ok((cib, Inputs { now, grants }))
    }

    /// What a graph does otherwise than the documentation says, one line each.
    pub fn wrong(&self, graph: &str) -> Result<Vec<String>, String> {
        let graph = Graph::parse_named(graph, short_name)?;
        let done = graph.actions();
        let mut wrong = Vec::new();
        let mut left = done.clone();
        for action in &self.actions {
            match left.iter().position(|a| a == action) {
                Some(place) => drop(left.remove(place)),
                None => wrong.push(format!("missing: {action}")),
            }
        }
        wrong.extend(left.iter().map(|a| format!("too much: {a}")));
        for (first, then) in &self.before {
            if !graph.is_before(first, then) {
                wrong.push(format!("not in this order: {first} < {then}"));
            }
        }
        for (first, then) in &self.not_before {
            if graph.is_before(first, then) {
                wrong.push(format!("needlessly in this order: {first} < {then}"));
            }
        }
        Ok(wrong)
    }
}

/// `start db n1`, `probe db n1`, `fence n2 reboot` ...
fn short_name(action: Element<'_>) -> String {
    let attr = |name: &str| action.attr(name).unwrap_or("");
    let meta = |name: &str| {
        let attributes = action.child("attributes");
        attributes.and_then(|a| a.attr(name)).unwrap_or("")
    };
    let node = attr("on_node");
    let resource = action.child("primitive");
    let resource = resource.map_or("", |p| p.attr("long-id").unwrap_or_else(|| p.id()));
    let resource = if meta("CRM_meta_globally_unique") == "true" {
        resource
    } else {
        resource.split(':').next().unwrap_or("")
    };
    match attr("operation") {
        "stonith" => format!("fence {node} {}", meta("CRM_meta_stonith_action")),
        "do_shutdown" => format!("do_shutdown {node}"),
        "cancel" => format!("cancel {} {node}", attr("operation_key")),
        "monitor" if meta("CRM_meta_interval").is_empty() => format!("probe {resource} {node}"),
        operation => format!("{operation} {resource} {node}"),
    }
}
