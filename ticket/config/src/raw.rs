//! What the files say, key by key, before anything is compared with anything else.

use std::time::Duration;

use toml::de::{DeTable, DeValue};

use crate::files::SourceFile;
use crate::reader::{Aliases, At, Put, Reader, Section, echo};

/// Keys of the top level.
const TOP: [&str; 6] = [
    "cluster",
    "cluster-manager",
    "device",
    "member",
    "paths",
    "ticket",
];
const TOP_ALIASES: Aliases = &[
    ("site", "write [member.NAME] with role = \"site\""),
    ("sites", "write [member.NAME] with role = \"site\""),
    (
        "arbitrator",
        "write [member.NAME] with role = \"arbitrator\"",
    ),
    ("members", "write [member.NAME]"),
    ("tickets", "write [ticket.NAME]"),
    ("name", "write it in [cluster]"),
];

const CLUSTER: [&str; 6] = [
    "name",
    "member",
    "epoch",
    "drift",
    "round-timeout",
    "retries",
];
const CLUSTER_ALIASES: Aliases = &[
    ("timeout", "write round-timeout"),
    (
        "port",
        "write the port in a member's address, such as \"b.example:9929\"",
    ),
    (
        "authfile",
        "members have certificates; write pki in [paths]",
    ),
    ("site", "write member = \"NAME\""),
];

const MEMBER: [&str; 3] = ["role", "address", "listen"];
const MEMBER_ALIASES: Aliases = &[
    ("addresses", "write address; it may be a list"),
    (
        "port",
        "write the port in the address, such as \"b.example:9929\"",
    ),
    ("host", "write address"),
];

const TICKET: [&str; 7] = [
    "mode",
    "lease",
    "acquire-after",
    "renew-every",
    "stop-budget",
    "prefer",
    "loss-policy",
];
const TICKET_ALIASES: Aliases = &[
    ("expire", "write lease"),
    ("renewal-freq", "write renew-every"),
    ("timeout", "write round-timeout in [cluster]"),
    ("retries", "write retries in [cluster]"),
    ("weights", "write prefer = [\"SITE\", ...]"),
    ("sites", "write prefer = [\"SITE\", ...]"),
];

const DEVICE: [&str; 3] = ["nodes", "lease", "prefer"];

const PATHS: [&str; 3] = ["pki", "state", "run"];
const MANAGER: [&str; 5] = ["kind", "socket", "guard", "command", "timeout"];

/// `[cluster]`.
#[derive(Default)]
pub(crate) struct RawCluster {
    pub(crate) name: Option<Put<String>>,
    pub(crate) member: Option<Put<String>>,
    pub(crate) epoch: Option<Put<u64>>,
    pub(crate) drift: Option<Put<String>>,
    pub(crate) round_timeout: Option<Put<Duration>>,
    pub(crate) retries: Option<Put<u64>>,
}

/// `[member.NAME]`.
pub(crate) struct RawMember {
    pub(crate) name: Put<String>,
    pub(crate) role: Option<Put<String>>,
    pub(crate) address: Option<Put<Vec<Put<String>>>>,
    pub(crate) listen: Option<Put<Vec<Put<String>>>>,
}

/// `[ticket.NAME]`.
pub(crate) struct RawTicket {
    pub(crate) name: Put<String>,
    pub(crate) mode: Option<Put<String>>,
    pub(crate) lease: Option<Put<Duration>>,
    pub(crate) acquire_after: Option<Put<Duration>>,
    pub(crate) renew_every: Option<Put<Duration>>,
    pub(crate) stop_budget: Option<Put<Duration>>,
    pub(crate) prefer: Option<Put<Vec<Put<String>>>>,
    pub(crate) loss_policy: Option<Put<String>>,
}

/// `[device.SITE]`.
pub(crate) struct RawDevice {
    pub(crate) site: Put<String>,
    pub(crate) nodes: Option<Put<Vec<Put<String>>>>,
    pub(crate) lease: Option<Put<Duration>>,
    pub(crate) prefer: Option<Put<String>>,
}

/// `[paths]`.
#[derive(Default)]
pub(crate) struct RawPaths {
    pub(crate) pki: Option<Put<String>>,
    pub(crate) state: Option<Put<String>>,
    pub(crate) run: Option<Put<String>>,
}

/// `[cluster-manager]`.
#[derive(Default)]
pub(crate) struct RawManager {
    pub(crate) section: Option<At>,
    pub(crate) kind: Option<Put<String>>,
    pub(crate) socket: Option<Put<String>>,
    pub(crate) guard: Option<Put<String>>,
    pub(crate) command: Option<Put<Vec<Put<String>>>>,
    pub(crate) timeout: Option<Put<Duration>>,
}

/// All files together.
#[derive(Default)]
pub(crate) struct Raw {
    pub(crate) cluster: RawCluster,
    pub(crate) members: Vec<RawMember>,
    pub(crate) tickets: Vec<RawTicket>,
    pub(crate) devices: Vec<RawDevice>,
    pub(crate) paths: RawPaths,
    pub(crate) manager: RawManager,
}

/// Reads every file.
pub(crate) fn read(reader: &mut Reader<'_>) -> Raw {
    let mut raw = Raw::default();
    let files = reader.files;
    for (file, source) in files.iter().enumerate() {
        let (document, errors) = DeTable::parse_recoverable(&source.text);
        let twice: Vec<Twice<'_>> = errors
            .iter()
            .filter_map(|error| Twice::of(error, source))
            .collect();
        for error in &errors {
            let at = At {
                file,
                span: error.span().unwrap_or(0..0),
            };
            match Twice::of(error, source) {
                None => {
                    reader.syntax_error(&at, format!("not TOML: {}", error.message()), None);
                }
                // What stands below a table's second header is not given twice: the header is.
                Some(one) if one.is_below(&twice) => {}
                Some(one) => {
                    let (message, hint) = one.explain();
                    reader.syntax_error(&at, message, Some(hint));
                }
            }
        }
        read_file(reader, file, document.get_ref(), &mut raw);
    }
    // Findings name the first and the second of two; the parser sorts by name.
    raw.members
        .sort_by_key(|member| (member.name.at.file, member.name.at.span.start));
    raw.tickets
        .sort_by_key(|ticket| (ticket.name.at.file, ticket.name.at.span.start));
    raw
}

/// A key or a table that one file gives twice.
struct Twice<'a> {
    /// The line of the second one.
    line: &'a str,
    /// Number of that line, from 0.
    number: usize,
    /// Number of the line of the table's header above it.
    header: Option<usize>,
}

impl<'a> Twice<'a> {
    /// `None` when the parser's finding is another one.
    fn of(error: &toml::de::Error, source: &'a SourceFile) -> Option<Self> {
        let start = error.span().map_or(0, |span| span.start);
        let before = source
            .text
            .get(..start)
            .filter(|_| error.message() == "duplicate key")?;
        let number = before.matches('\n').count();
        let is_header = |line: &str| line.trim_start().starts_with('[');
        let mut lines = source.text.lines().enumerate().take(number + 1);
        let header = lines.clone().filter(|(_, line)| is_header(line)).last();
        let line = lines.nth(number).map(|(_, line)| line.trim())?;
        Some(Self {
            line,
            number,
            header: header.map(|(number, _)| number),
        })
    }

    /// Whether it stands in a table that is itself given twice.
    fn is_below(&self, all: &[Self]) -> bool {
        let header = self.header.filter(|header| *header != self.number);
        header.is_some_and(|header| all.iter().any(|other| other.number == header))
    }

    /// What is wrong, and what to write instead.
    fn explain(&self) -> (String, String) {
        let table = self
            .line
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next());
        if let Some((kind, name)) = table.and_then(|table| table.split_once('.')) {
            let hint = "give it another name, or put both tables together";
            return (
                format!("duplicate {} \"{}\"", echo(kind), echo(name)),
                hint.to_owned(),
            );
        }
        let key = table
            .or_else(|| self.line.split('=').next())
            .unwrap_or_default();
        let what = format!("\"{}\" is given twice in one file", echo(key.trim()));
        (what, "remove one of them, or put both together".to_owned())
    }
}

fn read_file(reader: &mut Reader<'_>, file: usize, document: &DeTable<'_>, raw: &mut Raw) {
    let top = Section {
        file,
        name: "the top level".to_owned(),
        table: document,
    };
    reader.only(&top, &TOP, TOP_ALIASES);
    for (key, value) in document {
        let name = key.get_ref().as_ref();
        if !TOP.contains(&name) {
            continue;
        }
        let at = At {
            file,
            span: key.span(),
        };
        let DeValue::Table(table) = value.get_ref() else {
            let form = match name {
                "member" | "ticket" => format!("[{name}.NAME]"),
                "device" => "[device.SITE]".to_owned(),
                _ => format!("[{name}]"),
            };
            let hint = match name {
                "member" => "write member = \"NAME\" in [cluster], or [member.NAME]".to_owned(),
                _ => format!("write {form}"),
            };
            reader.error(&at, format!("\"{name}\" must be a table"), hint);
            continue;
        };
        let section = Section {
            file,
            name: format!("[{name}]"),
            table,
        };
        match name {
            "cluster" => read_cluster(reader, &section, &mut raw.cluster),
            "member" => read_members(reader, &section, raw),
            "ticket" => read_tickets(reader, &section, raw),
            "device" => read_devices(reader, &section, raw),
            "paths" => read_paths(reader, &section, &mut raw.paths),
            _ => read_manager(reader, &section, at, &mut raw.manager),
        }
    }
}

/// Takes a value unless an earlier file has given one.
fn once<T>(reader: &mut Reader<'_>, key: &str, slot: &mut Option<Put<T>>, new: Option<Put<T>>) {
    let Some(new) = new else { return };
    if let Some(old) = slot {
        let first = reader.place(&old.at);
        let what = format!("{key} is given twice; first at {first}");
        reader.error(&new.at, what, "remove one of them");
        return;
    }
    *slot = Some(new);
}

fn read_cluster(reader: &mut Reader<'_>, section: &Section<'_>, raw: &mut RawCluster) {
    reader.only(section, &CLUSTER, CLUSTER_ALIASES);
    let name = reader.text(section, "name");
    once(reader, "name", &mut raw.name, name);
    let member = reader.text(section, "member");
    once(reader, "member", &mut raw.member, member);
    let epoch = reader.number(section, "epoch");
    once(reader, "epoch", &mut raw.epoch, epoch);
    let drift = reader.text(section, "drift");
    once(reader, "drift", &mut raw.drift, drift);
    let round_timeout = reader.duration(section, "round-timeout");
    once(
        reader,
        "round-timeout",
        &mut raw.round_timeout,
        round_timeout,
    );
    let retries = reader.number(section, "retries");
    once(reader, "retries", &mut raw.retries, retries);
}

fn read_members(reader: &mut Reader<'_>, section: &Section<'_>, raw: &mut Raw) {
    let example = "[member.NAME] with role and address below it";
    for (name, section) in reader.tables(section, example) {
        reader.only(&section, &MEMBER, MEMBER_ALIASES);
        raw.members.push(RawMember {
            name,
            role: reader.text(&section, "role"),
            address: reader.texts(&section, "address"),
            listen: reader.texts(&section, "listen"),
        });
    }
}

fn read_tickets(reader: &mut Reader<'_>, section: &Section<'_>, raw: &mut Raw) {
    let example = "[ticket.NAME] with lease below it";
    for (name, section) in reader.tables(section, example) {
        reader.only(&section, &TICKET, TICKET_ALIASES);
        raw.tickets.push(RawTicket {
            name,
            mode: reader.text(&section, "mode"),
            lease: reader.duration(&section, "lease"),
            acquire_after: reader.duration(&section, "acquire-after"),
            renew_every: reader.duration(&section, "renew-every"),
            stop_budget: reader.duration(&section, "stop-budget"),
            prefer: reader.texts(&section, "prefer"),
            loss_policy: reader.text(&section, "loss-policy"),
        });
    }
}

fn read_devices(reader: &mut Reader<'_>, section: &Section<'_>, raw: &mut Raw) {
    let example = "[device.SITE] with nodes below it";
    for (site, section) in reader.tables(section, example) {
        reader.only(&section, &DEVICE, &[]);
        raw.devices.push(RawDevice {
            site,
            nodes: reader.texts(&section, "nodes"),
            lease: reader.duration(&section, "lease"),
            prefer: reader.text(&section, "prefer"),
        });
    }
}

fn read_paths(reader: &mut Reader<'_>, section: &Section<'_>, raw: &mut RawPaths) {
    reader.only(section, &PATHS, &[]);
    let pki = reader.text(section, "pki");
    once(reader, "pki", &mut raw.pki, pki);
    let state = reader.text(section, "state");
    once(reader, "state", &mut raw.state, state);
    let run = reader.text(section, "run");
    once(reader, "run", &mut raw.run, run);
}

fn read_manager(reader: &mut Reader<'_>, section: &Section<'_>, at: At, raw: &mut RawManager) {
    reader.only(section, &MANAGER, &[]);
    raw.section.get_or_insert(at);
    let kind = reader.text(section, "kind");
    once(reader, "kind", &mut raw.kind, kind);
    let socket = reader.text(section, "socket");
    once(reader, "socket", &mut raw.socket, socket);
    let guard = reader.text(section, "guard");
    once(reader, "guard", &mut raw.guard, guard);
    let command = reader.texts(section, "command");
    once(reader, "command", &mut raw.command, command);
    let timeout = reader.duration(section, "timeout");
    once(reader, "timeout", &mut raw.timeout, timeout);
}
