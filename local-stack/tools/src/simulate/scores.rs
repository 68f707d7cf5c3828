//! The numbers that the assignment went by.

use std::fmt::Write as _;

use scheduler::Score;

use crate::answer::Frame;

/// A score as people write it.
fn number(score: i32) -> String {
    match score {
        1_000_000.. => "INFINITY".to_owned(),
        ..=-1_000_000 => "-INFINITY".to_owned(),
        other => other.to_string(),
    }
}

fn is_utilization(score: &Score) -> bool {
    matches!(score, Score::Capacity { .. } | Score::Utilization { .. })
}

fn wanted(score: &Score, (scores, utilization): (bool, bool)) -> bool {
    if is_utilization(score) {
        utilization
    } else {
        scores
    }
}

/// The numbers as text; `which`: scores, utilization.
pub(super) fn text(list: &[Score], which: (bool, bool)) -> String {
    let mut out = String::new();
    let amounts = |list: &[(String, i64)]| {
        let each = list
            .iter()
            .map(|(name, amount)| format!(" {name}={amount}"));
        each.collect::<String>()
    };
    for score in list.iter().filter(|s| wanted(s, which)) {
        let _ = match score {
            Score::Weight {
                step,
                resource,
                node,
                score,
            } => {
                let score = number(*score);
                writeln!(
                    out,
                    "{step}: {resource} allocation score on {node}: {score}"
                )
            }
            Score::Promotion {
                resource,
                node,
                score,
            } => {
                let (score, node) = (number(*score), node.as_deref().unwrap_or("none"));
                writeln!(out, "{resource} promotion score on {node}: {score}")
            }
            Score::Capacity {
                when,
                node,
                amounts: list,
            } => writeln!(out, "{when}: {node} capacity:{}", amounts(list)),
            Score::Utilization {
                resource,
                node,
                amounts: list,
            } => {
                let list = amounts(list);
                writeln!(
                    out,
                    "pcmk__assign_resource: {resource} utilization on {node}:{list}"
                )
            }
        };
    }
    out
}

/// The numbers as XML; `which`: scores, utilization.
pub(super) fn xml(list: &[Score], which: (bool, bool), frame: &mut Frame) {
    let name = match which {
        (true, true) => "allocations_utilizations",
        (true, false) => "allocations",
        (false, true) => "utilizations",
        (false, false) => return,
    };
    let root = frame.root;
    let parent = frame.add(root, name, &[]);
    let amounts = |frame: &mut Frame, element, list: &[(String, i64)]| {
        for (name, amount) in list {
            let child = frame.document.append(element, name);
            frame.document.append_text(child, &amount.to_string());
        }
    };
    for score in list.iter().filter(|s| wanted(s, which)) {
        match score {
            Score::Weight {
                step,
                resource,
                node,
                score,
            } => {
                let about = [
                    ("function", *step),
                    ("node", node),
                    ("score", &number(*score)),
                    ("id", resource),
                ];
                frame.add(parent, "node_weight", &about);
            }
            Score::Promotion {
                resource,
                node,
                score,
            } => {
                let score = number(*score);
                let mut about: Vec<(&str, &str)> = vec![("id", resource), ("score", &score)];
                about.extend(node.as_deref().map(|n| ("node", n)));
                frame.add(parent, "promotion_score", &about);
            }
            Score::Capacity {
                when,
                node,
                amounts: list,
            } => {
                let about = [("node", node.as_str()), ("comment", when)];
                let element = frame.add(parent, "capacity", &about);
                amounts(frame, element, list);
            }
            Score::Utilization {
                resource,
                node,
                amounts: list,
            } => {
                let about = [
                    ("resource", resource.as_str()),
                    ("node", node),
                    ("function", "pcmk__assign_resource"),
                ];
                let element = frame.add(parent, "utilization", &about);
                amounts(frame, element, list);
            }
        }
    }
}
