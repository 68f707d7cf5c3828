//! Where a CIB comes from: a file (also compressed), standard input, a text, the file that the
//! environment names, or the local stack of this node.

use std::io::Read as _;
use std::path::PathBuf;

use cib::Cib;

use crate::exit::{self, Failure};
use crate::live;

/// Longest input read, compressed or not: more than the reader of CIBs accepts, so that its message
/// about the size is the one that is seen.
const INPUT_BYTES_MAX: u64 = 128 << 20;

/// Where shadow CIBs are kept unless the environment says otherwise.
const SHADOW_DIRECTORY: &str = "/var/lib/pacemaker/cib";

/// An environment variable that is set and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The directory of shadow CIBs.
pub(crate) fn shadow_directory() -> PathBuf {
    let directory = variable("CIB_shadow_dir");
    PathBuf::from(directory.unwrap_or_else(|| SHADOW_DIRECTORY.to_owned()))
}

/// Where the CIB is: in the file that takes the place of a cluster (`CIB_file`, or the shadow CIB in
/// use), or in the local stack of this node, in the words of [`live::place`].
///
/// # Errors
/// Neither is there.
pub(crate) fn cib_file() -> Result<String, Failure> {
    if let Some(name) = variable("CIB_shadow") {
        let path = shadow_directory().join(format!("shadow.{name}"));
        return Ok(path.to_string_lossy().into_owned());
    }
    variable("CIB_file")
        .or_else(live::place)
        .ok_or_else(no_cluster)
}

/// There is no cluster to talk to.
pub(crate) fn no_cluster() -> Failure {
    Failure::new(
        exit::DISCONNECTED,
        "Could not connect to a cluster: no local stack runs on this node; name its socket with \
         INTERLOCK_STACK_SOCKET in the environment, or a file with CIB_file=FILE, or with -x FILE where \
         the tool takes it",
    )
}

/// Reads a file; `-` is standard input. What begins like a bzip2 file is uncompressed.
///
/// # Errors
/// The file cannot be read, is not text, or is longer than anything sensible.
pub(crate) fn read(path: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let done = if path == "-" {
        let mut input = std::io::stdin().lock().take(INPUT_BYTES_MAX + 1);
        input.read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| {
            let length = file.metadata()?.len().min(INPUT_BYTES_MAX);
            bytes.reserve_exact(usize::try_from(length).unwrap_or(0) + 1);
            file.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes)
        })
    };
    done.map_err(|e| Failure::read(path, &e))?;
    if bytes.starts_with(b"BZh") {
        let mut plain = Vec::new();
        let mut reader = bzip2::read::MultiBzDecoder::new(&bytes[..]).take(INPUT_BYTES_MAX + 1);
        (reader.read_to_end(&mut plain)).map_err(|e| Failure::read(path, &e))?;
        bytes = plain;
    }
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        let message = format!("{path} is longer than {INPUT_BYTES_MAX} bytes, which no CIB is");
        return Err(Failure::new(exit::DATA, message));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let message = format!("{path} is not UTF-8 from byte {at} on");
        Failure::new(exit::DATA, message)
    })
}

/// Reads a CIB from a file.
///
/// # Errors
/// As [`read`], and when the text is not a CIB: with file, line and column.
pub(crate) fn read_cib(path: &str) -> Result<Cib, Failure> {
    if live::is(path) {
        return live::read(path);
    }
    let name = if path == "-" { "stdin" } else { path };
    parse_cib(read(path)?, name)
}

/// Takes a text for a CIB; `name` is what it is called in messages.
///
/// # Errors
/// The text is not a CIB.
pub(crate) fn parse_cib(text: String, name: &str) -> Result<Cib, Failure> {
    Cib::parse_owned(text, Some(name)).map_err(|e| Failure::new(exit::DATA, e.to_string()))
}

/// Writes a file. One that exists is written in place, not replaced by a new one: programs that work
/// on a copy, such as pcs, keep it open and read it again.
///
/// # Errors
/// The disk says no; the file may be cut short then.
pub(crate) fn write(path: &str, text: &str) -> Result<(), Failure> {
    put(path, text, true)
}

/// Like [`write`], for what can be made again at any time, such as a graph: nobody waits for the disk.
///
/// # Errors
/// As [`write`].
pub(crate) fn write_derived(path: &str, text: &str) -> Result<(), Failure> {
    put(path, text, false)
}

fn put(path: &str, text: &str, sync: bool) -> Result<(), Failure> {
    if live::is(path) {
        let message = "a running cluster is not written like a file; name one";
        return Err(Failure::new(exit::USAGE, message));
    }
    if path == "-" {
        print!("{text}");
        return Ok(());
    }
    let written = (|| {
        let mut file = std::fs::File::create(path)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        // A pipe or a terminal has nothing to be synced.
        if sync && file.metadata()?.is_file() {
            file.sync_all()?;
        }
        Ok(())
    })();
    written.map_err(|e| Failure::write(path, &e))
}
