//! A patch in lines for people.

use std::fmt::Write as _;

use cib::{Document, Element};

/// The lines of a patch: versions, what is gone (`--`), what is new (`++`), what is changed (`+`).
pub(crate) fn describe(patch: &Document) -> String {
    let mut text = String::new();
    let version = |name: &str| {
        let element = patch.root().child("version").and_then(|v| v.child(name));
        let part = |name: &str| element.and_then(|e| e.attr(name)).unwrap_or("0").to_owned();
        format!(
            "{}.{}.{}",
            part("admin_epoch"),
            part("epoch"),
            part("num_updates")
        )
    };
    let _ = writeln!(text, "Diff: --- {} 2", version("source"));
    let digest = patch.root().attr("digest").unwrap_or("(null)");
    let _ = writeln!(text, "Diff: +++ {} {digest}", version("target"));
    for change in patch.root().children_named("change") {
        let path = change.attr("path").unwrap_or("");
        match change.attr("operation") {
            Some("delete") => {
                let place = change
                    .attr("position")
                    .map_or(String::new(), |p| format!(":{p}"));
                let _ = writeln!(text, "-- {path}{place}");
            }
            Some("move") => {
                let place = change.attr("position").unwrap_or("");
                let _ = writeln!(text, "+~ {path} moved to offset {place}");
            }
            Some("create") => {
                let lines = change.children().map(Element::to_text).collect::<String>();
                let mut lines = lines.lines();
                let first = lines.next().unwrap_or("");
                let _ = writeln!(text, "++ {path}:  {first}");
                let indent = " ".repeat(path.len());
                for line in lines {
                    let _ = writeln!(text, "++ {indent}   {line}");
                }
            }
            _ => {
                let list = change.child("change-list").into_iter();
                let list: Vec<_> = list.flat_map(Element::children).collect();
                let set: Vec<String> = list
                    .iter()
                    .filter_map(|a| Some(format!("@{}={}", a.attr("name")?, a.attr("value")?)))
                    .collect();
                let unset: Vec<String> = list
                    .iter()
                    .filter(|a| a.attr("operation") == Some("unset"))
                    .filter_map(|a| Some(format!("@{}", a.attr("name")?)))
                    .collect();
                if !set.is_empty() {
                    let _ = writeln!(text, "+  {path}:  {}", set.join(", "));
                }
                if !unset.is_empty() {
                    let _ = writeln!(text, "-- {path}:  {}", unset.join(", "));
                }
            }
        }
    }
    text
}
