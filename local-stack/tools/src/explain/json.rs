//! An explanation for programs. Keys, verdicts and codes are stable.

use scheduler::{Cause, Explanation, Kind, NodeLine, Place, Row};
use serde_json::{Value, json};

/// The version of this output; grows when a key is removed or changes its meaning.
pub const JSON_VERSION: &str = "1.0";

/// An explanation as JSON. `file` is how the CIB is called in positions; `now` (seconds since the
/// epoch) is the time that was judged by.
pub fn explanation_json(explanation: &Explanation, file: &str, now: i64) -> Value {
    json!({
        "api-version": JSON_VERSION,
        "date": scheduler::time_text(now),
        "date_seconds": now,
        "explanation": whole(explanation, file),
    })
}

fn whole(e: &Explanation, file: &str) -> Value {
    let kind = match e.kind {
        Kind::Cluster => "cluster",
        Kind::Resource => "resource",
        Kind::Node => "node",
        Kind::Ticket => "ticket",
    };
    json!({
        "kind": kind,
        "id": e.id,
        "verdict": e.verdict.as_str(),
        "intended": e.intended,
        "headline": e.headline,
        "causes": causes(&e.causes, file),
        "nodes": e.nodes.iter().map(|n| node(n, file)).collect::<Vec<_>>(),
        "fine": e.fine,
        "parts": e.parts.iter().map(|p| whole(p, file)).collect::<Vec<_>>(),
    })
}

fn causes(list: &[Cause], file: &str) -> Vec<Value> {
    let cause = |c: &Cause| {
        json!({
            "code": c.code.as_str(),
            "meaning": c.code.meaning().trim(),
            "text": c.text,
            "intended": c.intended(),
            "at": c.at.iter().map(|p| place(p, file)).collect::<Vec<_>>(),
            "fix": c.fix,
            "table": c.table.iter().map(row).collect::<Vec<_>>(),
            "because": causes(&c.because, file),
        })
    };
    list.iter().map(cause).collect()
}

fn place(p: &Place, file: &str) -> Value {
    json!({
        "element": p.element,
        "id": p.id,
        "file": file,
        "line": p.position.map(|p| p.0),
        "column": p.position.map(|p| p.1),
    })
}

fn row(r: &Row) -> Value {
    json!({
        "depth": r.depth,
        "id": r.id,
        "condition": r.condition,
        "holds": r.holds,
    })
}

fn node(n: &NodeLine, file: &str) -> Value {
    json!({
        "node": n.node,
        "verdict": n.verdict.as_str(),
        "score": n.score,
        "causes": causes(&n.causes, file),
    })
}
