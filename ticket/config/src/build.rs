//! From what the files say to a configuration, with defaults and checks.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::check::{self, NameKind, TicketPlaces};
use crate::device;
use crate::diagnostic::{Diagnostic, Severity};
use crate::files::SourceFile;
use crate::raw::{self, Raw, RawCluster, RawManager, RawMember, RawPaths, RawTicket};
use crate::reader::{At, Put, Reader, echo};
use crate::suggest::closest;
use crate::timings::GUARD_MARGIN;
use crate::{
    ADDRESSES_MAX, Address, Cluster, ClusterManager, Config, LossPolicy, MEMBERS_MAX, Member, Mode,
    Options, Paths, Role, TICKETS_MAX, Ticket,
};

/// A badly broken quartz is off by a thousandth; ten times that costs nothing but half a second in a
/// minute.
const DRIFT_PPM: u32 = 10_000;

/// More than this is no clock.
const DRIFT_PPM_MAX: u32 = 100_000;

/// Booth's default is ten minutes; half a minute rides out a router's restart of its sessions.
const LEASE: Duration = Duration::from_secs(30);

/// Long enough for most services to stop.
const ACQUIRE_AFTER: Duration = Duration::from_secs(20);

/// Round timeout: a tenth of the shortest lease, within these bounds. Longer than the longest round
/// trip of a planet-wide network, and long enough for a busy machine to answer.
const ROUND_TIMEOUT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Two losses in a row are ordinary on a busy line; three are a cut.
const RETRIES: u32 = 3;

/// More repetitions than this are a misunderstanding.
const RETRIES_MAX: u64 = 100;

/// How long one call of the cluster manager may take.
const MANAGER_TIMEOUT: Duration = Duration::from_secs(10);

/// Most words of the cluster manager's command.
const COMMAND_MAX: usize = 32;

/// Puts the files together.
pub(crate) fn build(
    main: &Path,
    files: &[SourceFile],
    options: Options<'_>,
) -> Result<Config, Vec<Diagnostic>> {
    let mut reader = Reader::new(files);
    let raw = raw::read(&mut reader);
    let mut config = assemble(&mut reader, main, &raw);
    config.member = which_member(&mut reader, &config, raw.cluster.member.as_ref(), options);
    // What is missing from a file that cannot be read in full may be there.
    if !reader.is_broken() {
        whole(&mut reader, &config, &raw);
    }
    let found = reader.finish(main);
    if found
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error)
    {
        return Err(found);
    }
    config.warnings = found;
    Ok(config)
}

fn assemble(reader: &mut Reader<'_>, main: &Path, raw: &Raw) -> Config {
    let mut all_addresses = Vec::new();
    let mut members: Vec<Member> = Vec::new();
    for one in &raw.members {
        members.push(member(reader, one, &mut all_addresses));
    }
    check::addresses(reader, &all_addresses);
    check::duplicates(
        reader,
        |_| "member",
        raw.members.iter().map(|member| &member.name),
    );
    check::duplicates(
        reader,
        |_| "ticket",
        raw.tickets.iter().map(|ticket| &ticket.name),
    );
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let mut tickets: Vec<Ticket> = raw.tickets.iter().map(|one| ticket(reader, one)).collect();
    let cluster = cluster(reader, &raw.cluster, &tickets);
    for (ticket, one) in tickets.iter().zip(&raw.tickets) {
        check::timing(reader, &cluster, ticket, &places(one));
    }
    tickets.sort_by(|a, b| a.name.cmp(&b.name));
    let devices = raw.devices.iter().map(|one| device::device(reader, one));
    let devices = devices.collect();
    let base = main.parent().unwrap_or_else(|| Path::new(""));
    Config {
        cluster,
        member: None,
        members,
        tickets,
        devices,
        paths: paths(reader, &raw.paths, base),
        cluster_manager: manager(reader, &raw.manager, base),
        files: reader.files.iter().map(|file| file.path.clone()).collect(),
        warnings: Vec::new(),
    }
}

/// Checks of the whole.
fn whole(reader: &mut Reader<'_>, config: &Config, raw: &Raw) {
    if raw.cluster.name.is_none() {
        reader.error_overall(
            "the cluster has no name",
            "write [cluster] with name = \"...\"",
        );
    }
    let limits = [
        ("members", config.members.len(), MEMBERS_MAX),
        ("tickets", config.tickets.len(), TICKETS_MAX),
    ];
    for (what, there, most) in limits {
        if there > most {
            let what = format!("{there} {what}, and {most} is the most");
            reader.error_overall(what, "split the cluster");
        }
    }
    let first_member = raw.members.first().map(|member| &member.name.at);
    check::members(reader, config, first_member);
    for ticket in &raw.tickets {
        if let Some(prefer) = &ticket.prefer {
            check::prefer(reader, config, &prefer.value);
        }
    }
    device::beside(reader, config, &raw.devices);
    let run = raw.paths.run.as_ref().map(|run| &run.at);
    check::sockets(reader, &config.paths, config, run);
}

fn which_member(
    reader: &mut Reader<'_>,
    config: &Config,
    written: Option<&Put<String>>,
    options: Options<'_>,
) -> Option<String> {
    let names: Vec<&str> = config
        .members
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    let hint = |name: &str| match closest(name, names.iter().copied()) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => format!("the members are {}", names.join(", ")),
    };
    if let Some(name) = options.member {
        if names.contains(&name) {
            return Some(name.to_owned());
        }
        let what = format!("--member {} is not a member of this cluster", echo(name));
        reader.error_overall(what, hint(name));
        return None;
    }
    match written {
        Some(name) if names.contains(&name.value.as_str()) => Some(name.value.clone()),
        Some(name) => {
            let what = format!(
                "member = \"{}\" is not a member of this cluster",
                echo(&name.value)
            );
            let hint = hint(&name.value);
            reader.error(&name.at, what, hint);
            None
        }
        None => {
            if options.need_member && !reader.is_broken() {
                let what = "it is not said which member this machine is";
                let hint = "write member = \"NAME\" in [cluster] (conf.d/member.toml is a good \
                            place), or start with --member NAME";
                reader.error_overall(what, hint);
            }
            None
        }
    }
}

fn cluster(reader: &mut Reader<'_>, raw: &RawCluster, tickets: &[Ticket]) -> Cluster {
    if let Some(name) = &raw.name {
        check::name(reader, "cluster", name, NameKind::Identity);
    }
    let retries = raw.retries.as_ref().and_then(|retries| {
        let fits = (1..=RETRIES_MAX).contains(&retries.value);
        if !fits {
            let what = format!("retries = {} is out of range", retries.value);
            reader.error(&retries.at, what, format!("write 1 to {RETRIES_MAX}"));
        }
        u32::try_from(retries.value).ok().filter(|_| fits)
    });
    if let Some(round) = &raw.round_timeout
        && round.value < Duration::from_millis(1)
    {
        let what = "round-timeout is too short for any network";
        reader.error(
            &round.at,
            what,
            "write about twice the longest round-trip time",
        );
    }
    let shortest = tickets
        .iter()
        .filter(|it| it.mode == Mode::Auto)
        .map(|it| it.lease)
        .min()
        .unwrap_or(LEASE);
    let derived = (shortest / 10).clamp(ROUND_TIMEOUT.0, ROUND_TIMEOUT.1);
    Cluster {
        name: raw
            .name
            .as_ref()
            .map(|name| name.value.clone())
            .unwrap_or_default(),
        epoch: raw.epoch.as_ref().map_or(1, |epoch| epoch.value),
        drift_ppm: raw
            .drift
            .as_ref()
            .and_then(|it| drift(reader, it))
            .unwrap_or(DRIFT_PPM),
        round_timeout: raw.round_timeout.as_ref().map_or(derived, |it| it.value),
        retries: retries.unwrap_or(RETRIES),
    }
}

/// `"1%"`, `"0.5 %"`, `"500ppm"`.
fn drift(reader: &mut Reader<'_>, drift: &Put<String>) -> Option<u32> {
    let text = drift.value.trim();
    let scaled = text
        .strip_suffix('%')
        .map(|number| (number, 10_000.0))
        .or_else(|| text.strip_suffix("ppm").map(|number| (number, 1.0)));
    let plain = |number: &str| {
        number
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let ppm = scaled
        .map(|(number, factor)| (number.trim(), factor))
        .filter(|(number, _)| plain(number))
        .and_then(|(number, factor)| number.parse::<f64>().ok().map(|number| number * factor));
    let most = f64::from(DRIFT_PPM_MAX);
    match ppm {
        // Rounded up, to the safe side, and far below the limit of u32.
        Some(ppm) if ppm > 0.0 && ppm <= most => Some(ppm.ceil() as u32),
        _ => {
            let what = format!("drift \"{}\" is not a share up to 10%", echo(text));
            reader.error(&drift.at, what, "write \"1%\" or \"500ppm\"");
            None
        }
    }
}

fn member(
    reader: &mut Reader<'_>,
    raw: &RawMember,
    all_addresses: &mut Vec<(String, Put<Address>)>,
) -> Member {
    let name = raw.name.value.clone();
    check::name(reader, "member", &raw.name, NameKind::Identity);
    let role = match &raw.role {
        None => {
            let what = format!("member \"{}\" has no role", echo(&name));
            reader.error(
                &raw.name.at,
                what,
                "write role = \"site\" or role = \"arbitrator\"",
            );
            Role::Site
        }
        Some(role) => {
            let words = [("site", Role::Site), ("arbitrator", Role::Arbitrator)];
            word(reader, "role", role, &words).unwrap_or(Role::Site)
        }
    };
    let mut addresses = Vec::new();
    let written = raw.address.as_ref();
    if written.is_none_or(|list| list.value.is_empty()) {
        let at = written.map_or(&raw.name.at, |list| &list.at);
        let what = format!("member \"{}\" has no address", echo(&name));
        reader.error(at, what, "write address = \"HOST:9929\"");
    }
    for text in written.into_iter().flat_map(|list| &list.value) {
        match Address::parse(text.value.trim()) {
            Ok(address) => {
                let put = Put {
                    value: address.clone(),
                    at: text.at.clone(),
                };
                all_addresses.push((name.clone(), put));
                addresses.push(address);
            }
            Err(why) => {
                let what = format!("address \"{}\": {why}", echo(&text.value));
                let hint = "write HOST:PORT, IPV4:PORT, [IPV6]:PORT or srv:NAME";
                reader.error(&text.at, what, hint);
            }
        }
    }
    if addresses.len() > ADDRESSES_MAX {
        let what = format!(
            "{} addresses, and {ADDRESSES_MAX} is the most",
            addresses.len()
        );
        reader.error(&raw.name.at, what, "keep those that fail independently");
    }
    let listen = listen(reader, raw, &addresses);
    Member {
        name,
        role,
        addresses,
        listen,
    }
}

fn listen(reader: &mut Reader<'_>, raw: &RawMember, addresses: &[Address]) -> Vec<SocketAddr> {
    let mut listen: Vec<SocketAddr> = Vec::new();
    for text in raw.listen.iter().flat_map(|list| &list.value) {
        match text.value.trim().parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => listen.push(address),
            _ => {
                let what = format!(
                    "listen \"{}\" is not a numeric address and port",
                    echo(&text.value)
                );
                reader.error(&text.at, what, "write \"0.0.0.0:9929\" or \"[::]:9929\"");
            }
        }
    }
    if raw.listen.is_none() {
        listen.extend(addresses.iter().map(Address::listen));
    }
    listen.sort_unstable();
    listen.dedup();
    listen
}

fn ticket(reader: &mut Reader<'_>, raw: &RawTicket) -> Ticket {
    check::name(reader, "ticket", &raw.name, NameKind::Ticket);
    let modes = [("auto", Mode::Auto), ("manual", Mode::Manual)];
    let policies = [
        ("stop", LossPolicy::Stop),
        ("demote", LossPolicy::Demote),
        ("fence", LossPolicy::Fence),
        ("freeze", LossPolicy::Freeze),
    ];
    let mode = raw
        .mode
        .as_ref()
        .and_then(|mode| word(reader, "mode", mode, &modes));
    let policy = raw.loss_policy.as_ref();
    let lease = raw.lease.as_ref().map_or(LEASE, |it| it.value);
    let acquire_after = raw
        .acquire_after
        .as_ref()
        .map_or(ACQUIRE_AFTER, |it| it.value);
    // Not given: a quarter of the time, at least the guard's, is kept for the guard.
    let reserve = (acquire_after / 4).max(GUARD_MARGIN);
    let stop_budget = acquire_after.saturating_sub(reserve);
    Ticket {
        name: raw.name.value.clone(),
        mode: mode.unwrap_or(Mode::Auto),
        lease,
        acquire_after,
        renew_every: raw.renew_every.as_ref().map_or(lease / 3, |it| it.value),
        stop_budget: raw.stop_budget.as_ref().map_or(stop_budget, |it| it.value),
        prefer: raw
            .prefer
            .iter()
            .flat_map(|list| list.value.iter().map(|name| name.value.clone()))
            .collect(),
        loss_policy: policy.and_then(|policy| word(reader, "loss-policy", policy, &policies)),
    }
}

fn places(raw: &RawTicket) -> TicketPlaces<'_> {
    fn at<T>(put: Option<&Put<T>>) -> Option<&At> {
        put.map(|put| &put.at)
    }
    TicketPlaces {
        name: &raw.name.at,
        lease: at(raw.lease.as_ref()),
        acquire_after: at(raw.acquire_after.as_ref()),
        renew_every: at(raw.renew_every.as_ref()),
        stop_budget: at(raw.stop_budget.as_ref()),
    }
}

/// One of a few words.
fn word<T: Copy>(
    reader: &mut Reader<'_>,
    key: &str,
    written: &Put<String>,
    words: &[(&'static str, T)],
) -> Option<T> {
    let found = words.iter().find(|(word, _)| *word == written.value);
    if found.is_none() {
        let what = format!("{key} = \"{}\" is not known", echo(&written.value));
        let choices: Vec<String> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let hint = match closest(&written.value, words.iter().map(|(word, _)| *word)) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("write {}", choices.join(" or ")),
        };
        reader.error(&written.at, what, hint);
    }
    found.map(|(_, value)| *value)
}

fn paths(reader: &mut Reader<'_>, raw: &RawPaths, base: &Path) -> Paths {
    let mut take = |key: &str, written: Option<&Put<String>>, default: &str| {
        path(reader, key, written, base).unwrap_or_else(|| PathBuf::from(default))
    };
    Paths {
        pki: take("pki", raw.pki.as_ref(), "/etc/interlock/pki"),
        state: take("state", raw.state.as_ref(), "/var/lib/interlock"),
        run: take("run", raw.run.as_ref(), "/run/interlock"),
    }
}

/// A path; a relative one is relative to the main file, wherever a daemon is started.
fn path(
    reader: &mut Reader<'_>,
    key: &str,
    written: Option<&Put<String>>,
    base: &Path,
) -> Option<PathBuf> {
    let written = written?;
    if written.value.is_empty() || written.value.contains('\0') {
        reader.error(
            &written.at,
            format!("{key} is not a path"),
            format!("remove {key}, or name one"),
        );
        return None;
    }
    Some(base.join(&written.value))
}

fn manager(reader: &mut Reader<'_>, raw: &RawManager, base: &Path) -> ClusterManager {
    let Some(section) = &raw.section else {
        return ClusterManager::None;
    };
    let timeout = raw.timeout.as_ref().map_or(MANAGER_TIMEOUT, |it| it.value);
    if let Some(written) = raw.timeout.as_ref().filter(|it| it.value.is_zero()) {
        reader.error(
            &written.at,
            "timeout must be longer than nothing",
            "write \"10s\"",
        );
    }
    let Some(kind) = &raw.kind else {
        let what = "[cluster-manager] has no kind";
        reader.error(
            section,
            what,
            "write kind = \"local-stack\", \"command\" or \"none\"",
        );
        return ClusterManager::None;
    };
    let kinds = [("local-stack", 0), ("command", 1), ("none", 2)];
    let which = word(reader, "kind", kind, &kinds);
    let guard = path(reader, "guard", raw.guard.as_ref(), base);
    if let (Some(guard), Some(written)) = (&guard, &raw.guard) {
        check::socket_length(reader, "the guard's socket", guard, Some(&written.at));
    }
    match which {
        Some(0) => {
            needless(
                reader,
                "local-stack",
                "command",
                raw.command.as_ref().map(|it| &it.at),
            );
            let socket = path(reader, "socket", raw.socket.as_ref(), base)
                .unwrap_or_else(|| PathBuf::from("/run/interlock/local-stack.sock"));
            check::socket_length(
                reader,
                "the socket",
                &socket,
                raw.socket.as_ref().map(|it| &it.at),
            );
            ClusterManager::LocalStack {
                socket,
                guard,
                timeout,
            }
        }
        Some(1) => {
            needless(
                reader,
                "command",
                "socket",
                raw.socket.as_ref().map(|it| &it.at),
            );
            let command = command(reader, raw, section);
            ClusterManager::Command {
                command,
                guard,
                timeout,
            }
        }
        _ => ClusterManager::None,
    }
}

fn needless(reader: &mut Reader<'_>, kind: &str, key: &str, at: Option<&At>) {
    if let Some(at) = at {
        reader.error(
            at,
            format!("{key} has no meaning with kind = \"{kind}\""),
            "remove it",
        );
    }
}

fn command(reader: &mut Reader<'_>, raw: &RawManager, section: &At) -> Vec<String> {
    let example = "write command = [\"/usr/local/bin/PROGRAM\"]";
    let Some(written) = raw.command.as_ref().filter(|list| !list.value.is_empty()) else {
        let at = raw.command.as_ref().map_or(section, |list| &list.at);
        reader.error(at, "kind = \"command\" needs a command", example);
        return Vec::new();
    };
    let words: Vec<String> = written
        .value
        .iter()
        .map(|word| word.value.clone())
        .collect();
    // Not looked up in PATH: a daemon's is not the author's.
    if !Path::new(&words[0]).is_absolute() {
        let what = format!("command \"{}\" is not an absolute path", echo(&words[0]));
        reader.error(&written.value[0].at, what, example);
    }
    if words.len() > COMMAND_MAX || words.iter().any(|word| word.contains('\0')) {
        let what = "command is too long, or has a zero byte".to_owned();
        reader.error(
            &written.at,
            what,
            format!("write {COMMAND_MAX} words at most"),
        );
    }
    words
}
