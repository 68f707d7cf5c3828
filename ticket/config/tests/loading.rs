//! Files on disk: what is read, in which order, and that nothing makes the reader fall over.

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;
use ticket_config::{
    ClusterManager, Config, Diagnostic, Mode, Options, Role, Severity, load, load_text, load_with,
};

const SHOP: &str = r#"
[cluster]
name = "shop"

[member.paris]
role = "site"
address = "srv:_interlock._udp.p.example"

[member.berlin]
role = "site"
address = ["127.0.0.1:7001", "b.example"]

[member.arb]
role = "arbitrator"
address = "[2001:db8::7]:77"
listen = ["0.0.0.0:78"]

[ticket.db]
lease = "30s"
acquire-after = 20
prefer = "paris"
loss-policy = "demote"

[ticket.App]
mode = "manual"
"#;

fn text(text: &str) -> Result<Config, Vec<Diagnostic>> {
    load_text(Path::new("shop.toml"), text, Options::default())
}

fn write(directory: &TempDir, name: &str, text: &str) -> std::path::PathBuf {
    let path = directory.path().join(name);
    fs::create_dir_all(path.parent().expect("has one")).expect("made");
    fs::write(&path, text).expect("written");
    path
}

fn said(found: &[Diagnostic]) -> String {
    found
        .iter()
        .map(|one| format!("{}\n", one.headline()))
        .collect()
}

#[test]
fn defaults_and_derived_values() {
    let config = text(SHOP).unwrap();
    let names: Vec<&str> = config
        .members
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["arb", "berlin", "paris"],
        "sorted: an index is the same everywhere"
    );
    assert_eq!(config.find_member("arb").unwrap().role, Role::Arbitrator);
    let listen = |name| {
        let listen = &config.find_member(name).unwrap().listen;
        listen.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(listen("berlin"), ["127.0.0.1:7001", "[::]:9929"]);
    assert_eq!(listen("arb"), ["0.0.0.0:78"]);
    assert_eq!(listen("paris"), ["[::]:9929"]);
    let db = config.find_ticket("db").unwrap();
    assert_eq!((db.mode, db.lease), (Mode::Auto, Duration::from_secs(30)));
    assert_eq!(db.acquire_after, Duration::from_secs(20));
    assert_eq!(db.renew_every, Duration::from_secs(10));
    assert_eq!(db.stop_budget, Duration::from_secs(15));
    assert_eq!(config.find_ticket("App").unwrap().mode, Mode::Manual);
    assert_eq!(config.cluster.drift_ppm, 10_000);
    assert_eq!(config.cluster.round_timeout, Duration::from_secs(1));
    assert_eq!(config.cluster_manager, ClusterManager::None);
    assert_eq!(config.majority(), 2);
    let timings = config.timings(db);
    assert_eq!(timings.obligation, Duration::from_millis(50_500));
    assert_eq!(timings.worst_failover, Duration::from_millis(54_500));
    assert!(timings.renewal_fits() && timings.stop_fits());
    assert!(
        timings.explain()[2].contains("54.5s"),
        "{:?}",
        timings.explain()
    );
    assert_eq!(config.warnings, []);
}

#[test]
fn drop_ins_are_read_in_order_and_paths_are_relative_to_the_main_file() {
    let directory = TempDir::new().unwrap();
    let main = write(&directory, "interlock.toml", SHOP);
    write(
        &directory,
        "conf.d/20-paths.toml",
        "[paths]\npki = \"keys\"\nrun = \"/run/x\"\n",
    );
    write(
        &directory,
        "conf.d/10-me.toml",
        "[cluster]\nmember = \"berlin\"\n",
    );
    write(&directory, "conf.d/README", "not read");
    write(&directory, "conf.d/.hidden.toml", "not read");
    let config = load(&main, None).unwrap();
    assert_eq!(config.me().unwrap().name, "berlin");
    assert_eq!(
        config.paths.certificate("berlin"),
        directory.path().join("keys/berlin.crt")
    );
    assert_eq!(
        config.paths.control_socket("berlin"),
        Path::new("/run/x/berlin.sock")
    );
    let names: Vec<_> = config
        .files
        .iter()
        .map(|file| file.file_name().unwrap())
        .collect();
    assert_eq!(names, ["interlock.toml", "10-me.toml", "20-paths.toml"]);
    assert_eq!(
        load(&main, Some("paris")).unwrap().me().unwrap().name,
        "paris"
    );
}

#[test]
fn what_two_files_give_is_an_error_that_names_both() {
    let directory = TempDir::new().unwrap();
    let main = write(&directory, "interlock.toml", SHOP);
    write(
        &directory,
        "conf.d/a.toml",
        "[ticket.db]\nlease = \"5s\"\n[cluster]\nname = \"x\"\n",
    );
    let said = said(&load_with(&main, Options::default()).unwrap_err());
    assert!(
        said.contains("a.toml:1:9: error: duplicate ticket \"db\"; the first is at"),
        "{said}"
    );
    assert!(
        said.contains("a.toml:4:8: error: name is given twice; first at"),
        "{said}"
    );
    assert!(said.contains("interlock.toml:3:8"), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
}

#[test]
fn a_daemon_has_to_know_which_member_it_is() {
    let directory = TempDir::new().unwrap();
    let main = write(&directory, "interlock.toml", SHOP);
    let found = said(&load(&main, None).unwrap_err());
    assert!(found.contains("which member this machine is"), "{found}");
    let found = said(&load(&main, Some("prais")).unwrap_err());
    assert!(found.contains("did you mean \"paris\"?"), "{found}");
    assert!(load_with(&main, Options::default()).is_ok());
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let directory = TempDir::new().unwrap();
    let missing = directory.path().join("none.toml");
    assert!(said(&load(&missing, None).unwrap_err()).contains("ticket init"));
    assert!(said(&load(directory.path(), None).unwrap_err()).contains("not a regular file"));
    let main = write(&directory, "interlock.toml", SHOP);
    fs::write(&main, b"[cluster]\nname = \"sh\xffop\"\n").unwrap();
    let found = load(&main, None).unwrap_err();
    assert!(
        found[0].message.contains("not UTF-8") && found[0].line == 2,
        "{found:?}"
    );
    fs::write(&main, "#".repeat((1 << 20) + 1)).unwrap();
    assert!(said(&load(&main, None).unwrap_err()).contains("larger than"));
}

#[test]
fn findings_are_bounded() {
    let mut many = SHOP.to_owned();
    many.push_str("[paths]\n");
    for number in 0..5_000 {
        many.push_str(&format!("k{number} = 1\n"));
    }
    let found = text(&many).unwrap_err();
    assert!(found.len() <= 101, "{}", found.len());
    assert!(
        found.last().unwrap().message.contains("4900 more"),
        "{:?}",
        found.last()
    );
    let deep = format!("a = {}", "[".repeat(100_000));
    assert!(text(&deep).is_err());
}

#[test]
fn the_lease_that_is_advised_is_accepted() {
    for (round, extra) in [
        ("400ms", "renew-every = \"1s\""),
        ("400ms", ""),
        ("9s", ""),
        ("50ms", ""),
    ] {
        let with = |lease: &str| {
            let text = SHOP.replace("lease = \"30s\"", &format!("lease = \"{lease}\"\n{extra}"));
            text.replace(
                "name = \"shop\"",
                &format!("name = \"shop\"\nround-timeout = \"{round}\""),
            )
        };
        let found = text(&with("250ms")).unwrap_err();
        let hint = found.iter().find_map(|one| one.hint.clone()).unwrap();
        let advised = hint.split('"').nth(1).unwrap();
        let result = text(&with(advised));
        assert!(
            result.is_ok(),
            "{round} {extra}: {advised}: {:?}",
            result.unwrap_err()
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(input in "\\PC{0,400}") {
        let _ = text(&input).map_err(|found| said(&found));
    }

    #[test]
    fn no_damage_makes_it_panic(
        at in 0..SHOP.len(),
        length in 0_usize..40,
        insert in "[\\[\\]\"'=.#\n\\\\a-z0-9{},\u{e4}]{0,12}",
    ) {
        let end = (at + length).min(SHOP.len());
        if SHOP.is_char_boundary(at) && SHOP.is_char_boundary(end) {
            let damaged = format!("{}{insert}{}", &SHOP[..at], &SHOP[end..]);
            if let Err(found) = text(&damaged) {
                prop_assert!(found.iter().any(|one| one.severity == Severity::Error));
                let shown: String = found.iter().map(ToString::to_string).collect();
                prop_assert!(!shown.is_empty());
            }
        }
    }

    #[test]
    fn what_is_accepted_keeps_its_promises(
        lease in 1_u64..120_000, acquire in 0_u64..60_000, budget in 0_u64..60_000, renew in 0_u64..60_000,
    ) {
        let input = SHOP.replace("lease = \"30s\"", &format!(
            "lease = \"{lease}ms\"\nstop-budget = \"{budget}ms\"\nrenew-every = \"{renew}ms\""))
            .replace("acquire-after = 20", &format!("acquire-after = \"{acquire}ms\""));
        if let Ok(config) = text(&input) {
            let ticket = config.find_ticket("db").unwrap();
            prop_assert!(acquire > budget);
            prop_assert!(renew > 0 && 2 * renew <= lease);
            prop_assert!(config.timings(ticket).renewal_fits());
        }
    }
}
