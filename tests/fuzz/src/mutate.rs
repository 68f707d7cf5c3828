//! Makes other inputs out of an input.

use cib::{Document, Element, ElementId};
use conformance::random::Dice;

/// Texts that readers treat specially, or nearly.
const TOKENS: [&str; 44] = [
    "<",
    ">",
    "/>",
    "</",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<?xml",
    "?>",
    "<!DOCTYPE",
    "&amp;",
    "&#x41;",
    "&#0;",
    "&lt",
    "&",
    "\"",
    "'",
    "=",
    " id=\"a\"",
    "\u{0}",
    "\u{feff}",
    "ä",
    "\n",
    "INFINITY",
    "-INFINITY",
    "+INFINITY",
    "1000001",
    "-2147483649",
    "18446744073709551616",
    "0",
    "-1",
    "PT5M",
    "P",
    "2026-05-28T20:26:40Z",
    "2026-W22-4",
    "9999999999-01-01",
    "true",
    ":0",
    ":",
    "%1",
    "%%",
    "(",
    "[a-",
];

/// Bytes changed here and there.
pub(crate) fn bytes(dice: &mut Dice, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..dice.range(1, 6) {
        let at = dice.below(out.len() + 1);
        match dice.below(7) {
            0 => {
                if let Some(byte) = out.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            1 => {
                let end = (at + dice.range(1, 40)).min(out.len());
                out.drain(at..end);
            }
            2 => {
                let end = (at + dice.range(1, 80)).min(out.len());
                let part = out[at..end].to_vec();
                let to = dice.below(out.len() + 1);
                out.splice(to..to, part);
            }
            3 if !other.is_empty() => {
                let from = dice.below(other.len());
                let end = (from + dice.range(1, 200)).min(other.len());
                out.splice(at..at, other[from..end].iter().copied());
            }
            4 => out.truncate(at),
            _ => {
                let token = dice.word(&TOKENS);
                out.splice(at..at, token.bytes());
            }
        }
    }
    out
}

fn elements(document: &Document) -> Vec<ElementId> {
    document.root().descendants().map(Element::key).collect()
}

/// Elements and attributes changed here and there; what comes out is still a tree.
pub(crate) fn tree(dice: &mut Dice, document: &mut Document) {
    for _ in 0..dice.range(1, 8) {
        let list = elements(document);
        let Some(&element) = dice.pick(&list) else {
            return;
        };
        let attributes: Vec<(String, String)> = (document.element(element).attributes())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        match dice.below(8) {
            0 => document.remove(element),
            1 => {
                let copy = document.clone();
                if let Some(&to) = dice.pick(&list) {
                    document.append_copy(to, &copy, element);
                }
            }
            2 => {
                if let Some((name, _)) = dice.pick(&attributes) {
                    document.remove_attr(element, name);
                }
            }
            3 => borrow_attribute(dice, document, element, &list),
            _ => {
                if let Some((name, value)) = dice.pick(&attributes) {
                    let value = new_value(dice, value, document, &list);
                    document.set_attr(element, name, &value);
                }
            }
        }
    }
}

/// Gives an element an attribute that another has.
fn borrow_attribute(
    dice: &mut Dice,
    document: &mut Document,
    element: ElementId,
    list: &[ElementId],
) {
    let Some(&other) = dice.pick(list) else {
        return;
    };
    let theirs: Vec<(String, String)> = (document.element(other).attributes())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if let Some((name, value)) = dice.pick(&theirs) {
        document.set_attr(element, name, value);
    }
}

fn new_value(dice: &mut Dice, old: &str, document: &Document, list: &[ElementId]) -> String {
    match dice.below(6) {
        0 => String::new(),
        1 => format!("{old}{}", dice.word(&TOKENS)),
        // Whatever is called so now is called like something else.
        2 | 3 => (dice.pick(list))
            .map_or("", |e| document.element(*e).id())
            .to_owned(),
        _ => dice.word(&TOKENS).to_owned(),
    }
}
