//! What one member needs: its configuration, its certificate, and the mark that it never voted.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use link::Identity;
use link::ca::{Ca, CaError};
use ticket_admin::{Code, Failure};
use ticket_config::{Member, Role};

/// Directory of the CA below the one that `ticket init` makes.
pub(crate) const CA: &str = "ca";
/// The shared configuration there.
pub(crate) const SHARED: &str = "interlock.toml";
/// How members' directories are laid out, in a file of the CA's directory.
pub(crate) const LAYOUT: &str = "layout";

/// Where a member's files are to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// To be unpacked at `/` of the member's machine.
    System,
    /// To be used where they are.
    Local,
}

impl Layout {
    /// The word in the layout file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Local => "local",
        }
    }

    /// The configuration file of a member's directory.
    pub(crate) fn config(self, member: &Path) -> PathBuf {
        match self {
            Self::System => member.join("etc/interlock").join(SHARED),
            Self::Local => member.join(SHARED),
        }
    }

    /// The certificates' directory of a member's directory.
    pub(crate) fn pki(self, member: &Path) -> PathBuf {
        match self {
            Self::System => member.join("etc/interlock/pki"),
            Self::Local => member.join("pki"),
        }
    }

    /// The state directory of a member's directory.
    fn state(self, member: &Path) -> PathBuf {
        match self {
            Self::System => member.join("var/lib/interlock"),
            Self::Local => member.join("state"),
        }
    }
}

/// What `conf.d/member.toml` says but for the member's name.
pub(crate) fn own_tables(layout: Layout, role: Role, cluster_manager: &str) -> String {
    let mut text = String::new();
    if layout == Layout::Local {
        text.push_str("\n[paths]\npki = \"pki\"\nstate = \"state\"\nrun = \"run\"\n");
    }
    if role != Role::Site {
        return text;
    }
    let run = match layout {
        Layout::System => "/run/interlock",
        Layout::Local => "run",
    };
    text.push_str("\n[cluster-manager]\n");
    text.push_str(&match cluster_manager {
        "local-stack" => format!(
            "kind = \"local-stack\"\nsocket = \"{run}/local-stack.sock\"\nguard = \"{run}/guard.sock\"\n"
        ),
        "none" => "kind = \"none\"\n".to_owned(),
        command => format!("kind = \"command\"\ncommand = [{}]\n", quote(command)),
    });
    text
}

/// A text as TOML writes it.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Writes a member's directory. The mark says that the member may start without a state file: only
/// for one that has never voted.
pub(crate) fn write(
    directory: &Path,
    layout: Layout,
    shared: &str,
    own: &str,
    member: &Member,
) -> Result<(), Failure> {
    let config = layout.config(directory);
    let parent = config.parent().unwrap_or(directory);
    make_directory(&parent.join("conf.d"))?;
    make_directory(&layout.pki(directory))?;
    make_directory(&layout.state(directory))?;
    if layout == Layout::Local {
        make_directory(&directory.join("run"))?;
    }
    write_file(&config, shared)?;
    let text = format!(
        "# Which member this machine is. All else is the same at every member.\n[cluster]\nmember = \
         {}\n{own}",
        quote(&member.name)
    );
    write_file(&parent.join("conf.d/member.toml"), &text)?;
    write_file(
        &layout.state(directory).join("first-start"),
        "This member has never voted. Removed at the first start; never make it again.\n",
    )
}

/// Makes a certificate for a member and puts it, and the CA's, into a directory of its own.
pub(crate) fn certify(
    ca: &Ca,
    cluster: &str,
    member: &Member,
    validity: Duration,
    pki: &Path,
) -> Result<(), Failure> {
    certify_as(
        ca,
        cluster,
        (member.role.name(), &member.name),
        validity,
        pki,
    )
}

/// The same for anybody with a role and a name.
pub(crate) fn certify_as(
    ca: &Ca,
    cluster: &str,
    (role, name): (&str, &str),
    validity: Duration,
    pki: &Path,
) -> Result<(), Failure> {
    let identity = Identity::new(cluster, role, name)
        .map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
    let issued = ca.issue(&identity, validity).map_err(ca_failure)?;
    issued.save(pki).map_err(ca_failure)?;
    let authority = pki.join(link::ca::CA_CERTIFICATE);
    if authority.exists() {
        return Ok(());
    }
    write_file(&authority, ca.certificate_pem())
}

/// The CA's complaint with an exit code.
pub(crate) fn ca_failure(error: CaError) -> Failure {
    let code = match &error {
        CaError::Name(_) => Code::Usage,
        CaError::Exists(_) => Code::Exists,
        CaError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => Code::NoInput,
        CaError::File { .. } => Code::Io,
        CaError::KeyExposed { .. } => Code::Permission,
        CaError::Malformed { .. } => Code::Data,
        CaError::Generate(_) => Code::Bug,
    };
    Failure::new(code, error.to_string())
}

/// Makes a directory and those above it, for its owner alone.
pub(crate) fn make_directory(path: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| cannot_create(path, &error))
}

/// Writes a new file and makes sure that it is on the disk.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| cannot_create(path, &error))
}

/// The system refuses to make something.
pub(crate) fn cannot_create(path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::new(Code::CannotCreate, format!("{}: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::StorageFull => failure.hint("make room on the disk, then do it again"),
        _ => failure,
    }
}

/// Removes what was half made; the failure that led here matters more than one of this.
pub(crate) fn clean_up(path: &Path) {
    let _left_behind = fs::remove_dir_all(path);
}
