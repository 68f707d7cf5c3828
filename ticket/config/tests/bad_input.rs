//! Every bad input has its findings, all at once, each with its place: `bad/NAME.toml` and what is
//! said about it in `bad/NAME.txt`. After a deliberate change of a message, run with
//! `UPDATE_EXPECTED=1` and read the difference.

use std::fs;
use std::path::{Path, PathBuf};

use ticket_config::{Diagnostic, Options, load_text};

fn inputs() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut inputs: Vec<PathBuf> = fs::read_dir(directory)
        .expect("the inputs are there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    inputs.sort();
    inputs
}

fn findings(path: &Path) -> Vec<Diagnostic> {
    let text = fs::read_to_string(path).expect("readable");
    let name = Path::new(path.file_name().expect("a file"));
    match load_text(name, &text, Options::default()) {
        Ok(config) => config.warnings,
        Err(found) => found,
    }
}

#[test]
fn every_bad_input_is_explained() {
    let inputs = inputs();
    assert!(inputs.len() >= 12, "the inputs are gone");
    let mut wrong = Vec::new();
    for input in inputs {
        let found = findings(&input);
        assert!(!found.is_empty(), "{} is taken for good", input.display());
        let said: String = found
            .iter()
            .map(|diagnostic| format!("{diagnostic}\n"))
            .collect();
        let expected = input.with_extension("txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{}:\n{said}", input.display()));
        }
    }
    assert!(wrong.is_empty(), "not as expected:\n{}", wrong.join("\n"));
}

#[test]
fn findings_are_sorted_and_each_says_what_to_write() {
    for input in inputs() {
        let found = findings(&input);
        let places: Vec<_> = found.iter().map(|one| (one.line, one.column)).collect();
        assert!(places.is_sorted(), "{}: {places:?}", input.display());
        for one in found {
            let parser = one.message.starts_with("not TOML");
            assert!(parser || one.hint.is_some(), "no advice: {one}");
        }
    }
}
