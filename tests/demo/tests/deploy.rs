//! What is shipped in `deploy/` is read here as the programs read it: an example that does not pass
//! `check`, a unit with a misspelt directive, an agent without metadata cannot stay.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

#[test]
fn every_example_configuration_passes_check_without_a_warning() {
    let mut seen = 0;
    for entry in fs::read_dir(deploy().join("examples")).unwrap() {
        let path = entry.unwrap().path().join("interlock.toml");
        if !path.is_file() {
            continue;
        }
        seen += 1;
        match ticket_config::load(&path, None) {
            Ok(config) => assert!(
                config.warnings.is_empty(),
                "{path:?}: {:?}",
                config.warnings
            ),
            Err(findings) => panic!("{path:?}: {findings:?}"),
        }
    }
    assert_eq!(seen, 3, "two-sites, arbitrator, manual-tickets");
}

#[test]
fn the_arbitrator_has_the_configuration_of_the_sites() {
    let read = |name: &str| {
        let path = deploy().join("examples").join(name).join("interlock.toml");
        let text = fs::read_to_string(path).unwrap();
        // The head comment tells what the machine is for; the rest is one configuration.
        text.split_once("[cluster]").unwrap().1.to_owned()
    };
    assert_eq!(read("arbitrator"), read("two-sites"));
}

#[test]
fn every_example_cib_can_be_read_and_its_stops_fit_the_stop_budget() {
    for (name, gated) in [
        ("two-sites", true),
        ("manual-tickets", true),
        ("single-site", false),
    ] {
        let path = deploy().join("examples").join(name).join("cib.xml");
        let text = fs::read_to_string(&path).unwrap();
        let cib = cib::Cib::parse(&text, path.to_str());
        assert!(cib.is_ok(), "{name}: {cib:?}");
        assert_eq!(text.contains("<rsc_ticket"), gated, "{name}");
        let stops: u64 = text
            .lines()
            .filter(|line| line.contains("name=\"stop\""))
            .map(|line| {
                let timeout = line.split("timeout=\"").nth(1).unwrap();
                timeout.split_once("s\"").unwrap().0.parse::<u64>().unwrap()
            })
            .sum();
        assert!(
            stops <= 20,
            "{name}: stops take up to {stops} s, the stop budget is 20 s"
        );
    }
}

/// Directives that the units use, by section; anything else is a slip of the pen until it is added.
const KNOWN: &[(&str, &[&str])] = &[
    (
        "Unit",
        &[
            "Description",
            "Documentation",
            "After",
            "Before",
            "Wants",
            "Conflicts",
            "ConditionPathExists",
            "ConditionKernelCommandLine",
            "DefaultDependencies",
            "StartLimitIntervalSec",
            "StartLimitBurst",
        ],
    ),
    ("Install", &["WantedBy"]),
    (
        "Service",
        &[
            "Type",
            "NotifyAccess",
            "Environment",
            "EnvironmentFile",
            "ExecStartPre",
            "ExecStart",
            "ExecReload",
            "WatchdogSec",
            "Restart",
            "RestartSec",
            "TimeoutStartSec",
            "TimeoutStopSec",
            "KillMode",
            "SendSIGKILL",
            "User",
            "Group",
            "UMask",
            "ReadWritePaths",
            "OOMScoreAdjust",
            "LimitMEMLOCK",
            "LimitNOFILE",
            "TasksMax",
            "CPUSchedulingPolicy",
            "CPUSchedulingPriority",
            "IOSchedulingClass",
            "CapabilityBoundingSet",
            "AmbientCapabilities",
            "NoNewPrivileges",
            "ProtectSystem",
            "ProtectHome",
            "PrivateTmp",
            "PrivateDevices",
            "PrivateNetwork",
            "ProtectClock",
            "ProtectHostname",
            "ProtectKernelLogs",
            "ProtectKernelModules",
            "ProtectKernelTunables",
            "ProtectControlGroups",
            "ProtectProc",
            "RestrictAddressFamilies",
            "RestrictNamespaces",
            "RestrictRealtime",
            "RestrictSUIDSGID",
            "LockPersonality",
            "MemoryDenyWriteExecute",
            "RemoveIPC",
            "SystemCallArchitectures",
            "SystemCallFilter",
        ],
    ),
];

/// A unit as section.key -> values.
fn unit(name: &str) -> BTreeMap<String, Vec<String>> {
    let path = deploy()
        .join("systemd")
        .join(format!("interlock-{name}.service"));
    let text = fs::read_to_string(&path).expect("the unit exists");
    let mut section = String::new();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let place = format!("{}:{}", path.display(), number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            section = name
                .strip_suffix(']')
                .unwrap_or_else(|| panic!("{place}"))
                .to_owned();
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .unwrap_or_else(|| panic!("{place}: {line}"));
        let known = KNOWN.iter().find(|(name, _)| *name == section);
        let known = known
            .unwrap_or_else(|| panic!("{place}: section {section}"))
            .1;
        assert!(known.contains(&key), "{place}: {section} has no {key}");
        found
            .entry(format!("{section}.{key}"))
            .or_default()
            .push(value.to_owned());
    }
    found
}

fn only<'a>(unit: &'a BTreeMap<String, Vec<String>>, key: &str) -> &'a str {
    match unit.get(key).map(Vec::as_slice) {
        Some([one]) => one,
        other => panic!("{key}: {other:?}"),
    }
}

#[test]
fn units_report_ready_are_watched_and_restart() {
    for name in ["site-agent", "arbitrator", "local-stack", "guard"] {
        let unit = unit(name);
        assert_eq!(only(&unit, "Service.Type"), "notify", "{name}");
        assert_eq!(only(&unit, "Service.NotifyAccess"), "main", "{name}");
        assert_eq!(only(&unit, "Service.Restart"), "always", "{name}");
        assert!(only(&unit, "Service.WatchdogSec").ends_with('s'), "{name}");
        let start = only(&unit, "Service.ExecStart");
        assert!(
            start.starts_with(&format!("/usr/libexec/interlock/{name} ")),
            "{start}"
        );
        assert_eq!(
            only(&unit, "Install.WantedBy"),
            "multi-user.target",
            "{name}"
        );
    }
}

#[test]
fn units_are_hardened_as_far_as_their_work_allows() {
    for name in ["site-agent", "arbitrator"] {
        let unit = unit(name);
        assert_eq!(only(&unit, "Service.User"), "hacluster");
        assert_eq!(only(&unit, "Service.CapabilityBoundingSet"), "");
    }
    for name in ["site-agent", "arbitrator", "guard"] {
        let unit = unit(name);
        for (key, value) in [
            ("NoNewPrivileges", "yes"),
            ("ProtectSystem", "strict"),
            ("MemoryDenyWriteExecute", "yes"),
            ("RestrictNamespaces", "yes"),
            ("SystemCallArchitectures", "native"),
        ] {
            assert_eq!(
                only(&unit, &format!("Service.{key}")),
                value,
                "{name}: {key}"
            );
        }
    }
    // The kernel must never take the guard first, and the resources outlive the stack.
    assert_eq!(only(&unit("guard"), "Service.OOMScoreAdjust"), "-1000");
    assert_eq!(only(&unit("local-stack"), "Service.KillMode"), "process");
    assert_eq!(only(&unit("local-stack"), "Service.SendSIGKILL"), "no");
}

#[test]
fn users_and_folders_of_the_units_are_created() {
    let users = fs::read_to_string(deploy().join("sysusers.d/interlock.conf")).unwrap();
    let folders = fs::read_to_string(deploy().join("tmpfiles.d/interlock.conf")).unwrap();
    for name in ["site-agent", "arbitrator", "local-stack", "guard"] {
        let unit = unit(name);
        for key in ["Service.User", "Service.Group"] {
            let who = only(&unit, key);
            let made = users
                .lines()
                .any(|line| line.split(' ').nth(1) == Some(who));
            assert!(who == "root" || made, "{name}: {who} is not created");
        }
        for path in unit.get("Service.ReadWritePaths").into_iter().flatten() {
            for path in path.split(' ') {
                let made = folders
                    .lines()
                    .any(|line| line.split_whitespace().nth(1) == Some(path));
                assert!(made, "{name}: {path} is not created");
            }
        }
    }
}

fn agent(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(deploy().join("ocf/interlock/web"))
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(environment.iter().copied())
        .output()
        .expect("the agent can be started")
}

#[test]
fn the_agent_describes_itself_and_refuses_by_ocf_codes() {
    let output = agent(&["meta-data"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    for action in ["start", "stop", "monitor", "validate-all", "meta-data"] {
        assert!(
            text.contains(&format!("<action name=\"{action}\"")),
            "{action}"
        );
    }
    for parameter in ["binary", "port", "state", "site", "witness", "faults"] {
        assert!(
            text.contains(&format!("<parameter name=\"{parameter}\"")),
            "{parameter}"
        );
    }
    assert_eq!(agent(&[], &[]).status.code(), Some(2), "no action");
    assert_eq!(
        agent(&["dance"], &[]).status.code(),
        Some(3),
        "unknown action"
    );
    let unset = agent(&["start"], &[]);
    assert_eq!(unset.status.code(), Some(6), "parameters missing");
    assert!(String::from_utf8_lossy(&unset.stderr).starts_with("ocf-exit-reason:"));
    let whole = [
        ("OCF_RESKEY_binary", "/bin/true"),
        ("OCF_RESKEY_port", "8080"),
        ("OCF_RESKEY_state", "/nonexistent"),
        ("OCF_RESKEY_site", "berlin"),
        ("OCF_RESKEY_witness", "/nonexistent"),
    ];
    assert_eq!(agent(&["validate-all"], &whole).status.code(), Some(0));
    assert_eq!(
        agent(&["monitor"], &whole).status.code(),
        Some(7),
        "not running"
    );
    let mut absent = whole;
    absent[0].1 = "/nonexistent";
    assert_eq!(
        agent(&["start"], &absent).status.code(),
        Some(5),
        "not installed"
    );
    assert_eq!(
        agent(&["stop"], &absent).status.code(),
        Some(0),
        "nothing can run"
    );
    let mut wrong = whole;
    wrong[1].1 = "http";
    assert_eq!(
        agent(&["start"], &wrong).status.code(),
        Some(6),
        "port is no number"
    );
}
