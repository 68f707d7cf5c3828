//! Which files there are, and their text.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;

/// Largest configuration file, in bytes. A thousand tickets take about 200 kB.
const FILE_MAX: u64 = 1 << 20;

/// Most files in `conf.d`: one a ticket would be generous.
const FILES_MAX: usize = 256;

/// A file and what it says.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Reads the main file and `conf.d/*.toml` beside it, in order of the name.
pub(crate) fn gather(main: &Path) -> Result<Vec<SourceFile>, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let mut files = Vec::new();
    let mut paths = vec![main.to_owned()];
    match drop_ins(
        &main
            .parent()
            .unwrap_or_else(|| Path::new(""))
            .join("conf.d"),
    ) {
        Ok(more) => paths.extend(more),
        Err(diagnostic) => found.push(*diagnostic),
    }
    for path in paths {
        match read(&path) {
            Ok(text) => files.push(SourceFile { path, text }),
            Err(diagnostic) => found.push(*diagnostic),
        }
    }
    if found.is_empty() {
        Ok(files)
    } else {
        Err(found)
    }
}

/// Names of `*.toml` in a directory that need not exist, sorted. Hidden files are left alone:
/// editors' leftovers.
fn drop_ins(directory: &Path) -> Result<Vec<PathBuf>, Box<Diagnostic>> {
    let cannot = |error: io::Error| {
        let message = format!("the directory cannot be read: {error}");
        Box::new(Diagnostic::about_file(directory, message))
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(cannot(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(cannot)?.path();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        if name.is_some_and(|name| name.ends_with(".toml") && !name.starts_with('.')) {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            let message = format!("more than {FILES_MAX} files");
            let found = Diagnostic::about_file(directory, message).hint("put tickets together");
            return Err(Box::new(found));
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String, Box<Diagnostic>> {
    let cannot = |error: io::Error| {
        let found = Diagnostic::about_file(path, format!("cannot be read: {error}"));
        Box::new(match error.kind() {
            io::ErrorKind::NotFound => found.hint("`ticket init` writes a first configuration"),
            _ => found,
        })
    };
    // Opening a pipe without a writer never ends, and a directory reads badly.
    if !fs::metadata(path).map_err(cannot)?.is_file() {
        return Err(Box::new(Diagnostic::about_file(path, "not a regular file")));
    }
    let file = File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > FILE_MAX {
        let message = format!("larger than {FILE_MAX} bytes");
        let found = Diagnostic::about_file(path, message).hint("split it into conf.d/*.toml");
        return Err(Box::new(found));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let message = "not UTF-8 text".to_owned();
        let found = Diagnostic::at(path.to_owned(), &text, valid..valid + 1, message);
        Box::new(found.hint("save the file as UTF-8"))
    })
}
