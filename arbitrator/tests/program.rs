//! The program's command line. What it does once it runs is shown by the tests of `site-agent`,
//! with the same loop.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_arbitrator"))
        .args(arguments)
        .output()
        .expect("the program")
}

#[test]
fn version_and_usage() {
    let version = run(&["--version"]);
    assert!(version.status.success());
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("arbitrator "));
    let wrong = run(&["--nonsense"]);
    assert_eq!(wrong.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("usage: arbitrator"));
}

#[test]
fn a_site_is_not_served() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let file = folder.path().join("interlock.toml");
    let text = "[cluster]\nname = \"shop\"\nmember = \"berlin\"\n\
                [member.berlin]\nrole = \"site\"\naddress = \"127.0.0.1:1\"\n\
                [member.paris]\nrole = \"site\"\naddress = \"127.0.0.1:2\"\n\
                [member.arb]\nrole = \"arbitrator\"\naddress = \"127.0.0.1:3\"\n\
                [ticket.db]\nmode = \"manual\"\n";
    std::fs::write(&file, text).expect("the configuration");
    let refused = run(&["--config", &file.display().to_string()]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{words}");
    assert!(words.contains("site-agent"), "{words}");
    assert!(!folder.path().join("state").exists(), "nothing was made");
}
