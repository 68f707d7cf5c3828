//! Three daemons on loopback, joined by messaging, unprivileged: one cluster.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use link::{Identity, ca};
use messaging::ROLE;
use stack_api::stack::{Answer, Do, ResourceState, Status};
use stack_api::{Client, ClientError, ErrorCode};

/// Everything has happened by then, or never will.
const PATIENCE: Duration = Duration::from_secs(120);
const RESOURCES: usize = 4;

/// An agent whose state is a file of its node. What runs where is read from the files alone.
const AGENT: &str = r#"#!/bin/sh
F="$D/on-$OCF_RESOURCE_INSTANCE"
case $1 in
start) echo "start $OCF_RESOURCE_INSTANCE" >>"$D/log"; : >"$F";;
stop) echo "stop $OCF_RESOURCE_INSTANCE" >>"$D/log"; rm -f "$F";;
monitor) test -e "$F" || exit 7;;
esac
exit 0
"#;

fn configuration(epoch: u32, resources: usize) -> String {
    let primitive = |number: usize| {
        format!(
            r#"<primitive id="r{number}" class="ocf" provider="test" type="state"><operations>
            <op id="r{number}-m" name="monitor" interval="500ms" timeout="60s"/>
            <op id="r{number}-s" name="start" interval="0" timeout="60s"/></operations></primitive>"#
        )
    };
    let resources: String = (0..resources).map(primitive).collect();
    format!(
        r#"<cib admin_epoch="0" epoch="{epoch}" num_updates="0" validate-with="pacemaker-3.9"><configuration>
        <crm_config><cluster_property_set id="o">
          <nvpair id="o1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
        <nodes/><resources>{resources}</resources><constraints/><rsc_defaults><meta_attributes id="d">
          <nvpair id="d1" name="resource-stickiness" value="100"/></meta_attributes></rsc_defaults>
        </configuration><status/></cib>"#
    )
}

struct Site {
    directory: tempfile::TempDir,
    /// Distinguishes the tests' addresses.
    number: u8,
    daemons: [Option<Child>; 3],
}

impl Site {
    /// Three nodes that know each other; only the first is given a configuration.
    fn new(number: u8) -> Self {
        let site = Self {
            directory: tempfile::tempdir().unwrap(),
            number,
            daemons: [None, None, None],
        };
        let authority = ca::Ca::create("shop").unwrap();
        authority.save(site.directory.path()).unwrap();
        for node in 1..=3 {
            let identity = Identity::new("shop", ROLE, &format!("n{node}")).unwrap();
            let issued = authority.issue(&identity, ca::MEMBER_VALIDITY).unwrap();
            let pki = site.path(node, "pki");
            fs::create_dir_all(&pki).unwrap();
            issued.save(&pki).unwrap();
            let certificate = site.directory.path().join(ca::CA_CERTIFICATE);
            fs::copy(certificate, pki.join(ca::CA_CERTIFICATE)).unwrap();
            fs::write(site.path(node, "messaging.toml"), site.messaging(node)).unwrap();
            let agents = site.path(node, "agents/test");
            fs::create_dir_all(&agents).unwrap();
            let here = site.path(node, "").display().to_string();
            fs::write(agents.join("state"), AGENT.replace("$D", &here)).unwrap();
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(agents.join("state"), mode).unwrap();
        }
        fs::write(site.path(1, "cib.xml"), configuration(1, RESOURCES)).unwrap();
        site
    }

    fn path(&self, node: usize, name: &str) -> PathBuf {
        self.directory.path().join(format!("n{node}")).join(name)
    }

    fn messaging(&self, node: usize) -> String {
        let path = |path: &Path| path.display().to_string();
        let mut text = format!(
            "cluster = 'shop'\nnode = 'n{node}'\npki = '{}'\nsocket = '{}'\nstate = '{}'\n\
             suspect-after-ms = 2000\n[[network]]\nname = 'front'\n",
            path(&self.path(node, "pki")),
            path(&self.path(node, "messaging.sock")),
            path(&self.path(node, "messaging-state")),
        );
        for node in 1..=3 {
            let number = self.number;
            text += &format!(
                "[[nodes]]\nname = 'n{node}'\nid = {node}\naddresses = ['127.{number}.1.{node}']\n"
            );
        }
        text
    }

    fn start(&mut self, node: usize) {
        let daemon = Command::new(env!("CARGO_BIN_EXE_local-stack"))
            .args(["daemon", "--tickets", "off", "--node", &format!("n{node}")])
            .args(["--cib".as_ref(), self.path(node, "cib.xml").as_os_str()])
            .args([
                "--socket".as_ref(),
                self.path(node, "stack.sock").as_os_str(),
            ])
            .args(["--state".as_ref(), self.path(node, "state").as_os_str()])
            .args(["--agents".as_ref(), self.path(node, "agents").as_os_str()])
            .args([
                "--messaging".as_ref(),
                self.path(node, "messaging.toml").as_os_str(),
            ])
            .spawn()
            .unwrap();
        self.daemons[node - 1] = Some(daemon);
    }

    /// Power off: the daemon and all that ran on the node are gone at once.
    fn power_off(&mut self, node: usize) {
        let mut daemon = self.daemons[node - 1].take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        for resource in self.active_on(node) {
            fs::remove_file(self.path(node, &format!("on-{resource}"))).unwrap();
        }
    }

    fn ask(&self, node: usize, what: Do) -> Result<Answer, ClientError> {
        Client::connect(&self.path(node, "stack.sock"), PATIENCE)?.stack(what)
    }

    fn status(&self, node: usize) -> Option<Status> {
        match self.ask(node, Do::Status).ok()? {
            Answer::Status(status) => Some(status),
            other => panic!("{other:?}"),
        }
    }

    fn active_on(&self, node: usize) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path(node, "")).unwrap();
        entries
            .filter_map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                name.strip_prefix("on-").map(str::to_owned)
            })
            .collect()
    }

    /// How often each resource is active, by the agents' own files.
    fn active(&self) -> Vec<String> {
        let mut all: Vec<String> = (1..=3).flat_map(|node| self.active_on(node)).collect();
        all.sort();
        all
    }

    fn log(&self, node: usize) -> Vec<String> {
        let text = fs::read_to_string(self.path(node, "log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Node `at` sees these nodes online, quorate, one copy, and nothing under way.
    fn agreed(&self, at: usize, online: &[&str]) -> bool {
        let Some(status) = self.status(at) else {
            return false;
        };
        let Some(site) = &status.site_nodes else {
            return false;
        };
        let seen: Vec<&str> = site
            .nodes
            .iter()
            .filter(|node| node.state == "online")
            .map(|node| node.name.as_str())
            .collect();
        site.agreed && site.quorate && seen == online
    }

    fn wait_for(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(self) {
            let seen: Vec<_> = (1..=3).map(|node| self.status(node)).collect();
            assert!(
                Instant::now() < until,
                "never: {what}; {:?} {seen:#?}",
                self.active()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn version(&self, node: usize) -> String {
        let version = self.status(node).unwrap().cib_version;
        version.rsplit_once('.').unwrap().0.to_owned()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().filter_map(Option::take) {
            let mut daemon = daemon;
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("r{number}")).collect()
}

#[test]
fn three_nodes_are_one_cluster_and_a_lost_nodes_resources_run_elsewhere() {
    let mut site = Site::new(91);
    for node in 1..=3 {
        site.start(node);
    }
    let all = ["n1", "n2", "n3"];
    site.wait_for("three nodes agree", |site| {
        (1..=3).all(|at| site.agreed(at, &all))
    });
    site.wait_for("everything runs once", |site| {
        site.active() == names(RESOURCES)
    });
    let spread = (1..=3).filter(|node| !site.active_on(*node).is_empty());
    assert!(spread.count() > 1, "on several nodes");
    let coordinator =
        |site: &Site, at: usize| site.status(at).unwrap().site_nodes.unwrap().coordinator;
    let first = coordinator(&site, 1).unwrap();
    assert!(
        (2..=3).all(|at| coordinator(&site, at).as_ref() == Some(&first)),
        "one coordinator"
    );

    // The coordinator itself goes.
    let lost: usize = first[1..].parse().unwrap();
    let rest: Vec<usize> = (1..=3).filter(|node| *node != lost).collect();
    let others: Vec<&str> = all.iter().copied().filter(|name| *name != first).collect();
    site.power_off(lost);
    site.wait_for("its resources run elsewhere", |site| {
        site.active() == names(RESOURCES)
    });
    site.wait_for("two nodes agree", |site| {
        rest.iter().all(|at| site.agreed(*at, &others))
    });
    for node in &rest {
        assert!(
            !site.log(*node).iter().any(|line| line.starts_with("stop")),
            "nothing moved"
        );
    }

    // A change while it is away; it comes back with its old CIB.
    let xml = configuration(9, RESOURCES + 1);
    let change = Do::CibReplace { xml, force: None };
    assert!(matches!(
        site.ask(rest[0], change),
        Ok(Answer::Replaced { .. })
    ));
    site.wait_for("the new resource runs", |site| {
        site.active() == names(RESOURCES + 1)
    });
    site.start(lost);
    site.wait_for("three nodes agree again", |site| {
        (1..=3).all(|at| site.agreed(at, &all))
    });
    site.wait_for("all have the newest CIB", |site| {
        (1..=3).all(|at| site.version(at) == site.version(rest[0]))
    });
    site.wait_for("everything runs once", |site| {
        site.active() == names(RESOURCES + 1)
    });
    let status = site.status(lost).unwrap();
    let resources = &status.resources;
    assert_eq!(resources.len(), RESOURCES + 1);
    assert!(
        resources
            .iter()
            .all(|one| one.state == ResourceState::Started && one.nodes.len() == 1)
    );

    // An orderly end: what ran there is stopped, then the node goes, and runs elsewhere.
    site.ask(rest[1], Do::Shutdown).unwrap();
    let mut daemon = site.daemons[rest[1] - 1].take().unwrap();
    assert!(daemon.wait().unwrap().success());
    assert!(site.active_on(rest[1]).is_empty());
    site.wait_for("everything runs once", |site| {
        site.active() == names(RESOURCES + 1)
    });
}

#[test]
fn a_node_alone_of_three_does_nothing_and_changes_nothing() {
    let mut site = Site::new(92);
    site.start(1);
    site.wait_for("it agrees with itself", |site| {
        let nodes = site.status(1).and_then(|status| status.site_nodes);
        nodes.is_some_and(|nodes| nodes.agreed && !nodes.quorate)
    });
    let change = |force: Option<&str>| Do::CibReplace {
        xml: configuration(7, 1),
        force: force.map(str::to_owned),
    };
    match site.ask(1, change(None)) {
        Err(ClientError::Refused(error)) => assert_eq!(error.code, ErrorCode::Unavailable),
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        site.ask(1, change(Some("a test"))),
        Ok(Answer::Replaced { .. })
    ));
    assert_eq!(site.active(), [""; 0], "nothing was started");
}
