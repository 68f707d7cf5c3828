//! Operation digests: MD5 over a canonical text of the parameters.
//!
//! The text is one space, `<parameters`, the attributes sorted by name, `/>` and a newline.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};

use crate::write::escape_into;

/// The digest of parameters that are **already sorted by name**, as 32 hexadecimal digits.
pub fn of_sorted<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::from(" <parameters");
    for (name, value) in parameters {
        text.push(' ');
        text.push_str(name);
        text.push_str("=\"");
        escape_into(&mut text, value);
        text.push('"');
    }
    text.push_str("/>\n");
    hex(&Md5::digest(text.as_bytes()))
}

/// The digest of parameters in any order.
pub fn of(parameters: &[(&str, &str)]) -> String {
    let mut sorted = parameters.to_vec();
    sorted.sort_by(|a, b| a.0.cmp(b.0));
    of_sorted(sorted)
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        let _ = write!(out, "{b:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests() {
        assert_eq!(of(&[]), "f2317cad3d54cec5d7d7aa7d0bf35cf8");
        assert_eq!(
            of(&[("CRM_meta_timeout", "20000")]),
            "4811cef7f7f94e3a35a70be7916cb2fd"
        );
    }
}
