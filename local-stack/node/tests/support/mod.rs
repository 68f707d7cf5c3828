//! A node in a temporary directory: an agent, a CIB, a guard, a daemon.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use stack_api::clock::machine_now_ns;
use stack_api::guard::{self, Held};
use stack_api::stack::{Answer, Do, Lease, ResourceState, Status, TicketName, TicketStatus};
use stack_api::{Client, ClientError};

/// Long enough for any machine; the tests wait for conditions, not for time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A lease that a slow machine starts a service within, and that is soon over.
pub(crate) const SHORT: Duration = Duration::from_secs(4);

/// A lease that no test outlives.
pub(crate) const FAR: Duration = Duration::from_secs(3600);

pub(crate) fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One primitive, gated by `ticket` unless that is empty.
pub(crate) fn cib(ticket: &str, meta: &str) -> String {
    let constraint = if ticket.is_empty() {
        String::new()
    } else {
        format!(r#"<rsc_ticket id="t1" rsc="web" ticket="{ticket}" loss-policy="stop"/>"#)
    };
    format!(
        r#"<cib admin_epoch="0" epoch="1" num_updates="0" validate-with="pacemaker-3.9"><configuration>
        <crm_config><cluster_property_set id="o">
          <nvpair id="o1" name="stonith-enabled" value="false"/>
          <nvpair id="o2" name="no-quorum-policy" value="ignore"/></cluster_property_set></crm_config>
        <nodes><node id="7" uname="n"/></nodes><resources><primitive id="web" class="ocf" provider="test" type="web">{meta}<operations>
          <op id="web-start" name="start" interval="0" timeout="60s"/>
          <op id="web-stop" name="stop" interval="0" timeout="1s"/>
          <op id="web-monitor" name="monitor" interval="200ms" timeout="20s"/></operations></primitive>
        </resources><constraints>{constraint}</constraints></configuration><status/></cib>"#
    )
}

/// The agent: a service that is a process, with switches in files.
const AGENT: &str = r#"#!/bin/sh
alive() {
    test -e "$D/broken" && return 1
    test -e "$D/there" && return 0
    # A process that nobody has reaped yet does not serve.
    grep -q '^State:.[^ZX]' "/proc/$(cat "$D/pid" 2>/dev/null)/status" 2>/dev/null
}
case $1 in
start)
    echo start >>"$D/log"; env >"$D/environment"
    test -e "$D/hang-start" && sleep 1000
    rm -f "$D/broken"; alive && exit 0
    test -e "$D/no-process" && { touch "$D/there"; exit 0; }
    if test -e "$D/hide"; then
        # No marker, no parent, a session of its own.
        env -i setsid sh -c "echo \$\$ >'$D/pid'; exec sleep 10000" </dev/null >/dev/null 2>&1 &
        while ! test -s "$D/pid"; do sleep 0.01; done
    else
        sleep 10000 </dev/null >/dev/null 2>&1 &
        echo $! >"$D/pid"
    fi
    exit 0;;
stop)
    echo stop >>"$D/log"
    test -e "$D/hang-stop" && sleep 1000
    test -e "$D/pid" && kill -9 "$(cat "$D/pid")" 2>/dev/null
    rm -f "$D/pid" "$D/there"; exit 0;;
monitor) alive && exit 0; exit 7;;
esac
exit 3
"#;

/// Three members in a group behind ticket `t`; one of them is ordered and placed by constraints alone.
pub(crate) fn group() -> String {
    let primitive =
        |id: &str| format!(r#"<primitive id="{id}" class="ocf" provider="test" type="state"/>"#);
    let resources = format!(
        r#"<group id="g">{}{}</group>{}"#,
        primitive("a"),
        primitive("b"),
        primitive("c")
    );
    let constraints = r#"<rsc_ticket id="t1" rsc="g" ticket="t" loss-policy="stop"/>
        <rsc_ticket id="t2" rsc="c" ticket="t" loss-policy="stop"/>
        <rsc_order id="o1" first="g" then="c"/>
        <rsc_colocation id="c1" rsc="c" with-rsc="g" score="INFINITY"/>
        <rsc_location id="l1" rsc="g" node="n" score="100"/></constraints>"#;
    with(&resources, constraints)
}

/// A promotable clone whose promoted role depends on ticket `t`.
pub(crate) fn promotable() -> String {
    let resources = r#"<clone id="c"><meta_attributes id="c-m">
        <nvpair id="c-m1" name="promotable" value="true"/></meta_attributes>
        <primitive id="p" class="ocf" provider="test" type="state"/></clone>"#;
    let constraints = r#"<rsc_ticket id="t1" rsc="c" rsc-role="Promoted" ticket="t" loss-policy="demote"/>
        <rsc_location id="l1" rsc="c" role="Promoted" node="n" score="100"/></constraints>"#;
    with(resources, constraints)
}

/// The service under loss policy fence, with a fencing device that nobody can run.
pub(crate) fn fenced() -> String {
    let device =
        r#"<primitive id="fence" class="stonith" type="fence_nobody"/><primitive id="web""#;
    cib("t", "")
        .replace("loss-policy=\"stop\"", "loss-policy=\"fence\"")
        .replace(
            r#"name="stonith-enabled" value="false""#,
            r#"name="stonith-enabled" value="true""#,
        )
        .replace(r#"<primitive id="web""#, device)
}

fn with(resources: &str, constraints: &str) -> String {
    let whole = cib("", "");
    let (head, rest) = whole.split_once("<resources>").unwrap();
    let (_, tail) = rest.split_once("</resources>").unwrap();
    let tail = tail.replacen("</constraints>", constraints, 1);
    format!("{head}<resources>{resources}</resources>{tail}")
}

/// An agent whose state is a file.
const STATE: &str = r#"#!/bin/sh
R=$OCF_RESOURCE_INSTANCE
case $1 in
start) echo "$R start" >>"$D/log"; touch "$D/on-$R";;
stop) echo "$R stop" >>"$D/log"; rm -f "$D/on-$R" "$D/promoted-$R";;
promote) echo "$R promote $INTERLOCK_TERM" >>"$D/log"; touch "$D/promoted-$R";;
demote) echo "$R demote" >>"$D/log"; rm -f "$D/promoted-$R";;
monitor) test -e "$D/promoted-$R" && exit 8; test -e "$D/on-$R" || exit 7;;
esac
exit 0
"#;

/// Prints what no agent should, and exits with what no agent may.
const GARBAGE: &str =
    "#!/bin/sh\nhead -c 100000 /dev/urandom; head -c 1000 /dev/urandom >&2; exit 99\n";

pub(crate) struct Node {
    dir: tempfile::TempDir,
    daemon: Option<Child>,
    guard: Option<Child>,
    guard_state: String,
    extra: Vec<String>,
}

impl Node {
    pub(crate) fn new(cib: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let agents = dir.path().join("agents/test");
        fs::create_dir_all(&agents).unwrap();
        let agent = AGENT.replace("$D", &dir.path().display().to_string());
        let state = STATE.replace("$D", &dir.path().display().to_string());
        for (name, mode, text) in [
            ("web", 0o755, agent.as_str()),
            ("state", 0o755, state.as_str()),
            ("plain", 0o644, GARBAGE),
            ("garbage", 0o755, GARBAGE),
        ] {
            fs::write(agents.join(name), text).unwrap();
            fs::set_permissions(agents.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::write(dir.path().join("cib.xml"), cib).unwrap();
        let guard_state = "guard-state".to_owned();
        Self {
            dir,
            daemon: None,
            guard: None,
            guard_state,
            extra: Vec::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Turns a switch of the agent on.
    pub(crate) fn tell(&self, switch: &str) {
        fs::write(self.path(switch), "").unwrap();
    }

    pub(crate) fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn service_pid(&self) -> i32 {
        fs::read_to_string(self.path("pid"))
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }

    /// The service's process lives.
    pub(crate) fn serves(&self) -> bool {
        let text = fs::read_to_string(self.path("pid")).unwrap_or_default();
        let Some(pid) = text.trim().parse().ok().and_then(Pid::from_raw) else {
            return false;
        };
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        test_kill_process(pid).is_ok() && stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    pub(crate) fn spawn_daemon(&mut self, extra: &[&str]) {
        let daemon = Command::new(env!("CARGO_BIN_EXE_local-stack"))
            .arg("daemon")
            .args(["--node", "n", "--site", "s"])
            .args(["--cib".as_ref(), self.path("cib.xml").as_os_str()])
            .args(["--socket".as_ref(), self.path("stack.sock").as_os_str()])
            .args(["--state".as_ref(), self.path("state").as_os_str()])
            .args(["--agents".as_ref(), self.path("agents").as_os_str()])
            .args(extra)
            .args(&self.extra)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
    }

    /// Starts the daemon (again) and waits for its socket.
    pub(crate) fn start_daemon(&mut self) {
        self.spawn_daemon(&[]);
        until("the daemon answers", || self.ask(Do::Status).ok());
    }

    pub(crate) fn start_alone(&mut self) {
        self.start_daemon();
    }

    pub(crate) fn start_with(&mut self, extra: &[&str]) {
        self.extra = extra.iter().map(|word| (*word).to_owned()).collect();
        self.start_daemon();
    }

    pub(crate) fn start_guarded(&mut self) {
        self.start_guard();
        let socket = self.path("guard.sock").display().to_string();
        self.start_with(&["--guard", &socket]);
        until("the guard is known", || {
            (self.status().protection == guard::Protection::Process).then_some(())
        });
    }

    fn start_guard(&mut self) {
        let guard = Command::new(guard_binary())
            .args(["--socket".as_ref(), self.path("guard.sock").as_os_str()])
            .args(["--state".as_ref(), self.path(&self.guard_state).as_os_str()])
            .spawn()
            .unwrap();
        self.guard = Some(guard);
        let socket = self.path("guard.sock");
        until("the guard answers", || {
            Client::connect(&socket, PATIENCE).ok()
        });
    }

    pub(crate) fn kill_guard(&mut self) {
        let mut guard = self.guard.take().unwrap();
        guard.kill().unwrap();
        guard.wait().unwrap();
    }

    /// A guard that remembers nothing.
    pub(crate) fn restart_guard_empty(&mut self) {
        self.kill_guard();
        self.guard_state = "another-guard-state".to_owned();
        self.start_guard();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.daemon.as_ref().unwrap().id().cast_signed();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut daemon = self.daemon.take().unwrap();
        until("the daemon ends", || daemon.try_wait().unwrap())
    }

    pub(crate) fn ask(&self, request: Do) -> Result<Answer, ClientError> {
        Client::connect(&self.path("stack.sock"), PATIENCE)?.stack(request)
    }

    pub(crate) fn status(&self) -> Status {
        match self.ask(Do::Status).unwrap() {
            Answer::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn state(&self, resource: &str) -> ResourceState {
        let status = self.status();
        status
            .resources
            .iter()
            .find(|known| known.id == resource)
            .unwrap()
            .state
    }

    pub(crate) fn ticket(&self) -> TicketStatus {
        match self
            .ask(Do::TicketStatus(TicketName { ticket: "t".into() }))
            .unwrap()
        {
            Answer::Ticket(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        machine_now_ns()
    }

    /// A lease of ticket `t`, told to the guard first as a site agent does.
    pub(crate) fn lease(&self, term: u64, length: Duration) -> Lease {
        let deadline_ns = self.now_ns() + u64::try_from(length.as_nanos()).unwrap();
        Lease {
            ticket: "t".into(),
            term,
            generation: 1,
            granted: true,
            standby: false,
            stop: false,
            hold: false,
            deadline_ns: Some(deadline_ns),
        }
    }

    /// Gives a lease and waits until everything runs; the deadline.
    pub(crate) fn run_under(&self, term: u64, length: Duration) -> u64 {
        until("it was probed", || {
            (self.state("web") == ResourceState::Stopped).then_some(())
        });
        let lease = self.lease(term, length);
        let deadline_ns = lease.deadline_ns.unwrap();
        self.ask(Do::Lease(lease)).unwrap();
        until("it runs", || self.ticket().started.then_some(()));
        deadline_ns
    }

    /// The site agent tells the guard that the majority agreed to a hold.
    pub(crate) fn hold(&self, term: u64) {
        let mut client = Client::connect(&self.path("guard.sock"), PATIENCE).unwrap();
        client
            .guard(guard::Do::Hold(guard::Hold {
                ticket: "t".into(),
                term,
                on: true,
            }))
            .unwrap();
    }

    pub(crate) fn held(&self) -> Vec<Held> {
        let mut client = Client::connect(&self.path("guard.sock"), PATIENCE).unwrap();
        match client.guard(guard::Do::Query).unwrap() {
            guard::Answer::State(state) => state.held,
            other => panic!("{other:?}"),
        }
    }

    /// Runs a verb: exit code, standard output, standard error.
    pub(crate) fn verb(&self, words: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-stack"));
        command.args(words);
        if words[0] != "frobnicate" {
            command.args(["--socket".as_ref(), self.path("stack.sock").as_os_str()]);
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for child in [self.daemon.take(), self.guard.take()]
            .into_iter()
            .flatten()
        {
            let mut child = child;
            let _ = child.kill();
            let _ = child.wait();
        }
        if self.serves() {
            let pid = Pid::from_raw(self.service_pid());
            let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
        }
    }
}

/// The guard's program beside ours; built if only this package was.
fn guard_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let path = Path::new(env!("CARGO_BIN_EXE_local-stack")).with_file_name("guard");
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--offline",
                "--package",
                "guard",
                "--bin",
                "guard",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(path.exists(), "{} is not there: {built:?}", path.display());
        path
    })
}
