//! From the command line to a daemon's control socket.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ticket_admin::{Answer, Body, Call, Client, ClientError, Code, Failure, MemberState, View};
use ticket_config::{Config, Options, Role, closest, load_with};

use crate::args::Global;
use crate::output::Stop;

/// How long a daemon may take to answer from memory. It never takes a tenth of a second; five
/// seconds without an answer mean that it is stopped or broken, and somebody waits.
pub(crate) const QUERY: Duration = Duration::from_secs(5);

/// A member that was not heard for longer is asked by the daemon when somebody looks; it then
/// takes up to a quarter of a second, or three round trips, until silence means something.
const QUIET_MS: u64 = 1_500;
/// How long a look is worth waiting for that.
const SETTLING: Duration = Duration::from_millis(600);
/// Pause before the daemon is asked again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Which daemon to talk to.
#[derive(Debug)]
pub(crate) struct Target {
    socket: PathBuf,
    member: Option<String>,
    role: Option<Role>,
    /// What was read to find it; nothing with `--socket`.
    config: Option<Config>,
}

impl Target {
    /// From `--socket`, or from the configuration and `--host`.
    pub(crate) fn find(global: &Global) -> Result<Self, Stop> {
        if let Some(socket) = &global.socket {
            return Ok(Self {
                socket: socket.clone(),
                member: global.host(),
                role: None,
                config: None,
            });
        }
        let path = global.config();
        let host = global.host();
        let options = Options {
            member: None,
            need_member: false,
        };
        let config = load_with(&path, options).map_err(Stop::Findings)?;
        let member = match host {
            Some(name) => name,
            None => local_member(&config)?,
        };
        let Some(found) = config.find_member(&member) else {
            let names: Vec<&str> = config.members.iter().map(|it| it.name.as_str()).collect();
            return Err(no_such("member", &member, &names).into());
        };
        let role = found.role;
        let socket = config.paths.control_socket(&member);
        if let Some(here) = &config.member
            && *here != member
            && !socket.exists()
        {
            return Err(elsewhere(&member, role, here).into());
        }
        Ok(Self {
            socket,
            role: Some(role),
            member: Some(member),
            config: Some(config),
        })
    }

    /// Whether the configuration says that `ticket` exists and that `to` (or the member asked, if
    /// nobody is named) is a site. The configuration is the same at every member; where it was not
    /// read, or does not know a name, only the daemon can say.
    pub(crate) fn knows(&self, ticket: &str, to: Option<&str>) -> bool {
        let Some(config) = &self.config else {
            return false;
        };
        let site = to
            .or(self.member.as_deref())
            .and_then(|name| config.find_member(name))
            .is_some_and(|member| member.role == Role::Site);
        site && config.find_ticket(ticket).is_some()
    }

    /// The member asked, where it is known.
    pub(crate) fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    /// Connects, trying until `deadline`.
    pub(crate) fn connect(&self, deadline: Instant) -> Result<Client, Stop> {
        Client::connect(&self.socket, deadline).map_err(|error| self.explain(&error).into())
    }

    /// What the daemon knows.
    pub(crate) fn view(&self, client: &mut Client, deadline: Instant) -> Result<View, Stop> {
        match client.call(Call::View {}, deadline) {
            Ok(Some(Body::Ok(Answer::View(view)))) => Ok(*view),
            Ok(Some(Body::Error(failure))) => Err(failure.into()),
            Ok(Some(_)) => Err(self.wrong_answer().into()),
            Ok(None) => Err(self.silent().into()),
            Err(error) => Err(self.explain(&error).into()),
        }
    }

    /// "site-agent of berlin".
    pub(crate) fn daemon(&self) -> String {
        let program = match self.role {
            Some(Role::Site) => "site-agent",
            Some(Role::Arbitrator) => "arbitrator",
            None => "the daemon",
        };
        match &self.member {
            Some(member) => format!("{program} of {member}"),
            None => format!("{program} behind {}", self.socket.display()),
        }
    }

    /// A client's error for somebody who knows members, not sockets.
    pub(crate) fn explain(&self, error: &ClientError) -> Failure {
        let failure = |message: String| Failure::new(error.code(), message);
        match error {
            ClientError::NotRunning { .. } => {
                let socket = self.socket.display();
                let what = format!(
                    "{} is not running here: no answer on {socket}",
                    self.daemon()
                );
                failure(what).hint(self.start_hint())
            }
            ClientError::Permission { .. } => {
                let what = format!("you may not use {}", self.socket.display());
                failure(what).hint("run it as root, or as a member of the socket's group")
            }
            ClientError::NotAccepting { .. } => self.silent(),
            other => failure(other.to_string()),
        }
    }

    /// No answer in time.
    pub(crate) fn silent(&self) -> Failure {
        let what = format!(
            "{} exists but does not answer: stopped, or overloaded",
            self.daemon()
        );
        let hint =
            "`kill -CONT` if it was stopped; its log says more. Its leases end by themselves";
        Failure::new(Code::Timeout, what).hint(hint)
    }

    /// An answer to another question.
    pub(crate) fn wrong_answer(&self) -> Failure {
        let what = format!(
            "{} answered something else: another version?",
            self.daemon()
        );
        Failure::new(Code::Protocol, what)
    }

    fn start_hint(&self) -> String {
        match (self.role, &self.member) {
            (Some(role), Some(member)) => {
                let unit = match role {
                    Role::Site => "interlock-site-agent",
                    Role::Arbitrator => "interlock-arbitrator",
                };
                format!(
                    "systemctl start {unit} (journalctl -u {unit} says why it ended); if {member} is \
                     another machine, run the command there"
                )
            }
            _ => "start it, or name the right socket".to_owned(),
        }
    }
}

/// A member of another machine was named: daemons are asked where they run.
fn elsewhere(member: &str, role: Role, here: &str) -> Failure {
    let what = format!("{member} runs on another machine: only {here} can be asked here");
    let place = match role {
        Role::Site => format!(", and `--to {member}` says where to"),
        Role::Arbitrator => String::new(),
    };
    let hint = format!(
        "leave out -s: {here} acts for the whole cluster{place}; what {member} itself sees is shown \
         on its machine"
    );
    Failure::new(Code::NotConnected, what).hint(hint)
}

/// The member of this machine: as configured, or the only one with a socket.
fn local_member(config: &Config) -> Result<String, Failure> {
    if let Some(member) = &config.member {
        return Ok(member.clone());
    }
    let present = |path: &Path| path.exists();
    let mut here = config
        .members
        .iter()
        .filter(|member| present(&config.paths.control_socket(&member.name)))
        .map(|member| member.name.clone());
    match (here.next(), here.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => {
            let what = format!(
                "no daemon runs here: no socket in {}",
                config.paths.run.display()
            );
            let hint = "start site-agent or arbitrator, or name a socket with --socket";
            Err(Failure::new(Code::NotConnected, what).hint(hint))
        }
        (Some(one), Some(two)) => {
            let what = format!("several members run here: {one}, {two} ...");
            Err(Failure::new(Code::Usage, what).hint(format!("choose one, such as -s {one}")))
        }
    }
}

/// A name that does not exist, and the one that was meant.
pub(crate) fn no_such(what: &str, name: &str, names: &[&str]) -> Failure {
    let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    let failure = Failure::new(Code::NoSuch, format!("there is no {what} \"{shown}\""));
    match (closest(name, names.iter().copied()), names) {
        (Some(meant), _) => failure.hint(format!("did you mean \"{meant}\"?")),
        (None, []) => failure.hint(format!("no {what} is configured")),
        (None, names) => {
            // Enough to recognise one; `ticket list` has all.
            let some: Vec<&str> = names.iter().copied().take(10).collect();
            failure.hint(format!("there is {}", some.join(", ")))
        }
    }
}

/// Connects and asks for everything the daemon knows: the beginning of every verb.
pub(crate) fn look(global: &Global) -> Result<View, Stop> {
    let target = Target::find(global)?;
    let deadline = Instant::now() + global.wait(QUERY);
    let mut client = target.connect(deadline)?;
    let mut view = target.view(&mut client, deadline)?;
    // The daemon has asked whoever was quiet. Those who live answer while we look again.
    let enough = (Instant::now() + SETTLING).min(deadline);
    while unsettled(&view) && Instant::now() < enough {
        std::thread::sleep(LOOK_AGAIN);
        view = target.view(&mut client, deadline)?;
    }
    Ok(view)
}

/// Whether it is not known yet if somebody who was quiet answers.
fn unsettled(view: &View) -> bool {
    view.members.iter().any(|member| {
        let quiet = member.heard_ago_ms.is_none_or(|ms| ms > QUIET_MS);
        member.state == MemberState::Up && member.why.is_none() && quiet
    })
}
