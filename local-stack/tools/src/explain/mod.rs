//! `explain`: why something is as it is, as text for people and as JSON for programs.
//!
//! The reasons, with their codes, come from [`scheduler::explain`]; here they are only laid out.

mod json;
mod text;

pub use json::{JSON_VERSION, explanation_json};
pub use text::explanation_text;

use scheduler::{Explanation, Subject};

/// Exit code: it is as it shall be.
pub const EXIT_FINE: u8 = 0;
/// Exit code: it should be otherwise, and cannot.
pub const EXIT_TROUBLE: u8 = 1;
/// Exit code: it is stopped because somebody wants it so.
pub const EXIT_INTENDED: u8 = 7;
/// Exit code: the CIB knows nothing of that name.
pub const EXIT_NO_OBJECT: u8 = 105;

/// What words on the command line ask about: nothing, a name, or a kind and a name.
///
/// # Errors
/// There are more words, or the first of two is no kind; says what can be written.
pub fn explain_subject(words: &[String]) -> Result<Subject, String> {
    match words {
        [] => Ok(Subject::Cluster),
        [name] => Ok(Subject::Any(name.clone())),
        [kind, name] => match kind.as_str() {
            "resource" => Ok(Subject::Resource(name.clone())),
            "node" => Ok(Subject::Node(name.clone())),
            "ticket" => Ok(Subject::Ticket(name.clone())),
            other => Err(format!(
                "'{other}' is none of resource, node, ticket; write: explain [resource|node|ticket] NAME"
            )),
        },
        _ => Err("more than one name; write: explain [resource|node|ticket] NAME".to_owned()),
    }
}

/// Leaves only what concerns one node.
///
/// # Errors
/// The explanation has no line about that node; says which nodes there are.
pub fn only_node(mut explanation: Explanation, node: &str) -> Result<Explanation, String> {
    let known: Vec<String> = explanation.nodes.iter().map(|l| l.node.clone()).collect();
    explanation.nodes.retain(|l| l.node == node);
    let Some(line) = explanation.nodes.first() else {
        return Err(format!("no node {node}; there are: {}", known.join(", ")));
    };
    let causes: Vec<&str> = line.causes.iter().map(|c| c.text.as_str()).collect();
    let of = &explanation.id;
    let verb = match line.verdict {
        scheduler::NodeVerdict::Chosen => "is chosen for",
        scheduler::NodeVerdict::Possible => "could run",
        scheduler::NodeVerdict::Refused => "cannot run",
    };
    explanation.headline = if causes.is_empty() {
        format!("{node} {verb} {of}: {}", explanation.headline)
    } else {
        format!("{node} {verb} {of}: {}", causes.join("; "))
    };
    explanation.causes.clear();
    explanation.fine.clear();
    explanation.parts.clear();
    Ok(explanation)
}

/// The exit code that an explanation amounts to.
pub fn explain_exit(explanation: &Explanation) -> u8 {
    use scheduler::Verdict::{Fine, Moving, Starting};
    match explanation.verdict {
        Fine | Starting | Moving => EXIT_FINE,
        _ if explanation.intended => EXIT_INTENDED,
        _ => EXIT_TROUBLE,
    }
}
