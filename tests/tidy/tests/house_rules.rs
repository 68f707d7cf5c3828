//! The house rules on the real tree, and each rule on an input that breaks it.

use std::fs;

use tidy::{
    asks_for_switches, forbidden_edges, long_files, metadata, root, stray_top_level, unfit_words,
    workspace_edges,
};

#[test]
fn the_top_level_is_as_agreed() {
    assert_eq!(stray_top_level(&root()), Vec::<String>::new());
}

#[test]
fn files_fit_in_a_head() {
    assert_eq!(long_files(&root()), Vec::<String>::new());
}

#[test]
fn no_unfit_words() {
    assert_eq!(unfit_words(&root()), Vec::<String>::new());
}

#[test]
fn dependencies_point_one_way() {
    let edges = workspace_edges(&root()).expect("cargo tells the workspace");
    assert!(edges.len() > 30, "cargo told almost nothing: {edges:?}");
    assert_eq!(forbidden_edges(&edges), Vec::<String>::new());
}

#[test]
fn no_build_switches_safety_rules_off_unasked() {
    let workspace = metadata(&root()).expect("cargo tells the workspace");
    assert_eq!(asks_for_switches(&workspace), Vec::<String>::new());
    let features = ["weaken"];
    let wrong = serde_json::json!({"packages": [
        {"name": "site-agent", "features": {"default": ["weaken"]}, "dependencies": []},
        {"name": "sim", "dependencies": [{"name": "ticket-protocol", "features": features}]},
        {"name": "ring-sim", "dependencies": [{"name": "clap", "features": features}]},
    ]});
    assert_eq!(asks_for_switches(&wrong).len(), 2);
}

#[test]
fn each_rule_can_fail() {
    let folder = std::env::temp_dir().join(format!("tidy-{}", std::process::id()));
    fs::create_dir_all(folder.join("stray")).expect("a scratch folder");
    let words = format!("{}\n", concat!("FIX", "ME"));
    fs::write(folder.join("stray/long.rs"), "//\n".repeat(901) + &words).expect("a scratch file");
    assert_eq!(stray_top_level(&folder).len(), 1);
    assert_eq!(long_files(&folder).len(), 1);
    assert_eq!(
        unfit_words(&folder),
        vec![format!("stray/long.rs:902: {}", concat!("FIX", "ME"))]
    );
    fs::remove_dir_all(&folder).expect("the scratch folder goes");

    let wrong = [
        ("scheduler", "tokio"),
        ("link", "cib"),
        ("cib", "ticket-service"),
        ("ticket", "sim"),
    ];
    let wrong = wrong.map(|(from, to)| (from.to_owned(), to.to_owned()));
    assert_eq!(forbidden_edges(&wrong).len(), wrong.len());
}
