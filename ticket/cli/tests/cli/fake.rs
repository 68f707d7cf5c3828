//! A daemon that says what a test tells it to, and the command line run against it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use ticket_admin::{
    Action, Answer, Body, Call, Certificate, Dependent, Failure, Lease, MemberState, MemberView,
    NodeView, Plan, Request, Response, Role, Takeover, TicketState, TicketView, View, VoteView,
    Votes,
};

/// What the daemon does when it is asked to act.
#[derive(Clone)]
pub(crate) enum Step {
    /// Sends a line.
    Say(Body),
    /// Sends what is no line of the protocol.
    Raw(&'static str),
    /// Waits.
    Pause(Duration),
    /// Never says anything again, and keeps the connection.
    Hang,
    /// Closes the connection.
    Close,
}

/// A daemon.
pub(crate) struct Fake {
    /// Removed with this.
    _directory: TempDir,
    pub(crate) socket: PathBuf,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Fake {
    /// One that knows `view`, and takes `steps` when asked for anything else.
    pub(crate) fn new(view: View, steps: Vec<Step>) -> Self {
        let directory = TempDir::new().expect("a directory");
        let socket = directory.path().join("berlin.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (view, steps, notes) = (view.clone(), steps.clone(), Arc::clone(&notes));
                thread::spawn(move || serve(&stream, &view, &steps, &notes));
            }
        });
        Self {
            _directory: directory,
            socket,
            seen,
        }
    }

    /// How often the daemon was asked for everything it knows.
    pub(crate) fn views(&self) -> usize {
        let seen = self.seen.lock().expect("no panic while locked");
        let is_view = |request: &&Request| matches!(request.call, Call::View {});
        seen.iter().filter(is_view).count()
    }

    /// Every action that was asked for, real ones and plans.
    pub(crate) fn actions(&self) -> Vec<Action> {
        let seen = self.seen.lock().expect("no panic while locked");
        let action = |request: &Request| match &request.call {
            Call::Act(action) | Call::Plan(action) => Some(action.clone()),
            _ => None,
        };
        seen.iter().filter_map(action).collect()
    }

    /// Runs the command line against it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let socket = self.socket.to_str().expect("UTF-8");
        let mut all = vec!["--socket", socket];
        all.extend_from_slice(arguments);
        run(&all)
    }
}

fn serve(stream: &UnixStream, view: &View, steps: &[Step], notes: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
        let request: Request = serde_json::from_str(&line).expect("the client's line is right");
        line.clear();
        let id = request.id;
        let call = request.call.clone();
        notes.lock().expect("no panic while locked").push(request);
        if matches!(call, Call::View {}) {
            say(stream, id, Body::Ok(Answer::View(Box::new(view.clone()))));
            continue;
        }
        for step in steps {
            match step {
                Step::Say(body) => say(stream, id, body.clone()),
                Step::Raw(text) => drop((&*stream).write_all(text.as_bytes())),
                Step::Pause(pause) => thread::sleep(*pause),
                Step::Hang => thread::sleep(Duration::from_secs(3_600)),
                Step::Close => {
                    drop(stream.shutdown(std::net::Shutdown::Both));
                    return;
                }
            }
        }
    }
}

fn say(mut stream: &UnixStream, id: u64, body: Body) {
    let line = serde_json::to_string(&Response { id, body }).expect("our own types") + "\n";
    // The client may have gone already.
    drop(stream.write_all(line.as_bytes()));
}

/// How the command line went.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

/// Runs the command line without a terminal, in UTC and plain ASCII.
pub(crate) fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, &[])
}

/// The same with more environment.
pub(crate) fn run_with(arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let start = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_ticket"))
        .args(arguments)
        .env_clear()
        .env("TZ", "UTC")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the command line starts");
    Ran {
        code: output.status.code().expect("not killed"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
        took: start.elapsed(),
    }
}

/// Two sites and an arbitrator; berlin holds db, web is lost, app is manual and revoked.
pub(crate) fn view() -> View {
    View {
        cluster: "shop".into(),
        member: "berlin".into(),
        role: Role::Site,
        version: "0.1.0".into(),
        up_ms: 11_520_000,
        epoch: 1,
        votes: Votes {
            configured: 3,
            needed: 2,
            reachable: 3,
        },
        members: vec![
            member("arb", Role::Arbitrator, MemberState::Up),
            member("berlin", Role::Site, MemberState::Me),
            member("paris", Role::Site, MemberState::Up),
        ],
        tickets: vec![revoked(), held(), lost()],
        nodes: vec![NodeView {
            name: "b1".into(),
            site: "berlin".into(),
            protection: "process".into(),
            guard: true,
            cluster: "ok".into(),
        }],
        alarms: Vec::new(),
    }
}

fn member(name: &str, role: Role, state: MemberState) -> MemberView {
    MemberView {
        name: name.into(),
        role,
        state,
        address: Some(format!("{name}.example:9929")),
        rtt_us: (state == MemberState::Up).then_some(11_400),
        heard_ago_ms: (state == MemberState::Up).then_some(400),
        voting: Some(true),
        skew_ms: Some(2),
        certificate: Some(Certificate {
            not_after_unix: 4_000_000_000,
            fingerprint: "ab".into(),
        }),
        ..MemberView::default()
    }
}

fn held() -> TicketView {
    let vote = |member: &str, agrees| VoteView {
        member: member.into(),
        voting: true,
        agrees,
        obligation_left_ms: Some(41_000),
        note: None,
    };
    TicketView {
        name: "db".into(),
        state: TicketState::Granted,
        holder: Some("berlin".into()),
        term: Some("0.12.1".into()),
        term_packed: Some("49153".into()),
        lease: Some(Lease {
            left_ms: 21_000,
            exact: true,
            renewed_ago_ms: Some(9_000),
            renews_in_ms: Some(1_000),
        }),
        lease_ms: Some(30_000),
        acquire_after_ms: Some(20_000),
        takeover: Some(Takeover {
            in_ms: 41_500,
            by: Some("paris".into()),
        }),
        votes: vec![
            vote("arb", true),
            vote("berlin", true),
            vote("paris", false),
        ],
        dependents: vec![Dependent {
            resource: "g-db".into(),
            state: "started".into(),
            node: Some("b1".into()),
        }],
        prefer: vec!["berlin".into(), "paris".into()],
        stop_budget_ms: Some(15_000),
        ..TicketView::default()
    }
}

fn lost() -> TicketView {
    TicketView {
        name: "web".into(),
        state: TicketState::Lost,
        holder: Some("paris".into()),
        lease_ms: Some(30_000),
        acquire_after_ms: Some(20_000),
        takeover: Some(Takeover {
            in_ms: 36_000,
            by: Some("berlin".into()),
        }),
        may_run_ms: Some(36_000),
        blocked: vec!["paris may still run it".into()],
        ..TicketView::default()
    }
}

fn revoked() -> TicketView {
    TicketView {
        name: "app".into(),
        mode: ticket_admin::Mode::Manual,
        state: TicketState::Revoked,
        holder: Some("paris".into()),
        ..TicketView::default()
    }
}

/// The last line for a wish that is met.
pub(crate) fn met(summary: &str) -> Step {
    Step::Say(Body::Ok(Answer::Outcome(ticket_admin::Outcome {
        ticket: "db".into(),
        summary: summary.into(),
        holder: Some("paris".into()),
        previous_holder: Some("berlin".into()),
        term: Some("0.13.2".into()),
        gap_ms: Some(6_900),
        ..ticket_admin::Outcome::default()
    })))
}

/// The last line for a wish that is not.
pub(crate) fn failed(failure: Failure) -> Step {
    Step::Say(Body::Error(failure))
}

/// The answer to a dry run.
pub(crate) fn planned(plan: Plan) -> Step {
    Step::Say(Body::Ok(Answer::Plan(plan)))
}
