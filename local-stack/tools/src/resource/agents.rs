//! Resource agents on this machine: what there is, and what they say of themselves.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::answer::Answer;
use crate::args::Given;
use crate::exit::{self, Failure};
use crate::source;

/// Where agents are unless the environment says otherwise.
const OCF_ROOT: &str = "/usr/lib/ocf";

/// Where fence agents are.
const FENCE_DIRECTORY: &str = "/usr/sbin";

/// How long an agent may take to describe itself; the slowest take a second.
const METADATA_TIME_MAX: Duration = Duration::from_secs(20);

/// How often it is looked whether an agent has ended.
const LOOK: Duration = Duration::from_millis(20);

fn ocf_root() -> String {
    source::variable("OCF_ROOT").unwrap_or_else(|| OCF_ROOT.to_owned())
}

fn agents_directory() -> PathBuf {
    Path::new(&ocf_root()).join("resource.d")
}

/// The names in a directory that fit; a directory that is not there has none.
fn names(directory: &Path, fits: impl Fn(&Path, &str) -> bool) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            (!name.starts_with('.') && fits(&entry.path(), &name)).then_some(name)
        })
        .collect()
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

fn programs(directory: &Path) -> BTreeSet<String> {
    names(directory, |path, _| is_program(path))
}

fn providers() -> BTreeSet<String> {
    names(&agents_directory(), |path, _| path.is_dir())
}

fn units() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for directory in [
        "/etc/systemd/system",
        "/lib/systemd/system",
        "/usr/lib/systemd/system",
    ] {
        let found = names(Path::new(directory), |_, name| name.ends_with(".service"));
        all.extend(
            found
                .iter()
                .filter_map(|n| n.strip_suffix(".service").map(str::to_owned)),
        );
    }
    all
}

/// Answers a question about agents, if the command line asks one.
pub(super) fn look(given: &Given) -> Option<Result<Answer, Failure>> {
    if given.has("list-standards") {
        let standards = ["lsb", "ocf", "service", "stonith", "systemd"];
        return Some(Ok(lines(standards.map(str::to_owned))));
    }
    if given.has("list-ocf-providers") {
        return Some(Ok(lines(providers())));
    }
    if let Some(agent) = given.value("list-ocf-alternatives") {
        let has = |provider: &String| is_program(&agents_directory().join(provider).join(agent));
        return Some(Ok(lines(providers().into_iter().filter(has))));
    }
    if let Some(spec) = given.value("list-agents") {
        return Some(agents(spec));
    }
    given.value("show-metadata").map(metadata)
}

fn lines(list: impl IntoIterator<Item = String>) -> Answer {
    Answer::text(list.into_iter().map(|l| l + "\n").collect::<String>())
}

fn agents(spec: &str) -> Result<Answer, Failure> {
    let (standard, provider) = match spec.split_once(':') {
        Some((standard, provider)) => (standard, Some(provider)),
        None => (spec, None),
    };
    let found = match standard {
        "ocf" => match provider {
            Some(provider) => programs(&agents_directory().join(provider)),
            None => {
                let all = providers().into_iter();
                all.flat_map(|p| programs(&agents_directory().join(p)))
                    .collect()
            }
        },
        "lsb" => programs(Path::new("/etc/init.d")),
        "systemd" => units(),
        "service" => units()
            .into_iter()
            .chain(programs(Path::new("/etc/init.d")))
            .collect(),
        "stonith" => names(Path::new(FENCE_DIRECTORY), |path, name| {
            name.starts_with("fence_") && is_program(path)
        }),
        _ => BTreeSet::new(),
    };
    if found.is_empty() {
        let message = format!("No agents found for standard={standard}");
        return Err(Failure::new(exit::NO_SUCH, message));
    }
    Ok(lines(found))
}

fn metadata(spec: &str) -> Result<Answer, Failure> {
    let parts: Vec<&str> = spec.split(':').collect();
    let plain = |name: &str| !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    if !parts.iter().all(|p| plain(p)) {
        let message = format!("'{spec}' does not specify an agent; write ocf:PROVIDER:TYPE");
        return Err(Failure::new(exit::USAGE, message));
    }
    let (program, argument) = match parts.as_slice() {
        ["ocf", provider, kind] => (agents_directory().join(provider).join(kind), "meta-data"),
        ["stonith", kind] => (Path::new(FENCE_DIRECTORY).join(kind), "metadata"),
        _ => {
            let message =
                format!("Metadata query for {spec} failed: only ocf and stonith agents have any");
            return Err(Failure::new(exit::NO_SUCH, message));
        }
    };
    let failed = |why: String| {
        Failure::new(
            exit::NO_SUCH,
            format!("Metadata query for {spec} failed: {why}"),
        )
    };
    if !is_program(&program) {
        return Err(failed(format!("there is no {}", program.display())));
    }
    let mut command = Command::new(&program);
    if argument == "metadata" {
        command.args(["-o", "metadata"]);
    } else {
        command.arg(argument);
    }
    let root = ocf_root();
    command
        .env("OCF_ROOT", &root)
        .env("OCF_RA_VERSION_MAJOR", "1")
        .env("OCF_RA_VERSION_MINOR", "1")
        .env("OCF_RESOURCE_TYPE", parts.last().copied().unwrap_or(""))
        .env("OCF_RESOURCE_INSTANCE", "metadata")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().map_err(|e| failed(e.to_string()))?;
    let output = child.stdout.take();
    let reader =
        std::thread::spawn(move || output.map_or(Ok(String::new()), std::io::read_to_string));
    let begin = Instant::now();
    loop {
        match child.try_wait().map_err(|e| failed(e.to_string()))? {
            Some(status) if status.success() => break,
            Some(status) => return Err(failed(format!("the agent ended with {status}"))),
            None if begin.elapsed() > METADATA_TIME_MAX => {
                // It is ours, and nobody waits for it any more.
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed("the agent takes too long".to_owned()));
            }
            None => std::thread::sleep(LOOK),
        }
    }
    match reader.join() {
        Ok(Ok(text)) => Ok(Answer::text(text)),
        _ => Err(failed("its answer cannot be read".to_owned())),
    }
}
