//! Checks that compare what the files say: between keys, between tables, and with what is possible.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::duration::format;
use crate::reader::{At, Put, Reader, echo};
use crate::suggest::closest;
use crate::timings::{GUARD_MARGIN, readable};
use crate::{Address, Cluster, Config, Mode, NAME_MAX, Paths, Role, Ticket, Timings};

/// Longest path of a unix socket (108 bytes with the terminating zero).
const SOCKET_PATH_MAX: usize = 107;

/// Shortest lease worth a try: below, a scheduling delay of the kernel ends it.
const LEASE_MIN: Duration = Duration::from_millis(200);

/// What a name may consist of.
#[derive(Clone, Copy)]
pub(crate) enum NameKind {
    /// Part of a certificate's identity and of file names: no capitals.
    Identity,
    /// A ticket: as Pacemaker and booth users name them.
    Ticket,
}

/// Checks a name's characters and length; `what` is "member", "ticket" ...
pub(crate) fn name(reader: &mut Reader<'_>, what: &str, name: &Put<String>, kind: NameKind) {
    let text = name.value.as_str();
    let (capitals, rule) = match kind {
        NameKind::Identity => (false, "a-z, 0-9, '-', '_' and '.'"),
        NameKind::Ticket => (true, "a-z, A-Z, 0-9, '-', '_' and '.'"),
    };
    let fine = |byte: u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || b"-_.".contains(&byte)
            || (capitals && byte.is_ascii_uppercase())
    };
    let starts_well = text
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric());
    if text.len() > NAME_MAX || !starts_well || !text.bytes().all(fine) {
        let what = format!("{what} name \"{}\" cannot be used", echo(text));
        let hint = format!("write 1 to {NAME_MAX} of {rule}, a letter or digit first");
        reader.error(&name.at, what, hint);
    }
}

/// Names that differ in capitals only, or not at all: one of them is a mistake.
pub(crate) fn duplicates<'n>(
    reader: &mut Reader<'_>,
    what: impl Fn(usize) -> &'static str,
    names: impl Iterator<Item = &'n Put<String>>,
) {
    let mut seen: BTreeMap<String, At> = BTreeMap::new();
    for (index, name) in names.enumerate() {
        let key = name.value.to_ascii_lowercase();
        if let Some(first) = seen.get(&key) {
            let first = reader.place(first);
            let what = format!("duplicate {} \"{}\"", what(index), echo(&name.value));
            let hint = format!("the first is at {first}; give this one another name, or remove it");
            reader.error(&name.at, what, hint);
        } else {
            seen.insert(key, name.at.clone());
        }
    }
}

/// The same address twice, at one member or at two: a member would talk to the wrong one, and be
/// refused for its name.
pub(crate) fn addresses(reader: &mut Reader<'_>, all: &[(String, Put<Address>)]) {
    let mut seen: BTreeMap<&Address, (&str, &At)> = BTreeMap::new();
    for (member, address) in all {
        if let Some((other, first)) = seen.get(&address.value) {
            let first = reader.place(first);
            let what = format!("duplicate address {} of member \"{member}\"", address.value);
            let hint = if other == member {
                format!("the first is at {first}; remove one of them")
            } else {
                format!("member \"{other}\" has it at {first}; give each member its own")
            };
            reader.error(&address.at, what, hint);
        } else {
            seen.insert(&address.value, (member, &address.at));
        }
    }
}

/// Whether the members can do what they are for.
pub(crate) fn members(reader: &mut Reader<'_>, config: &Config, ticket_at: Option<&At>) {
    let sites = config.sites().count();
    let voters = config.members.len();
    if sites < 2 {
        let what = match sites {
            0 => "no site is configured; a ticket needs two sites at least".to_owned(),
            _ => "only one site is configured; a ticket needs two sites at least".to_owned(),
        };
        let hint = "write [member.NAME] with role = \"site\" for each (a single site needs no \
                    tickets: run local-stack alone)";
        reader.error_overall(what, hint);
        return;
    }
    let automatic = config
        .tickets
        .iter()
        .any(|ticket| ticket.mode == Mode::Auto);
    if voters.is_multiple_of(2) {
        let needed = config.majority();
        let what = match voters - needed {
            0 => format!("{voters} members vote and {needed} make a majority: none may fail"),
            fail => format!(
                "{voters} members vote and {needed} make a majority: {fail} may fail, as with {}",
                voters - 1
            ),
        };
        let hint = match (voters, automatic) {
            (2, true) => "no ticket survives the loss of either site; add an arbitrator",
            _ => "add an arbitrator, or remove one",
        };
        if let Some(at) = ticket_at {
            reader.warn(at, what, hint);
        }
    }
}

/// `prefer` must name sites.
pub(crate) fn prefer(reader: &mut Reader<'_>, config: &Config, named: &[Put<String>]) {
    let sites: Vec<&str> = config.sites().map(|site| site.name.as_str()).collect();
    let mut seen: Vec<&str> = Vec::new();
    for name in named {
        let text = name.value.as_str();
        if seen.contains(&text) {
            let what = format!("prefer names \"{}\" twice", echo(text));
            reader.error(&name.at, what, "remove one of them");
        }
        seen.push(text);
        if sites.contains(&text) {
            continue;
        }
        let arbitrator = config
            .find_member(text)
            .is_some_and(|it| it.role == Role::Arbitrator);
        let what = if arbitrator {
            format!("prefer names \"{text}\", an arbitrator: it cannot hold a ticket")
        } else {
            format!("prefer names \"{}\", which is no member", echo(text))
        };
        let hint = match closest(text, sites.iter().copied()) {
            Some(meant) if !arbitrator => format!("did you mean \"{meant}\"?"),
            _ => format!("the sites are {}", sites.join(", ")),
        };
        reader.error(&name.at, what, hint);
    }
}

/// Where a ticket's settings stand, so that a complaint points at the one to change.
pub(crate) struct TicketPlaces<'a> {
    pub(crate) name: &'a At,
    pub(crate) lease: Option<&'a At>,
    pub(crate) acquire_after: Option<&'a At>,
    pub(crate) renew_every: Option<&'a At>,
    pub(crate) stop_budget: Option<&'a At>,
}

/// Whether a ticket's timings fit together.
pub(crate) fn timing(
    reader: &mut Reader<'_>,
    cluster: &Cluster,
    ticket: &Ticket,
    at: &TicketPlaces<'_>,
) {
    if ticket.mode == Mode::Manual {
        for (key, place) in [
            ("lease", at.lease),
            ("acquire-after", at.acquire_after),
            ("renew-every", at.renew_every),
        ] {
            if let Some(place) = place {
                let what = format!(
                    "{key} has no effect: \"{}\" is a manual ticket",
                    ticket.name
                );
                reader.warn(place, what, "remove it, or write mode = \"auto\"");
            }
        }
        return;
    }
    let timings = Timings::of(cluster, ticket);
    lease(reader, cluster, &timings, ticket, at);
    acquire_after(reader, &timings, ticket, at);
}

fn lease(
    reader: &mut Reader<'_>,
    cluster: &Cluster,
    timings: &Timings,
    ticket: &Ticket,
    at: &TicketPlaces<'_>,
) {
    let place = at.lease.or(at.renew_every).unwrap_or(at.name);
    let lease = format(ticket.lease);
    if ticket.lease < LEASE_MIN {
        let what = format!("a lease of {lease} is too short: ordinary delays would end it");
        reader.error(place, what, format!("write {} at least", format(LEASE_MIN)));
        return;
    }
    if ticket.renew_every.is_zero() {
        let place = at.renew_every.unwrap_or(place);
        let what = "renew-every must be longer than nothing";
        reader.error(place, what, format!("write {}", format(ticket.lease / 3)));
        return;
    }
    if !timings.renewal_fits() {
        let what = format!(
            "a lease of {lease} is too short for its own timings: {}, but {} of the lease count at \
             the nodes",
            timings.renewal_sum(),
            readable(timings.lease_at_nodes),
        );
        let needs = lease_that_fits(cluster, ticket, at.renew_every.is_none());
        let hint = format!(
            "write lease = \"{}\" or more, or shorter timings",
            format(needs)
        );
        reader.error(place, what, hint);
    } else if ticket.renew_every > ticket.lease / 2 {
        let place = at.renew_every.unwrap_or(place);
        let what = format!(
            "renew-every {} is more than half the lease of {lease}: one lost renewal would end it",
            format(ticket.renew_every)
        );
        reader.error(
            place,
            what,
            format!("write {} or less", format(ticket.lease / 3)),
        );
    }
}

/// A lease, in round numbers, that is long enough for the other timings; `renews` if those include a
/// third of the lease itself.
fn lease_that_fits(cluster: &Cluster, ticket: &Ticket, renews: bool) -> Duration {
    let mut ticket = ticket.clone();
    // Each step goes most of the way to a fixed point; a handful is enough.
    for _ in 0..64 {
        let timings = Timings::of(cluster, &ticket);
        if timings.renewal_fits() {
            break;
        }
        let step = match timings.renewal_needs {
            needs if needs < Duration::from_secs(1) => 50,
            needs if needs < Duration::from_secs(10) => 500,
            _ => 1_000,
        };
        let needs = millis(timings.renewal_needs).saturating_mul(102) / 100 + 1;
        ticket.lease = Duration::from_millis(needs.next_multiple_of(step));
        if renews {
            ticket.renew_every = ticket.lease / 3;
        }
    }
    ticket.lease
}

fn acquire_after(
    reader: &mut Reader<'_>,
    timings: &Timings,
    ticket: &Ticket,
    at: &TicketPlaces<'_>,
) {
    if timings.stop_fits() {
        return;
    }
    let place = at.acquire_after.or(at.stop_budget).unwrap_or(at.name);
    let what = format!(
        "acquire-after {} is shorter than the stop budget {} plus {} for the guard to kill: the \
         next site would start while this one stops",
        format(ticket.acquire_after),
        format(ticket.stop_budget),
        format(GUARD_MARGIN),
    );
    let needs = format(timings.acquire_after_needs);
    let hint = format!("write acquire-after = \"{needs}\" or more, or a shorter stop-budget");
    reader.error(place, what, hint);
}

/// Control sockets have short paths or none.
pub(crate) fn sockets(reader: &mut Reader<'_>, paths: &Paths, config: &Config, at: Option<&At>) {
    let longest = config.members.iter().max_by_key(|member| member.name.len());
    let Some(longest) = longest else { return };
    let socket = paths.control_socket(&longest.name);
    socket_length(reader, "the control socket", &socket, at);
}

/// A unix socket's path must fit the system's limit.
pub(crate) fn socket_length(reader: &mut Reader<'_>, what: &str, socket: &Path, at: Option<&At>) {
    let length = socket.as_os_str().len();
    if length <= SOCKET_PATH_MAX {
        return;
    }
    let what = format!(
        "{what} would be {} ({length} bytes), and a socket's path ends at {SOCKET_PATH_MAX}",
        socket.display()
    );
    match at {
        Some(at) => reader.error(at, what, "write a shorter path"),
        None => reader.error_overall(what, "write a shorter path in [paths] run"),
    }
}

/// Milliseconds, rounded up.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
