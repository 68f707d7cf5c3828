//! Rules about files: names at the top level, lengths, words.

use std::fs;
use std::path::{Path, PathBuf};

/// What is wrong, and where: `path[:line]: what`.
pub type Breach = String;

/// The top level, exactly; dot-files may join it.
const TOP_LEVEL: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "arbitrator",
    "deploy",
    "local-stack",
    "site-agent",
    "tests",
];

/// Longest source file that still fits in a head, tests apart.
const FILE_LINES_MAX: usize = 900;

/// Names at the top level that were not agreed.
pub fn stray_top_level(root: &Path) -> Vec<Breach> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let known = TOP_LEVEL.contains(&name.as_str()) || name == "ticket" || name == "target";
        if !known && !name.starts_with('.') {
            found.push(format!(
                "{name}: not one of the agreed names at the top level"
            ));
        }
    }
    found
}

/// Rust sources longer than [`FILE_LINES_MAX`] lines; files of tests may be longer.
pub fn long_files(root: &Path) -> Vec<Breach> {
    let is_test = |path: &Path| {
        path.file_stem().is_some_and(|stem| stem == "tests")
            || path
                .components()
                .any(|part| part.as_os_str() == "tests" && !path.starts_with(root.join("tests")))
    };
    sources(root)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs") && !is_test(path))
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).ok()?.lines().count();
            let shown = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .display()
                .to_string();
            (lines > FILE_LINES_MAX).then(|| {
                format!("{shown}: {lines} lines; split it by concern (at most {FILE_LINES_MAX})")
            })
        })
        .collect()
}

/// Words that tell of unfinished work or of one machine's folders.
pub fn unfit_words(root: &Path) -> Vec<Breach> {
    // Spelled in two parts, or this file would break its own rule.
    let words = [
        concat!("#[ign", "ore"),
        concat!("FIX", "ME"),
        concat!("allow(dead", "_code)"),
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
    ];
    let mut found = Vec::new();
    for path in sources(root) {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let shown = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .display()
            .to_string();
        for (number, line) in text.lines().enumerate() {
            for word in words {
                if line.contains(word) {
                    found.push(format!("{shown}:{}: {word}", number + 1));
                }
            }
        }
    }
    found
}

/// Every text file of the project: what is built, deployed or read.
fn sources(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    folders.push(path);
                }
            } else if ["rs", "toml", "md", "sh", "py", "service", "demo", "xml"]
                .iter()
                .any(|ext| path.extension().is_some_and(|have| have == *ext))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
