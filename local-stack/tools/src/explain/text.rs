//! An explanation for people: the reason first, then where it stands and how to change it, then every
//! node's part.

use std::fmt::Write as _;

use scheduler::{Cause, Explanation, Kind, NodeLine, Place, Row};

/// Lays an explanation out. `file` is how the CIB is called in positions.
pub fn explanation_text(explanation: &Explanation, file: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", explanation.headline);
    if explanation.kind == Kind::Cluster {
        for cause in &explanation.causes {
            add_cause(cause, file, "cause", &mut out);
        }
        for part in &explanation.parts {
            let _ = writeln!(out, "  {}", part.headline);
        }
        return out;
    }
    for (place, cause) in explanation.causes.iter().enumerate() {
        if place == 0 {
            add_details(cause, file, &mut out);
        } else {
            add_cause(cause, file, "also", &mut out);
        }
    }
    add_nodes(&explanation.nodes, file, &mut out);
    for part in &explanation.parts {
        line("part", &part.headline, &mut out);
    }
    if !explanation.fine.is_empty() {
        let fine = explanation.fine.join(" · ");
        let _ = writeln!(out, "  checked and fine: {fine}");
    }
    out
}

fn line(label: &str, text: &str, out: &mut String) {
    let _ = writeln!(out, "  {label:<6} {text}");
}

fn add_cause(cause: &Cause, file: &str, label: &str, out: &mut String) {
    line(label, &cause.text, out);
    add_details(cause, file, out);
}

fn add_details(cause: &Cause, file: &str, out: &mut String) {
    line("code", cause.code.as_str(), out);
    for place in &cause.at {
        line("where", &place_text(place, file), out);
    }
    add_table(&cause.table, "rule", out);
    for behind in &cause.because {
        add_behind(behind, file, 0, out);
    }
    for fix in &cause.fix {
        line("fix", fix, out);
    }
}

fn add_behind(cause: &Cause, file: &str, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let at = cause.at.first();
    let at = at.map_or_else(String::new, |p| format!(" ({})", place_text(p, file)));
    line(
        "behind",
        &format!("{indent}[{}] {}{at}", cause.code.as_str(), cause.text),
        out,
    );
    for behind in &cause.because {
        add_behind(behind, file, depth + 1, out);
    }
    for fix in &cause.fix {
        line("fix", fix, out);
    }
}

fn place_text(place: &Place, file: &str) -> String {
    let position = match place.position {
        Some((line, column)) => format!("  {file}:{line}:{column}"),
        None => String::new(),
    };
    format!("<{} id=\"{}\">{position}", place.element, place.id)
}

fn add_table(rows: &[Row], label: &str, out: &mut String) {
    for row in rows {
        let indent = "  ".repeat(row.depth);
        let holds = if row.holds { "true " } else { "false" };
        line(label, &format!("{holds} {indent}{}", row.condition), out);
    }
}

fn score_text(score: Option<i32>) -> String {
    match score {
        None => "-".to_owned(),
        Some(s) if s >= 1_000_000 => "INFINITY".to_owned(),
        Some(s) if s <= -1_000_000 => "-INFINITY".to_owned(),
        Some(s) => s.to_string(),
    }
}

fn add_nodes(nodes: &[NodeLine], _file: &str, out: &mut String) {
    let width = nodes.iter().map(|l| l.node.len()).max().unwrap_or(0);
    for node in nodes {
        let causes: Vec<&str> = node.causes.iter().map(|c| c.text.as_str()).collect();
        let text = format!(
            "{:width$}  {:<8}  {:>9}  {}",
            node.node,
            node.verdict.as_str(),
            score_text(node.score),
            causes.join("; ")
        );
        line("node", text.trim_end(), out);
        for cause in &node.causes {
            add_table(&cause.table, "rule", out);
        }
    }
}
