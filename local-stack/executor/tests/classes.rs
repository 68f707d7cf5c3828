//! Classes of agents that are no OCF agents, with scripts and a systemd of the test's own.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use executor::class::{Places, systemd};
use executor::process::{self, Surroundings};
use executor::{Agent, Operation, Outcome, Status};
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use zbus::zvariant::{ObjectPath, OwnedObjectPath};
use zbus::{Connection, connection};

/// Long enough for any machine; no test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    dir: tempfile::TempDir,
    around: Surroundings,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let places = Places {
            init: at("init.d"),
            plugins: at("plugins"),
            fence: at("sbin"),
            initctl: at("initctl"),
            systemd: systemd::Address {
                private: at("private"),
                bus: at("bus"),
            },
            units: at("units"),
        };
        fs::create_dir(&places.init).unwrap();
        fs::create_dir(&places.plugins).unwrap();
        let around = Surroundings {
            places,
            ..Surroundings::default()
        };
        Self { dir, around }
    }

    fn script(&self, path: &Path, body: &str) {
        let text = format!("#!/bin/sh\nD={}\n{body}\n", self.dir.path().display());
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    async fn run(&self, class: &str, kind: &str, action: &str) -> Outcome {
        self.timed(class, kind, action, PATIENCE, &[]).await
    }

    async fn timed(
        &self,
        class: &str,
        kind: &str,
        action: &str,
        timeout: Duration,
        variables: &[(&str, &str)],
    ) -> Outcome {
        let operation = Operation {
            resource: "r".into(),
            agent: Agent {
                class: class.into(),
                provider: None,
                kind: kind.into(),
            },
            action: action.into(),
            timeout,
            environment: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            collect: false,
        };
        let (_go_on, cancel) = oneshot::channel();
        process::run(&operation, &self.around, cancel).await
    }
}

#[tokio::test]
async fn init_scripts_answer_in_their_own_codes() {
    let node = Node::new();
    let init = node.around.places.init.join("db");
    node.script(
        &init,
        "test -z \"$OCF_RESKEY_x\" || exit 99
         case $1 in start) touch $D/up;; stop) test -e $D/up || exit 7; rm $D/up;;
         status) test -e $D/odd && exit 4; test -e $D/up || exit 3;; *) exit 2;; esac",
    );
    assert_eq!(node.run("lsb", "db", "monitor").await.rc, 7);
    assert_eq!(node.run("lsb", "db", "stop").await.rc, 0, "it is stopped");
    let variables = [("OCF_RESKEY_x", "1")];
    let started = node.timed("lsb", "db", "start", PATIENCE, &variables).await;
    assert_eq!(started.rc, 0, "parameters are not for init scripts");
    assert_eq!(node.run("lsb", "db", "monitor").await.rc, 0);
    fs::write(node.dir.path().join("odd"), "").unwrap();
    assert_eq!(node.run("lsb", "db", "monitor").await.rc, 1);
    assert_eq!(node.run("lsb", "db", "promote").await.rc, 3);
    let gone = node.run("lsb", "gone", "start").await;
    assert_eq!((gone.rc, gone.status), (5, Status::NotInstalled));
    let outside = node.run("lsb", "../db", "start").await;
    assert_eq!(outside.status, Status::NotInstalled);
}

#[tokio::test]
async fn a_service_is_an_init_script_before_anything_else() {
    let node = Node::new();
    assert_eq!(node.run("service", "db", "monitor").await.rc, 5);
    node.script(&node.around.places.init.join("db"), "exit 0");
    assert_eq!(node.run("service", "db", "monitor").await.rc, 0);
}

#[tokio::test]
async fn a_plugin_is_started_once_it_is_content() {
    let node = Node::new();
    let plugin = node.around.places.plugins.join("check_it");
    node.script(
        &plugin,
        "test \"$1\" = --version && exit 3
         echo $* >>$D/log; test $(wc -l <$D/log) -gt 1 || { echo not yet >&2; exit 2; }",
    );
    let variables = [
        ("OCF_RESKEY_hostname", "db1"),
        ("OCF_RESKEY_ssl", ""),
        ("OCF_RESKEY_CRM_meta_interval", "10000"),
        ("OCF_RESKEY_crm_feature_set", "3.20.5"),
    ];
    let probe = node.run("nagios", "check_it", "monitor").await;
    assert_eq!(probe.rc, 7, "nothing was started yet");
    let started = node
        .timed("nagios", "check_it", "start", PATIENCE, &variables)
        .await;
    assert_eq!((started.rc, started.status), (0, Status::Complete));
    let log = fs::read_to_string(node.dir.path().join("log")).unwrap();
    assert_eq!(log, "--hostname db1 --ssl\n--hostname db1 --ssl\n");
    node.script(&plugin, "echo it is down >&2; exit 1");
    let watched = node
        .timed("nagios", "check_it", "monitor", PATIENCE, &variables)
        .await;
    assert_eq!(
        (watched.rc, watched.exit_reason.as_str()),
        (1, "it is down")
    );
    assert_eq!(node.run("nagios", "check_it", "stop").await.rc, 0);
}

#[tokio::test]
async fn upstart_is_asked_where_it_is() {
    let node = Node::new();
    let gone = node.run("upstart", "db", "start").await;
    assert_eq!((gone.rc, gone.status), (5, Status::NotInstalled));
    node.script(
        &node.around.places.initctl,
        "test $2 = db || { echo initctl: Unknown job: $2 >&2; exit 1; }
         case $1 in status) test -e $D/up && echo db start/running, process 1 || echo db stop/waiting;;
         start) test ! -e $D/up || { echo initctl: Job is already running: db >&2; exit 1; }; touch $D/up;;
         stop) test -e $D/up || { echo initctl: Unknown instance: >&2; exit 1; }; rm $D/up;; esac",
    );
    assert_eq!(node.run("upstart", "db", "monitor").await.rc, 7);
    for _ in 0..2 {
        assert_eq!(node.run("upstart", "db", "start").await.rc, 0);
    }
    assert_eq!(node.run("upstart", "db", "monitor").await.rc, 0);
    for _ in 0..2 {
        assert_eq!(node.run("upstart", "db", "stop").await.rc, 0);
    }
    assert_eq!(node.run("upstart", "other", "monitor").await.rc, 5);
}

#[tokio::test]
async fn secrets_do_not_reach_a_reason() {
    let node = Node::new();
    let plugin = node.around.places.plugins.join("check_it");
    node.script(&plugin, "echo \"cannot log in with $2\" >&2; exit 2");
    let variables = [
        ("OCF_RESKEY_password", "open sesame"),
        ("OCF_RESKEY_CRM_meta_interval", "10000"),
    ];
    let watched = node
        .timed("nagios", "check_it", "monitor", PATIENCE, &variables)
        .await;
    assert_eq!(watched.exit_reason, "cannot log in with ******");
}

/// A unit as the test wants it.
#[derive(Debug, Clone)]
struct Scene {
    load: &'static str,
    /// States that are seen one after the other; the last one stays.
    states: Vec<&'static str>,
    /// What the next job ends as; none for never.
    ends: Option<&'static str>,
    log: Vec<String>,
}

type Shared = Arc<Mutex<Scene>>;

struct FakeManager(Shared);
struct FakeUnit(Shared);
struct FakeService;

const UNIT_PATH: &str = "/org/freedesktop/systemd1/unit/db_2eservice";

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl FakeManager {
    fn subscribe(&self) {}

    fn reload(&self) {
        self.0.lock().unwrap().log.push("reload".into());
    }

    fn load_unit(&self, name: String) -> OwnedObjectPath {
        assert_eq!(name, "db.service");
        ObjectPath::try_from(UNIT_PATH).unwrap().into()
    }

    async fn start_unit(
        &self,
        name: String,
        mode: String,
        #[zbus(connection)] peer: &Connection,
    ) -> OwnedObjectPath {
        self.job("start", &name, &mode, peer)
    }

    async fn stop_unit(
        &self,
        name: String,
        mode: String,
        #[zbus(connection)] peer: &Connection,
    ) -> OwnedObjectPath {
        self.job("stop", &name, &mode, peer)
    }
}

impl FakeManager {
    fn job(&self, what: &str, name: &str, mode: &str, peer: &Connection) -> OwnedObjectPath {
        let mut scene = self.0.lock().unwrap();
        scene.log.push(format!("{what} {name} {mode}"));
        let path = |number: u32| format!("/org/freedesktop/systemd1/job/{number}");
        if let Some(result) = scene.ends {
            let (peer, unit) = (peer.clone(), name.to_owned());
            tokio::spawn(async move {
                // Somebody else's job ends first.
                for (number, result) in [(6_u32, "failed"), (7, result)] {
                    let job = path(number);
                    let body = (
                        number,
                        ObjectPath::try_from(job.as_str()).unwrap(),
                        unit.as_str(),
                        result,
                    );
                    let interface = "org.freedesktop.systemd1.Manager";
                    let from = "/org/freedesktop/systemd1";
                    peer.emit_signal(None::<&str>, from, interface, "JobRemoved", &body)
                        .await
                        .unwrap();
                }
            });
        }
        ObjectPath::try_from(path(7)).unwrap().into()
    }
}

#[zbus::interface(name = "org.freedesktop.systemd1.Unit")]
impl FakeUnit {
    #[zbus(property)]
    fn load_state(&self) -> String {
        self.0.lock().unwrap().load.into()
    }

    #[zbus(property)]
    fn active_state(&self) -> String {
        let mut scene = self.0.lock().unwrap();
        let state = scene.states[0];
        if scene.states.len() > 1 {
            scene.states.remove(0);
        }
        state.into()
    }
}

#[zbus::interface(name = "org.freedesktop.systemd1.Service")]
impl FakeService {
    #[zbus(property)]
    fn result(&self) -> String {
        "exit-code".into()
    }
}

async fn serve(listener: UnixListener, scene: Shared) {
    let mut peers: Vec<Connection> = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        let peer = connection::Builder::unix_stream(stream)
            .server(zbus::Guid::generate())
            .unwrap()
            .p2p()
            .serve_at("/org/freedesktop/systemd1", FakeManager(scene.clone()))
            .unwrap()
            .serve_at(UNIT_PATH, FakeUnit(scene.clone()))
            .unwrap()
            .serve_at(UNIT_PATH, FakeService)
            .unwrap()
            .build()
            .await
            .unwrap();
        peers.push(peer);
    }
}

/// A node whose systemd plays a scene.
fn stage(states: &[&'static str], ends: Option<&'static str>) -> (Node, Shared) {
    let node = Node::new();
    let scene = Arc::new(Mutex::new(Scene {
        load: "loaded",
        states: states.to_vec(),
        ends,
        log: Vec::new(),
    }));
    let listener = UnixListener::bind(&node.around.places.systemd.private).unwrap();
    tokio::spawn(serve(listener, scene.clone()));
    (node, scene)
}

fn setting(node: &Node) -> PathBuf {
    node.around
        .places
        .units
        .join("db.service.d/50-interlock.conf")
}

#[tokio::test]
async fn a_job_of_systemd_is_awaited_and_the_unit_is_ours_meanwhile() {
    let (node, scene) = stage(&["active"], Some("done"));
    let started = node.run("systemd", "db", "start").await;
    assert_eq!((started.rc, started.status), (0, Status::Complete));
    let text = fs::read_to_string(setting(&node)).unwrap();
    assert!(text.contains("Restart=no"), "{text}");
    assert!(
        text.contains("Before=interlock-local-stack.service"),
        "{text}"
    );
    assert_eq!(node.run("systemd", "db", "start").await.rc, 0);
    assert_eq!(node.run("systemd", "db.service", "stop").await.rc, 0);
    assert!(!setting(&node).exists());
    let log = scene.lock().unwrap().log.clone();
    assert_eq!(
        log,
        [
            "reload",
            "start db.service replace",
            "start db.service replace",
            "stop db.service replace",
            "reload"
        ]
    );
}

#[tokio::test]
async fn a_job_that_fails_is_an_error_with_systemds_words() {
    let (node, _) = stage(&["failed"], Some("failed"));
    let started = node.run("systemd", "db", "start").await;
    assert_eq!((started.rc, started.status), (1, Status::Complete));
    assert!(
        started.exit_reason.contains("failed (exit-code)"),
        "{started:?}"
    );
}

#[tokio::test]
async fn a_job_that_never_ends_is_a_timeout() {
    let (node, _) = stage(&["activating"], None);
    let short = Duration::from_millis(300);
    let started = node.timed("systemd", "db", "start", short, &[]).await;
    assert_eq!(started.status, Status::Timeout);
}

#[tokio::test]
async fn states_in_between_are_no_failures() {
    let (node, scene) = stage(&["activating", "reloading"], None);
    assert_eq!(node.run("systemd", "db", "monitor").await.rc, 0);
    scene.lock().unwrap().states = vec!["deactivating", "inactive"];
    assert_eq!(node.run("systemd", "db", "monitor").await.rc, 7);
    scene.lock().unwrap().states = vec!["failed"];
    let failed = node.run("systemd", "db", "monitor").await;
    assert_eq!(failed.rc, 7);
    assert!(
        failed.exit_reason.contains("has failed (exit-code)"),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_unit_or_a_systemd_that_is_not_there_is_not_installed() {
    let (node, scene) = stage(&["inactive"], None);
    scene.lock().unwrap().load = "not-found";
    let gone = node.run("systemd", "db", "monitor").await;
    assert_eq!((gone.rc, gone.status), (5, Status::NotInstalled));
    let without = Node::new().run("systemd", "db", "start").await;
    assert_eq!((without.rc, without.status), (5, Status::NotInstalled));
}
