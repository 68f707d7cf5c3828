//! `tests/ACCEPTANCE.md` says which script or test shows what: every name in it must exist.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Whether what a name stands for is there.
fn exists(name: &str) -> bool {
    let root = root();
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    if let Some(script) = name.strip_prefix("demo ") {
        return root
            .join(format!("tests/demo/scripts/{script}.demo"))
            .is_file();
    }
    if let Some(part) = name.strip_prefix("lab ") {
        return read("tests/lab/run").contains(&format!("part \"{part}\""));
    }
    match name.split_once(".rs: ") {
        Some((file, test)) => read(&format!("{file}.rs")).contains(&format!("fn {test}()")),
        None => false,
    }
}

/// The names in the second column.
fn names(text: &str) -> Vec<&str> {
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'));
    rows.filter_map(|row| row.trim_end_matches([' ', '|']).rsplit_once(" | "))
        .flat_map(|(_, shown)| shown.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn every_name_in_the_table_exists() {
    let text = fs::read_to_string(root().join("tests/ACCEPTANCE.md")).unwrap();
    let names = names(&text);
    assert!(names.len() > 70, "{}", names.len());
    let missing: Vec<&&str> = names.iter().filter(|name| !exists(name)).collect();
    assert_eq!(missing, Vec::<&&str>::new());
    assert!(!exists("demo no-such-script") && !exists("tests/demo/tests/deploy.rs: no_such_test"));
}

#[test]
fn every_script_stands_in_the_table() {
    let text = fs::read_to_string(root().join("tests/ACCEPTANCE.md")).unwrap();
    let names = names(&text);
    for entry in fs::read_dir(root().join("tests/demo/scripts")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "demo") {
            let script = path.file_stem().unwrap().to_string_lossy();
            let name = format!("demo {script}");
            assert!(names.contains(&name.as_str()), "{name}");
        }
    }
}
