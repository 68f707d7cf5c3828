//! The classic commands on a running daemon, as agents and operators call them. Unprivileged.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

#[expect(dead_code, reason = "the other tests use the rest of it")]
mod support;

use std::process::Command;

use stack_api::stack::ResourceState;
use support::{Node, cib, until};

/// Runs a command by its classic name, from the directory that agents find first in their PATH.
fn call(node: &Node, line: &str) -> (i32, String) {
    let mut words = line.split_whitespace();
    let program = node.path("state/commands").join(words.next().unwrap());
    let output = Command::new(program)
        .args(words)
        .env_remove("CIB_file")
        .env_remove("CIB_shadow")
        .env("INTERLOCK_STACK_SOCKET", node.path("stack.sock"))
        .env("OCF_RESOURCE_INSTANCE", "web")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

fn says(node: &Node, line: &str, text: &str) {
    assert_eq!(call(node, line), (0, text.to_owned()), "{line}");
}

fn started() -> Node {
    let mut node = Node::new(&cib("", ""));
    node.start_alone();
    until("it runs", || {
        (node.state("web") == ResourceState::Started).then_some(())
    });
    node
}

#[test]
fn attributes_and_scores_are_set_and_read_back() {
    let node = started();
    says(&node, "crm_attribute -N n -n load -v 5 -l reboot", "");
    says(&node, "crm_attribute -N n -n load -G -q -l reboot", "5\n");
    says(&node, "attrd_updater -n load -U load++ -d 5", "");
    says(
        &node,
        "attrd_updater -n load -Q",
        "name=\"load\" host=\"n\" value=\"6\"\n",
    );
    says(&node, "attrd_updater -n load -D", "");
    assert_eq!(call(&node, "attrd_updater -n load -Q").0, 105);
    says(&node, "crm_attribute -n load -G -q -l reboot -d 0", "0\n");
    says(&node, "crm_master -l reboot -v 10", "");
    says(&node, "crm_attribute -p -G -q", "10\n");
    let (_, cib) = call(&node, "cibadmin -Q -o status");
    assert!(cib.contains("name=\"master-web\" value=\"10\""), "{cib}");
    says(&node, "crm_attribute -N n -n rack -v 7 -l forever", "");
    says(
        &node,
        "crm_attribute -N n -n rack -G",
        "scope=nodes  name=rack value=7\n",
    );
    says(&node, "crm_attribute -n cluster-name -v shop", "");
    says(&node, "crm_attribute -n cluster-name -G -q", "shop\n");
    assert_eq!(
        call(&node, "crm_attribute -N other -n x -v 1 -l reboot").0,
        105
    );
}

#[test]
fn nodes_and_resources_are_shown_as_they_are() {
    let node = started();
    says(&node, "crm_node -n", "n\n");
    says(&node, "crm_node -l", "7 n member\n");
    says(&node, "crm_node -q", "1\n");
    says(&node, "crmadmin -D", "Designated Controller is: n\n");
    let (code, text) = call(&node, "crm_mon -1");
    assert_eq!(code, 0);
    assert!(text.contains("Online: [ n ]"), "{text}");
    assert!(text.contains("(ocf:test:web):"), "{text}");
    let (code, text) = call(&node, "crm_resource -W -r web");
    assert_eq!(code, 0);
    assert!(text.contains("is running on: n"), "{text}");
    let (code, text) = call(&node, "crm_simulate -Ls");
    assert_eq!(code, 0);
    assert!(text.contains("web"), "{text}");
    assert_eq!(call(&node, "crm_verify -L").0, 0);
    says(&node, "crm_error 105", "No such object\n");
}

#[test]
fn standby_stops_what_runs_and_its_end_starts_it_again() {
    let node = started();
    says(&node, "crm_standby -v on", "");
    until("it stops", || (!node.serves()).then_some(()));
    says(&node, "crm_standby -G -q", "on\n");
    says(
        &node,
        "crm_standby -D",
        "Deleted nodes attribute: id=n name=standby\n",
    );
    until("it runs again", || node.serves().then_some(()));
    let stop = "crm_resource -r web --meta -p target-role -v Stopped";
    assert_eq!(call(&node, stop).0, 0);
    until("it stops", || (!node.serves()).then_some(()));
}

#[test]
fn failures_are_counted_and_forgotten() {
    let node = started();
    says(&node, "crm_failcount -r web -G -q", "0\n");
    node.tell("broken");
    until("it was counted", || {
        (call(&node, "crm_failcount -r web -G -q").1 == "1\n").then_some(())
    });
    assert_eq!(call(&node, "crm_resource -C -r web").0, 0);
    until("it was forgotten", || {
        (call(&node, "crm_failcount -r web -G -q").1 == "0\n").then_some(())
    });
    assert_eq!(call(&node, "crm_resource -C -r nothing").0, 105);
}

#[test]
fn a_ticket_is_not_granted_by_hand() {
    let node = started();
    let granted = call(&node, "crm_ticket -t t -g --force");
    assert_eq!(granted.0, 107, "{}", granted.1);
}

#[test]
fn a_resource_is_added_and_taken_away() {
    let node = started();
    let xml = r#"<primitive id="second" class="ocf" provider="test" type="state"/>"#;
    std::fs::write(node.path("second.xml"), xml).unwrap();
    let file = node.path("second.xml").display().to_string();
    says(&node, &format!("cibadmin -C -o resources -x {file}"), "");
    until("it runs", || node.path("on-second").exists().then_some(()));
    let again = call(&node, &format!("cibadmin -C -o resources -x {file}"));
    assert_eq!(again.0, 108, "it is there already");
    says(&node, &format!("cibadmin -D -o resources -x {file}"), "");
    until("it stops", || {
        (!node.path("on-second").exists()).then_some(())
    });
    assert!(node.serves(), "the other one was left alone");
}
