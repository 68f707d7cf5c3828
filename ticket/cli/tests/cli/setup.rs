//! Init, issue and check: from nothing to a configuration, and every bad one refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::fake::{self, Fake, Ran, run};
use link::Identity;
use link::ca::Ca;
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(86_400);

fn init(directory: &Path, more: &[&str]) -> Ran {
    let directory = directory.to_str().expect("UTF-8");
    let mut arguments = vec![
        "init",
        "--cluster",
        "shop",
        "--dir",
        directory,
        "--site",
        "berlin=127.0.0.1:7001",
        "--site",
        "paris=127.0.0.1:7002,p.example",
        "--arbitrator",
        "arb=127.0.0.1:7003",
        "--ticket",
        "db",
        "--local",
    ];
    arguments.extend_from_slice(more);
    run(&arguments)
}

fn check(config: &Path) -> Ran {
    run(&["-c", config.to_str().expect("UTF-8"), "check"])
}

/// A cluster, and berlin's directory in it.
fn made() -> (TempDir, PathBuf) {
    let directory = TempDir::new().expect("a directory");
    let ran = init(&directory.path().join("shop"), &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let berlin = directory.path().join("shop/berlin");
    (directory, berlin)
}

#[test]
fn what_init_makes_passes_check_at_every_member() {
    let (directory, _) = made();
    let shop = directory.path().join("shop");
    for member in ["berlin", "paris", "arb"] {
        let config = shop.join(member).join("interlock.toml");
        let ran = check(&config);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let words = format!("this is {member}\n  certificate of {member}: 18");
        assert!(ran.out.contains(&words), "{}", ran.out);
        assert!(shop.join(member).join("state/first-start").exists());
        let loaded = ticket_config::load(&config, None).unwrap();
        assert_eq!(
            loaded.paths.control_socket(member),
            shop.join(member).join(format!("run/{member}.sock"))
        );
    }
    let mode = |path: &str| fs::metadata(shop.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode("ca/ca.key"), mode("berlin/pki/berlin.key")),
        (0o600, 0o600)
    );
    assert_eq!(mode(""), 0o700);
    let explained = run(&[
        "-c",
        shop.join("berlin/interlock.toml").to_str().unwrap(),
        "check",
        "--explain",
    ]);
    assert!(
        explained.out.contains("worst-case automatic failover"),
        "{}",
        explained.out
    );
    let json = run(&[
        "-c",
        shop.join("interlock.toml").to_str().unwrap(),
        "check",
        "--json",
    ]);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["tickets"][0]["lease_seconds"], 30.0);
}

#[test]
fn init_makes_everything_or_nothing() {
    let directory = TempDir::new().unwrap();
    let shop = directory.path().join("shop");
    let nothing = |ran: Ran, code: i32, words: &str| {
        assert_eq!(ran.code, code, "{}", ran.err);
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            0,
            "something was left"
        );
    };
    nothing(init(&shop, &["--site", "rome"]), 64, "names no address");
    nothing(
        init(&shop, &["--site", "Rome=r.example"]),
        78,
        "member name \"Rome\"",
    );
    nothing(
        init(&shop, &["--site", "berlin=r.example"]),
        78,
        "duplicate member \"berlin\"",
    );
    nothing(
        init(&shop, &["--site", "rome=127.0.0.1:7001"]),
        78,
        "duplicate address",
    );
    nothing(init(&shop, &["--lease", "50ms"]), 78, "too short");
    nothing(
        init(&shop, &["--acquire-after", "1s", "--stop-budget", "5s"]),
        78,
        "stop budget",
    );
    nothing(
        init(&shop, &["--cluster-manager", "pacemakr"]),
        64,
        "absolute path of a command",
    );
    nothing(
        init(&shop, &["--site", "rome=\"\n[x]=1"]),
        78,
        "not a host name",
    );
    assert_eq!(init(&shop, &[]).code, 0);
    let before = fs::read(shop.join("ca/ca.key")).unwrap();
    let again = init(&shop, &[]);
    assert_eq!(again.code, 108, "{}", again.err);
    assert_eq!(fs::read(shop.join("ca/ca.key")).unwrap(), before);
    assert_eq!(init(Path::new("/proc/shop"), &[]).code, 73);
}

#[test]
fn for_other_machines_init_makes_trees_to_unpack() {
    let directory = TempDir::new().unwrap();
    let shop = directory.path().join("shop");
    let arguments = [
        "init",
        "--cluster",
        "shop",
        "--dir",
        shop.to_str().unwrap(),
        "--site",
        "a=a.example",
        "--site",
        "b=b.example",
        "--arbitrator",
        "c=c.example",
        "--ticket",
        "my.db",
        "--manual",
        "--cluster-manager",
        "/usr/local/bin/tell it",
        "--json",
    ];
    let ran = run(&arguments);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["members"][2]["role"], "arbitrator");
    assert!(shop.join("a/etc/interlock/pki/a.key").exists());
    assert!(shop.join("a/var/lib/interlock/first-start").exists());
    let config = ticket_config::load(&shop.join("a/etc/interlock/interlock.toml"), None).unwrap();
    assert_eq!(config.paths.state, Path::new("/var/lib/interlock"));
    assert_eq!(
        config.find_ticket("my.db").unwrap().mode,
        ticket_config::Mode::Manual
    );
    let expected = ticket_config::ClusterManager::Command {
        command: vec!["/usr/local/bin/tell it".into()],
        guard: None,
        timeout: Duration::from_secs(10),
    };
    assert_eq!(config.cluster_manager, expected);
}

#[test]
fn issue_renews_and_never_makes_a_second_first_start() {
    let (directory, berlin) = made();
    let shop = directory.path().join("shop");
    let dir = shop.to_str().unwrap();
    let old = fs::read(berlin.join("pki/berlin.key")).unwrap();
    fs::remove_file(berlin.join("state/first-start")).unwrap();
    assert_eq!(run(&["issue", "berlin", "--dir", dir]).code, 108);
    assert_eq!(fs::read(berlin.join("pki/berlin.key")).unwrap(), old);
    let ran = run(&[
        "issue",
        "berlin",
        "--dir",
        dir,
        "--renew",
        "--validity",
        "30d",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_ne!(fs::read(berlin.join("pki/berlin.key")).unwrap(), old);
    assert!(!berlin.join("state/first-start").exists());
    let ran = check(&berlin.join("interlock.toml"));
    let days = |days: u32| format!("certificate of berlin: {days} days left");
    assert!(
        ran.out.contains(&days(30)) || ran.out.contains(&days(29)),
        "{} {}",
        ran.out,
        ran.err
    );
    let ran = run(&["issue", "rome", "--dir", dir]);
    assert_eq!(ran.code, 105, "{}", ran.err);
    // A member that was added to the configuration gets a directory like the others'.
    let config = fs::read_to_string(shop.join("interlock.toml")).unwrap();
    let more = "\n[member.rome]\nrole = \"arbitrator\"\naddress = \"r.example\"\n\
                [member.oslo]\nrole = \"arbitrator\"\naddress = \"o.example\"\n";
    fs::write(shop.join("interlock.toml"), config + more).unwrap();
    let ran = run(&["issue", "rome", "--dir", dir]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(check(&shop.join("rome/interlock.toml")).code, 0);
    fs::set_permissions(shop.join("ca/ca.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let ran = run(&["issue", "oslo", "--dir", dir]);
    assert!(
        ran.code == 77 && ran.err.contains("chmod 600"),
        "{}",
        ran.err
    );
    assert!(!shop.join("oslo").exists());
    assert_eq!(
        run(&["issue", "arb", "--dir", directory.path().to_str().unwrap()]).code,
        78
    );
}

/// Puts another certificate and key in the place of berlin's.
fn forge(berlin: &Path, ca: &Ca, identity: (&str, &str, &str), end: SystemTime) {
    let identity = Identity::new(identity.0, identity.1, identity.2).expect("good names");
    let issued = ca
        .issue_between(&identity, end - 60 * DAY, end)
        .expect("issued");
    fs::write(berlin.join("pki/berlin.crt"), issued.certificate_pem).expect("written");
    fs::write(berlin.join("pki/berlin.key"), issued.key_pem).expect("written");
}

#[test]
fn bad_certificates_are_named_with_the_cause() {
    let (directory, berlin) = made();
    let config = berlin.join("interlock.toml");
    let later = SystemTime::now() + DAY;
    let ca = Ca::load(&directory.path().join("shop/ca")).unwrap();
    let other = Ca::create("shop").unwrap();
    let me = ("shop", "site", "berlin");
    let refused = |words: &str| {
        let ran = check(&config);
        assert_eq!(ran.code, 78, "{}", ran.out);
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    };
    forge(&berlin, &ca, ("store", "site", "berlin"), later);
    refused("cluster store");
    forge(&berlin, &ca, ("shop", "site", "paris"), later);
    refused("certificate of site paris");
    forge(&berlin, &ca, ("shop", "arbitrator", "berlin"), later);
    refused("certificate of arbitrator berlin");
    forge(&berlin, &ca, me, SystemTime::now() - 3 * DAY);
    refused("expired 3 days ago");
    forge(&berlin, &other, me, later);
    refused("another authority");
    forge(&berlin, &ca, me, later);
    assert_eq!(check(&config).code, 0);
    let key = berlin.join("pki/berlin.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    refused("can be read by others");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let text = fs::read_to_string(&key).unwrap();
    fs::write(&key, &text[..text.len() / 2]).unwrap();
    refused("berlin.key");
    fs::remove_file(&key).unwrap();
    refused("berlin.key");
}

#[test]
fn every_error_of_a_configuration_is_shown_at_once_and_as_json() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("interlock.toml");
    let bad = include_str!("../../../config/tests/bad/unknown-keys.toml");
    fs::write(&path, bad).unwrap();
    let ran = check(&path);
    assert_eq!(ran.code, 78);
    assert_eq!(
        ran.err.matches(": error: unknown key").count(),
        6,
        "{}",
        ran.err
    );
    assert!(
        ran.err.ends_with("x refused: 6 errors (exit 78)\n"),
        "{}",
        ran.err
    );
    let ran = run(&["-c", path.to_str().unwrap(), "check", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(
        (&json["code"], &json["name"]),
        (&78.into(), &"config".into())
    );
    assert_eq!(json["findings"].as_array().unwrap().len(), 6);
    assert_eq!(json["findings"][0]["line"], 18);
    assert!(
        json["message"].as_str().unwrap().contains(":18:1: error"),
        "{json}"
    );
}

#[test]
fn stop_timeouts_of_the_running_cluster_are_compared() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("interlock.toml");
    let mut view = fake::view();
    for (takes, code, words) in [
        (
            15_000,
            0,
            "stop timeouts behind db: 15s at most, of a stop-budget of 15s",
        ),
        (45_000, 78, "may take 45s to stop"),
    ] {
        view.tickets[1].stop_budget_ms = Some(takes);
        let fake = Fake::new(view.clone(), Vec::new());
        let run_directory = fake.socket.parent().unwrap().display();
        let text = format!(
            "[cluster]\nname = \"shop\"\nmember = \"berlin\"\n[paths]\nrun = \"{run_directory}\"\n\
             [member.berlin]\nrole = \"site\"\naddress = \"b.example\"\n\
             [member.paris]\nrole = \"site\"\naddress = \"p.example\"\n\
             [member.arb]\nrole = \"arbitrator\"\naddress = \"a.example\"\n[ticket.db]\n"
        );
        fs::write(&path, text).unwrap();
        let ran = check(&path);
        assert_eq!(ran.code, code, "{} {}", ran.out, ran.err);
        assert!((ran.out + &ran.err).contains(words), "{words}");
    }
}

/// A daemon that answers where berlin's would.
fn berlin_runs(berlin: &Path, steps: Vec<fake::Step>) -> Fake {
    let fake = Fake::new(fake::view(), steps);
    let run = berlin.join("run");
    fs::create_dir_all(&run).expect("made");
    std::os::unix::fs::symlink(&fake.socket, run.join("berlin.sock")).expect("linked");
    fake
}

#[test]
fn a_plain_grant_of_known_names_is_one_request() {
    let (_directory, berlin) = made();
    let fake = berlin_runs(&berlin, vec![fake::met("db is granted to paris")]);
    let config = berlin.join("interlock.toml");
    let config = config.to_str().expect("UTF-8");
    for (arguments, views) in [
        (&["grant", "db"][..], 0),
        (&["grant", "db", "paris"], 0),
        // What the configuration does not know, and what asks for care, is looked at first.
        (&["grant", "web"], 1),
        (&["grant", "db", "rome"], 2),
        (&["grant", "db", "--dry-run"], 3),
        (&["grant", "db", "-F", "--reason", "it burns", "--yes"], 4),
    ] {
        let all = [&["-c", config], arguments].concat();
        let ran = run(&all);
        assert_eq!(fake.views(), views, "{arguments:?}: {}", ran.err);
    }
    let targets: Vec<_> = fake.actions().into_iter().map(|it| it.verb).collect();
    let to = |name: &str| ticket_admin::Verb::Grant {
        to: Some(name.to_owned()),
        force: None,
    };
    assert_eq!(targets[..2], [to("berlin"), to("paris")]);
}

#[test]
fn a_member_of_another_machine_is_not_asked_here() {
    let (_directory, berlin) = made();
    let fake = berlin_runs(&berlin, vec![fake::met("never")]);
    let config = berlin.join("interlock.toml");
    let ran = run(&[
        "-c",
        config.to_str().expect("UTF-8"),
        "-s",
        "paris",
        "grant",
        "db",
    ]);
    assert_eq!(ran.code, 102, "{}", ran.err);
    assert!(
        ran.err.contains("paris runs on another machine"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("--to paris"), "{}", ran.err);
    assert_eq!(fake.actions(), []);
}
