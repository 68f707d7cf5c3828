//! A wrong command line: one line, exit 64, never a page.

use crate::fake::run;

#[test]
fn wrong_command_lines_get_one_line_that_names_the_right_one() {
    let cases: [(&[&str], &str); 17] = [
        (&[], "ticket status"),
        (&["mvoe", "db"], "write ticket move"),
        (&["failover", "db"], "ticket move TICKET --to SITE"),
        (&["client", "list"], "without `client`"),
        (&["geostore", "set"], "attrd_updater"),
        (&["unstandby", "db"], "ticket activate TICKET"),
        (&["verify"], "ticket check"),
        (&["xyzzy"], "ticket --help"),
        (&["grant", "db", "--tp", "paris"], "ticket grant --help"),
        (&["list", "--jsno"], "did you mean `--json`?"),
        (&["list", "--output-as", "xml"], "write text or json"),
        (&["grant", "db", "--wait=soon"], "such as \"30s\""),
        (
            &["grant", "db", "paris", "--to", "berlin"],
            "cannot be used with",
        ),
        (&["grant", "db", "--reason", "x"], "--force is missing"),
        (&["init", "--cluster", "shop"], "is missing"),
        (&["issue"], "is missing"),
        (&["watch", "--after", "x"], "cannot be used"),
    ];
    for (arguments, words) in cases {
        let ran = run(arguments);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (64, ""),
            "{arguments:?}: {}",
            ran.err
        );
        assert_eq!(ran.err.lines().count(), 1, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(words), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn help_and_version_are_answers() {
    for arguments in [&["--help"][..], &["move", "--help"], &["--version"]] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
        assert!(!ran.out.is_empty());
    }
}

#[test]
fn codes_are_pacemakers() {
    let ran = run(&["codes"]);
    for words in [
        " 102  not-connected",
        " 106  quorum",
        " 107  unsafe",
        " 112  unknown",
        " 124  timeout",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    let json: serde_json::Value = serde_json::from_str(&run(&["codes", "--json"]).out).unwrap();
    assert_eq!(json["codes"][0]["name"], "done");
}
