//! The local stack of this node, as the tools see it.
//!
//! A change is made to a copy of the CIB and offered back under the version that the copy had: if
//! another change came in between, the offer is refused (103), and the copy is to be read again.

use std::path::Path;
use std::time::Duration;

use cib::{Cib, Section};
use stack_api::stack::{Answer, Attribute, Do, Status};
use stack_api::{Client, ClientError, ErrorCode};

use crate::exit::{self, Failure};
use crate::source;

/// Names the socket, for whatever the local stack runs.
const SOCKET_VARIABLE: &str = "INTERLOCK_STACK_SOCKET";

/// The socket of a node that was set up in the usual way.
const SOCKET: &str = "/run/interlock/local-stack.sock";

/// What stands before the socket where otherwise a file is named.
const PREFIX: &str = "live:";

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Where the local stack answers, in the words of a place: `live:SOCKET`.
pub(crate) fn place() -> Option<String> {
    let named = source::variable(SOCKET_VARIABLE);
    let usual = || Path::new(SOCKET).exists().then(|| SOCKET.to_owned());
    named
        .or_else(usual)
        .map(|socket| format!("{PREFIX}{socket}"))
}

/// A place is the local stack.
pub(crate) fn is(place: &str) -> bool {
    place.starts_with(PREFIX)
}

/// Asks the local stack.
///
/// # Errors
/// It cannot be reached, or refuses.
pub(crate) fn ask(place: &str, what: Do) -> Result<Answer, Failure> {
    let socket = place.strip_prefix(PREFIX).unwrap_or(place);
    let answer =
        Client::connect(Path::new(socket), ANSWER_MAX).and_then(|mut client| client.stack(what));
    answer.map_err(|error| match error {
        ClientError::Refused(body) => {
            let code = match body.code {
                ErrorCode::Old => exit::OLD,
                ErrorCode::NoSuchObject => exit::NO_SUCH,
                ErrorCode::Data => exit::CONFIG,
                _ => exit::ERROR,
            };
            Failure::new(code, body.to_string())
        }
        ClientError::Timeout(_) => Failure::new(exit::TIMEOUT, error.to_string()),
        error => Failure::new(
            exit::DISCONNECTED,
            format!("Could not connect to the local stack: {error}"),
        ),
    })
}

fn unexpected() -> Failure {
    Failure::new(exit::PROTOCOL, "the local stack answers something else")
}

/// The CIB in force, with its status.
///
/// # Errors
/// As [`ask`].
pub(crate) fn read(place: &str) -> Result<Cib, Failure> {
    match ask(place, Do::CibQuery { scope: None })? {
        Answer::Cib { xml } => source::parse_cib(xml, "the local stack's CIB"),
        _ => Err(unexpected()),
    }
}

/// Node, resources, tickets.
///
/// # Errors
/// As [`ask`].
pub(crate) fn status(place: &str) -> Result<Status, Failure> {
    match ask(place, Do::Status)? {
        Answer::Status(status) => Ok(status),
        _ => Err(unexpected()),
    }
}

/// Puts a changed configuration in the place of the one that it was made from.
///
/// # Errors
/// As [`ask`]; and what is no configuration is not changed in this way.
pub(crate) fn replace(place: &str, old: &Cib, new: &Cib) -> Result<(), Failure> {
    let text = |cib: &Cib, section| cib.section(section).map(|e| e.to_text());
    if text(old, Section::Configuration) == text(new, Section::Configuration) {
        if text(old, Section::Status) == text(new, Section::Status) {
            return Ok(());
        }
        return Err(Failure::new(
            exit::UNSAFE,
            "the status of a running cluster is what runs, and not changed by hand: tickets are granted \
             and revoked by `ticket grant` and `ticket revoke`, failures forgotten by `crm_resource \
             --cleanup`, node attributes set by `crm_attribute`",
        ));
    }
    let mut offered = new.clone();
    offered.set_version(old.version());
    let xml = offered.to_text();
    ask(place, Do::CibReplace { xml, force: None }).map(|_| ())
}

/// Sets or deletes a transient attribute.
///
/// # Errors
/// As [`ask`].
pub(crate) fn set(
    place: &str,
    node: Option<&str>,
    name: &str,
    value: Option<&str>,
) -> Result<(), Failure> {
    let attribute = Attribute {
        node: node.map(str::to_owned),
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    ask(place, Do::Attribute(attribute)).map(|_| ())
}

/// Forgets failures and probes again.
///
/// # Errors
/// As [`ask`].
pub(crate) fn cleanup(place: &str, resource: Option<&str>) -> Result<Vec<String>, Failure> {
    let resource = resource.map(str::to_owned);
    match ask(place, Do::ResourceCleanup { resource })? {
        Answer::Cleaned { resources } => Ok(resources),
        _ => Err(unexpected()),
    }
}
