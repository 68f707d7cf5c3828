//! The digests by which changed parameters are noticed.

use std::fmt::Write as _;

use scheduler::Parameters;

use super::tool::Run;
use crate::answer::Answer;
use crate::exit::{self, Failure};

pub(super) fn digests(run: &Run<'_>) -> Result<Answer, Failure> {
    let resource = run.resource()?;
    let Some(node) = run.node()? else {
        let message = "Must supply a node name with -N";
        return Err(Failure::new(exit::USAGE, message));
    };
    let mut overrides: Parameters = Vec::new();
    for text in &run.given.rest {
        let Some((name, value)) = text.split_once('=') else {
            let message = format!("'{text}' is no override; write NAME=VALUE");
            return Err(Failure::new(exit::USAGE, message));
        };
        overrides.push((name.to_owned(), value.to_owned()));
    }
    let report = scheduler::digests(run.cib, &run.inputs, (resource, node), &overrides);
    let Some(report) = report else {
        let message = format!("{resource} has no digests: it is not one resource with an agent");
        return Err(Failure::new(exit::NO_SUCH, message));
    };
    let mut answer = run.answer();
    let mut list = vec![
        ("all", "all parameters", &report.all),
        ("nonprivate", "non-private parameters", &report.public),
    ];
    if let Some(restart) = &report.restart {
        list.push(("nonreloadable", "non-reloadable parameters", restart));
    }
    for (_, what, (hash, _)) in &list {
        let _ = writeln!(answer.text, "{hash} ({what})");
    }
    if let Some(frame) = &mut answer.xml {
        let root = frame.root;
        let interval = format!("{}ms", report.interval_ms);
        let about = [
            ("resource", resource),
            ("node", node),
            ("task", report.task.as_str()),
            ("interval", &interval),
        ];
        let parent = frame.add(root, "digests", &about);
        for (kind, _, (hash, parameters)) in &list {
            let digest = frame.add(parent, "digest", &[("type", kind), ("hash", hash)]);
            let values = frame.add(digest, "parameters", &[]);
            for (name, value) in parameters {
                frame.document.set_attr(values, name, value);
            }
        }
    }
    Ok(answer)
}
