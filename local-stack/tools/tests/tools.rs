//! The tools as programs: their command lines, answers and exit codes, over files.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_crm_simulate");

/// A directory with a CIB, and the tools by their classic names.
struct Place {
    directory: tempfile::TempDir,
}

const CIB: &str = r#"<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="5" num_updates="3" admin_epoch="0" have-quorum="1">
  <configuration>
    <crm_config><cluster_property_set id="o"><nvpair id="o1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
    <nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
    <resources><primitive id="A" class="ocf" provider="pacemaker" type="Dummy"><meta_attributes id="m"><nvpair id="m1" name="target-role" value="Started"/></meta_attributes></primitive>
      <primitive id="B" class="ocf" provider="pacemaker" type="Dummy"/></resources>
    <constraints><rsc_ticket id="t1" rsc="B" ticket="T" loss-policy="stop"/></constraints>
  </configuration>
  <status>
    <node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member"/>
    <node_state id="2" uname="n2" in_ccm="true" crmd="online" join="member" expected="member"/>
  </status>
</cib>
"#;

impl Place {
    fn new() -> Self {
        Self::with(CIB)
    }

    fn with(cib: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for tool in [
            "cibadmin",
            "crm_diff",
            "crm_resource",
            "crm_rule",
            "crm_shadow",
            "crm_simulate",
            "crm_ticket",
            "crm_verify",
            "iso8601",
        ] {
            let link = directory.path().join(tool);
            std::os::unix::fs::symlink(PROGRAM, link).expect("a link");
        }
        let place = Self { directory };
        std::fs::write(place.path("cib.xml"), cib).expect("written");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, tool: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path(tool));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("CIB_file", self.path("cib.xml"))
            .env("CIB_shadow_dir", self.directory.path());
        command
    }

    fn run(&self, tool: &str, arguments: &[&str]) -> Answer {
        Answer::of(self.command(tool, arguments).output().expect("it runs"))
    }

    fn cib(&self) -> String {
        std::fs::read_to_string(self.path("cib.xml")).expect("read")
    }
}

#[derive(Debug)]
struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Answer {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Ended with a code, one clear message, and nothing changed.
    fn refused(&self, code: i32, word: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(
            self.err.contains(word) && !self.err.contains("panicked"),
            "{self:?}"
        );
    }
}

#[test]
fn what_ifs_change_the_answer() {
    let place = Place::new();
    let plain = place.run("crm_simulate", &["-x", "cib.xml", "-R"]);
    assert!(plain.out.contains("Start      A"), "{plain:?}");
    assert!(!plain.out.contains("Start      B"), "no ticket: {plain:?}");
    let granted = place.run(
        "crm_simulate",
        &["-x", "cib.xml", "-S", "-g", "T", "-d", "n1"],
    );
    assert!(granted.out.contains("Granting ticket T"), "{granted:?}");
    assert!(
        granted
            .out
            .contains("* B\t(ocf:pacemaker:Dummy):\t Started n2"),
        "{granted:?}"
    );
    let standby = place.run(
        "crm_simulate",
        &["-x", "cib.xml", "-R", "-g", "T", "-b", "T"],
    );
    assert!(!standby.out.contains("Start      B"), "{standby:?}");
    let lost = place.run("crm_simulate", &["-x", "cib.xml", "-R", "-q", "false"]);
    assert!(!lost.out.contains("Start"), "{lost:?}");
    let failing = [
        "-x",
        "cib.xml",
        "-S",
        "-d",
        "n2",
        "-F",
        "A_start_0@n1=1",
        "-O",
        "out.xml",
    ];
    let failed = place.run("crm_simulate", &failing);
    assert!(
        failed.out.contains("failed with rc=1") && failed.out.contains("FAILED n1"),
        "{failed:?}"
    );
    let out = std::fs::read_to_string(place.path("out.xml")).expect("saved");
    assert!(out.contains("fail-count-A#start_0"), "{out}");
    assert_eq!(place.cib(), CIB, "the input is as it was");
}

#[test]
fn input_comes_from_a_pipe_or_compressed_too() {
    let place = Place::new();
    let wanted = place.run("crm_simulate", &["-x", "cib.xml", "-R"]).out;
    let mut piped = place.command("crm_simulate", &["--xml-pipe", "--run"]);
    let mut child = piped
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(CIB.as_bytes()).expect("written");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), wanted);
    let file = std::fs::File::create(place.path("cib.xml.bz2")).expect("a file");
    let mut packer = bzip2::write::BzEncoder::new(file, bzip2::Compression::best());
    packer.write_all(CIB.as_bytes()).expect("packed");
    packer.finish().expect("packed");
    let packed = place.run("crm_simulate", &["-x", "cib.xml.bz2", "-R"]);
    assert_eq!(packed.out, wanted);
}

#[test]
fn scores_are_one_fact_per_line() {
    let place = Place::new();
    let answer = place.run("crm_simulate", &["-x", "cib.xml", "-sQ"]);
    let line = "pcmk__primitive_assign: A allocation score on n1: 0\n";
    assert!(answer.out.contains(line), "{answer:?}");
    let ban = "pcmk__primitive_assign: B allocation score on n2: -INFINITY\n";
    assert!(answer.out.contains(ban), "{answer:?}");
}

#[test]
fn cibadmin_writes_all_or_nothing() {
    let place = Place::new();
    let new = "<primitive id=\"C\" class=\"ocf\" provider=\"pacemaker\" type=\"Dummy\"/>";
    let made = place.run("cibadmin", &["-C", "-o", "resources", "-X", new]);
    assert_eq!(made.code, 0, "{made:?}");
    assert!(place.cib().contains("epoch=\"6\"") && place.cib().contains("id=\"C\""));
    let before = place.cib();
    place
        .run("cibadmin", &["-C", "-o", "resources", "-X", new])
        .refused(108, "File exists");
    let bad = "<primitive id=\"D\" clas=\"ocf\"/>";
    let refused = place.run("cibadmin", &["-C", "-o", "resources", "-X", bad]);
    refused.refused(78, "does not conform");
    assert!(refused.err.contains("did you mean class?"), "{refused:?}");
    place
        .run("cibadmin", &["-M", "-X", "<nvpair id=\"q\" value=\"1\"/>"])
        .refused(105, "No such device");
    place.run("cibadmin", &["-E"]).refused(107, "--force");
    place
        .run("cibadmin", &["-Q", "-A", "//["])
        .refused(64, "expected a name");
    place
        .run("cibadmin", &["-Q", "-o", "resorces"])
        .refused(64, "there are");
    place
        .run("cibadmin", &["-Q", "-B"])
        .refused(64, "do not go together");
    place
        .run("cibadmin", &["-D", "-X", "<primitive id=\"B\"/>"])
        .refused(78, "t1");
    assert_eq!(place.cib(), before);
}

#[test]
fn a_transaction_is_one_change() {
    let place = Place::new();
    let text = "<cib_transaction>\
        <cib_request cib_op=\"cib_modify\"><cib_calldata><nvpair id=\"m1\" value=\"Stopped\"/></cib_calldata></cib_request>\
        <cib_request cib_op=\"cib_delete\" cib_section=\"constraints\"><cib_calldata><rsc_ticket id=\"t1\"/></cib_calldata></cib_request>\
        </cib_transaction>";
    let done = place.run("cibadmin", &["--commit-transaction", "-X", text]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(place.cib().contains("epoch=\"6\"") && place.cib().contains("Stopped"));
    assert!(!place.cib().contains("rsc_ticket"));
    let before = place.cib();
    let half = text.replace("id=\"m1\"", "id=\"nothing\"");
    let refused = place.run("cibadmin", &["--commit-transaction", "-X", &half]);
    refused.refused(105, "request 1");
    assert_eq!(place.cib(), before);
}

#[test]
fn acls_limit_what_a_user_sees_and_changes() {
    let acls = "<acls><acl_target id=\"joe\"><role id=\"r\"/></acl_target><acl_role id=\"r\">\
                <acl_permission id=\"r1\" kind=\"read\" xpath=\"//resources\"/>\
                <acl_permission id=\"r2\" kind=\"write\" xpath=\"//nvpair[@name='target-role']\"/></acl_role></acls>";
    let on = "<nvpair id=\"o2\" name=\"enable-acl\" value=\"true\"/></cluster_property_set>";
    let text = CIB
        .replace("</cluster_property_set>", on)
        .replace("</constraints>", &format!("</constraints>{acls}"));
    let place = Place::with(&text);
    let seen = place.run("cibadmin", &["-Q", "-U", "joe"]);
    assert!(
        seen.out.contains("target-role") && !seen.out.contains("stonith-enabled"),
        "{seen:?}"
    );
    let stop = [
        "-M",
        "-X",
        "<nvpair id=\"m1\" value=\"Stopped\"/>",
        "-U",
        "joe",
    ];
    assert_eq!(place.run("cibadmin", &stop).code, 0);
    assert!(place.cib().contains("Stopped"));
    let before = place.cib();
    let other = [
        "-M",
        "-X",
        "<primitive id=\"A\" type=\"Stateful\"/>",
        "-U",
        "joe",
    ];
    place
        .run("cibadmin", &other)
        .refused(4, "Permission denied");
    place
        .run("cibadmin", &["-Q", "-U", "eve"])
        .refused(4, "Permission denied");
    let ticket = ["-t", "T", "-s"];
    let mut as_joe = place.command("crm_ticket", &ticket);
    as_joe.env("CIB_user", "joe");
    Answer::of(as_joe.output().expect("it runs")).refused(4, "joe may not change");
    assert_eq!(place.cib(), before);
}

#[test]
fn tickets_are_granted_only_on_purpose() {
    let place = Place::new();
    let asked = place.run("crm_ticket", &["-t", "T", "-g"]);
    assert_eq!(asked.code, 4, "{asked:?}");
    assert!(asked.out.contains("please specify --force"), "{asked:?}");
    assert_eq!(place.cib(), CIB);
    assert_eq!(
        place.run("crm_ticket", &["-t", "T", "-g", "--force"]).code,
        0
    );
    assert!(
        place.cib().contains("granted=\"true\" last-granted="),
        "{}",
        place.cib()
    );
    let both = [
        "-t", "T", "-S", "owner", "-v", "9", "-S", "expires", "-v", "7", "-s",
    ];
    assert_eq!(place.run("crm_ticket", &both).code, 0);
    let info = place.run("crm_ticket", &["--info"]);
    assert!(info.out.starts_with("T\tgranted [standby]"), "{info:?}");
    let got = place.run("crm_ticket", &["-t", "T", "-G", "owner"]);
    assert_eq!(got.out, "9\n");
}

#[test]
fn a_shadow_is_changed_and_then_committed() {
    let place = Place::new();
    assert_eq!(place.run("crm_shadow", &["-b", "-c", "s"]).code, 0);
    let mut delete = place.command("cibadmin", &["-D", "-X", "<rsc_ticket id=\"t1\"/>"]);
    assert!(
        delete
            .env("CIB_shadow", "s")
            .status()
            .expect("it runs")
            .success()
    );
    assert!(
        place.cib().contains("rsc_ticket"),
        "the real one is as it was"
    );
    place.run("crm_shadow", &["-C", "s"]).refused(64, "--force");
    assert_eq!(place.run("crm_shadow", &["-C", "s", "--force"]).code, 0);
    assert!(!place.cib().contains("rsc_ticket"));
    place
        .run("crm_shadow", &["-b", "-c", "../s"])
        .refused(64, "no name");
    place
        .run("crm_shadow", &["-w"])
        .refused(105, "No active shadow");
}

#[test]
fn resources_are_explained_and_moved() {
    let place = Place::new();
    let why = place.run("crm_resource", &["--why", "-r", "B"]);
    assert!(why.out.contains("Resource B is not running"), "{why:?}");
    assert!(why.out.contains("ticket"), "the reason itself: {why:?}");
    let moved = place.run("crm_resource", &["-M", "-r", "A", "-N", "n2"]);
    assert_eq!(moved.code, 0, "{moved:?}");
    assert!(place.cib().contains("cli-prefer-A"));
    let cleared = place.run("crm_resource", &["-U", "-r", "A"]);
    assert_eq!(cleared.out, "Removing constraint: cli-prefer-A\n");
    let digests = place.run("crm_resource", &["--digests", "-r", "A", "-N", "n1"]);
    assert!(
        digests.out.starts_with("f2317cad3d54cec5d7d7aa7d0bf35cf8 "),
        "{digests:?}"
    );
    place
        .run("crm_resource", &["--cleanup"])
        .refused(102, "running cluster");
    place
        .run("crm_resource", &["-W", "-r", "Z"])
        .refused(105, "not found");
}

#[test]
fn without_a_file_there_is_no_cluster() {
    let place = Place::new();
    for (tool, arguments) in [
        ("cibadmin", vec!["-Q"]),
        ("crm_simulate", vec!["-L", "-S"]),
        ("crm_verify", vec!["-L"]),
        ("crm_ticket", vec!["-l"]),
        ("crm_resource", vec!["-l"]),
    ] {
        let mut command = place.command(tool, &arguments);
        let output = command.env_remove("CIB_file").output().expect("it runs");
        Answer::of(output).refused(102, "CIB_file");
    }
}

/// One file, and what it must be called.
fn refuse(name: &str, text: &str, word: &str) {
    let place = Place::with(text);
    let answer = place.run("crm_verify", &["-x", "cib.xml", "-V"]);
    assert_eq!(answer.code, 78, "{name}: {answer:?}");
    assert!(
        answer.err.contains(word),
        "{name}: {} has no '{word}'",
        answer.err
    );
    assert!(!answer.err.contains("panicked"), "{name}: {}", answer.err);
    let place_named = answer.err.contains("cib.xml");
    assert!(place_named, "{name}: {}", answer.err);
    // Nor does the scheduler fall over what it is given in spite of that.
    let simulated = place.run("crm_simulate", &["-x", "cib.xml", "-S"]);
    assert!(matches!(simulated.code, 0 | 65), "{name}: {simulated:?}");
}

#[test]
fn malicious_and_broken_files_are_refused_clearly() {
    let bomb = format!(
        "<!DOCTYPE x [<!ENTITY a \"{}\"><!ENTITY b \"&a;&a;\">]>{CIB}",
        "z".repeat(100)
    );
    refuse("entity bomb", &bomb, "document type declaration");
    let tower = format!("<cib>{}{}</cib>", "<a>".repeat(100), "</a>".repeat(100));
    refuse("tower", &tower, "nested deeper");
    refuse("cut short", &CIB[..CIB.len() / 2], "cib.xml:");
    let twice = CIB.replace("primitive id=\"B\"", "primitive id=\"A\"");
    refuse("duplicate id", &twice, "the id is taken");
    let score = "<rsc_location id=\"l\" rsc=\"A\" node=\"n1\" score=\"lots\"/></constraints>";
    refuse("score", &CIB.replace("</constraints>", score), "no score");
    let date = "<rsc_location id=\"l\" rsc=\"A\"><rule id=\"r\" score=\"1\"><date_expression id=\"d\" operation=\"gt\" \
                start=\"tomorrow\"/></rule></rsc_location></constraints>";
    refuse("date", &CIB.replace("</constraints>", date), "no date");
    let circle = "<rsc_order id=\"x\" first=\"A\" then=\"B\"/><rsc_order id=\"y\" first=\"B\" then=\"A\"/></constraints>";
    refuse(
        "circle of orders",
        &CIB.replace("</constraints>", circle),
        "A -> B -> A",
    );
    let template = CIB.replace(
        "id=\"B\" class=\"ocf\" provider=\"pacemaker\" type=\"Dummy\"",
        "id=\"B\" template=\"B\"",
    );
    refuse("circle of templates", &template, "its own template");
    let shared = "<meta_attributes id=\"m\"><rule id=\"q\"><rule id-ref=\"q\"/></rule>";
    refuse(
        "circle of id-refs",
        &CIB.replace("<meta_attributes id=\"m\">", shared),
        "part of what it refers to",
    );
    let lost = CIB.replace("rsc=\"B\"", "rsc=\"Z\"");
    refuse(
        "reference to nothing",
        &lost,
        "there is nothing with this id",
    );
}

#[test]
fn a_file_of_100_megabytes_is_refused_without_reading_on() {
    let place = Place::new();
    let long = format!("{CIB}<!--{}-->", "x".repeat(100 << 20));
    std::fs::write(place.path("cib.xml"), long).expect("written");
    let answer = place.run("crm_verify", &["-x", "cib.xml"]);
    answer.refused(78, "bytes");
    assert!(place.run("cibadmin", &["-Q"]).code != 0);
}

#[test]
fn all_errors_are_told_at_once_with_their_places() {
    let text = CIB
        .replace("loss-policy=\"stop\"", "loss-policy=\"halt\"")
        .replace("uname=\"n2\"", "uname=\"n2\" colour=\"red\"");
    let place = Place::with(&text);
    let answer = place.run("crm_verify", &["-x", "cib.xml"]);
    let lines: Vec<&str> = answer
        .err
        .lines()
        .filter(|l| l.starts_with("cib.xml:"))
        .collect();
    assert_eq!(lines.len(), 2, "{answer:?}");
    assert!(
        lines[0].starts_with("cib.xml:4:") && lines[0].contains("colour"),
        "{answer:?}"
    );
    assert!(
        lines[1].contains("<rsc_ticket id=\"t1\">") && lines[1].contains("freeze"),
        "{answer:?}"
    );
}

/// Pacemaker's schemas for answers, if they are on this machine.
fn schema() -> Option<&'static Path> {
    let path = Path::new("/usr/share/pacemaker/api/api-result.rng");
    path.exists().then_some(path)
}

#[test]
fn answers_in_xml_fit_pacemakers_schemas() {
    let place = Place::new();
    for line in [
        "crm_simulate -x cib.xml -S -sU -A -c -d n1 -g T -i A_monitor_10000@n2=7 -q 1",
        "crm_simulate -x cib.xml -R",
        "crm_simulate -x nothing -R",
        "crm_verify -x cib.xml",
        "crm_resource -L",
        "crm_resource -l",
        "crm_resource --why",
        "crm_resource --why -r B",
        "crm_resource -q -r A",
        "crm_resource -W -r A",
        "crm_resource -a -r A",
        "crm_resource -g target-role -m -r A",
        "crm_resource --digests -r A -N n1",
    ] {
        let mut words: Vec<&str> = line.split(' ').collect();
        words.push("--output-as=xml");
        let answer = place.run(words[0], &words[1..]);
        assert!(
            answer.out.starts_with("<pacemaker-result "),
            "{line}: {answer:?}"
        );
        assert!(answer.out.contains("<status code="), "{line}: {answer:?}");
        let Some(schema) = schema() else {
            continue;
        };
        let file = place.path("answer.xml");
        std::fs::write(&file, &answer.out).expect("written");
        let checked = Command::new("xmllint")
            .args(["--noout", "--relaxng"])
            .args([schema, &file])
            .output();
        // Without the checker there is nothing more to see here; the lab has it.
        if let Ok(checked) = checked {
            let told = String::from_utf8_lossy(&checked.stderr).into_owned();
            assert!(checked.status.success(), "{line}: {told}\n{}", answer.out);
        }
    }
}
