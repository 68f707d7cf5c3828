//! Makes a differing case smaller, as long as it differs in the same way.

use cib::{Cib, Document, Element, ElementId};

/// Rounds after which a case is small enough.
const ROUNDS: usize = 4;

/// Drops elements and attributes while `keeps` holds for what is left.
pub fn shrink(text: &str, keeps: &dyn Fn(&str) -> bool) -> String {
    let mut best = text.to_owned();
    for _ in 0..ROUNDS {
        let before = best.len();
        best = drop_elements(best, keeps);
        best = drop_attributes(best, keeps);
        if best.len() == before {
            break;
        }
    }
    best
}

fn elements(document: &Document) -> Vec<ElementId> {
    let inner = document.root().descendants().skip(1);
    inner.map(Element::key).collect()
}

fn drop_elements(mut best: String, keeps: &dyn Fn(&str) -> bool) -> String {
    let mut at = 0;
    while let Ok(mut cib) = Cib::parse(&best, None) {
        let list = elements(cib.document());
        let Some(&element) = list.get(at) else {
            break;
        };
        cib.document_mut().remove(element);
        let smaller = cib.to_text();
        if keeps(&smaller) {
            best = smaller;
        } else {
            at += 1;
        }
    }
    best
}

fn drop_attributes(mut best: String, keeps: &dyn Fn(&str) -> bool) -> String {
    let Ok(cib) = Cib::parse(&best, None) else {
        return best;
    };
    let count = elements(cib.document()).len();
    for at in 0..count {
        let Ok(cib) = Cib::parse(&best, None) else {
            break;
        };
        let element = elements(cib.document())[at];
        // Half a history entry is nothing that a cluster writes.
        if cib.document().element(element).name().starts_with("lrm") {
            continue;
        }
        let names: Vec<String> = (cib.document().element(element).attributes())
            .map(|(name, _)| name.to_owned())
            .filter(|name| {
                let kept = ["id", "name", "uname", "validate-with", "class", "type"];
                !kept.contains(&name.as_str())
            })
            .collect();
        for name in names {
            let Ok(mut cib) = Cib::parse(&best, None) else {
                break;
            };
            cib.document_mut().remove_attr(element, &name);
            let smaller = cib.to_text();
            if keeps(&smaller) {
                best = smaller;
            }
        }
    }
    best
}
