//! The classic command line tools, on top of the local stack's own libraries.
//!
//! [`dispatch`] finds a tool by its classic name. Each tool reads its command line, works on a CIB in
//! a file or on that of this node's local stack, and answers in text or in Pacemaker's XML.

mod answer;
mod args;
mod attribute;
mod cibadmin;
mod date;
mod difference;
mod error_code;
mod exit;
mod explain;
mod failures;
mod graph_xml;
mod iso8601;
mod live;
mod monitor;
mod node;
mod patch_text;
mod resource;
mod rule;
mod shadow;
mod simulate;
mod source;
mod status_text;
mod status_xml;
mod ticket;
mod verify;

use std::process::ExitCode;

pub use explain::{
    EXIT_FINE, EXIT_INTENDED, EXIT_NO_OBJECT, EXIT_TROUBLE, JSON_VERSION, explain_exit,
    explain_subject, explanation_json, explanation_text, only_node,
};
pub use graph_xml::graph_xml;
pub use simulate::{after, crm_simulate, recorded_time};
pub use status_text::status_text;

/// The version of Pacemaker whose options and wording the tools follow.
const PACEMAKER_VERSION: &str = "3.0.2";

/// The tools, by their classic names.
pub const NAMES: [&str; 18] = [
    "attrd_updater",
    "cibadmin",
    "crm_attribute",
    "crm_diff",
    "crm_error",
    "crm_failcount",
    "crm_master",
    "crm_mon",
    "crm_node",
    "crm_resource",
    "crm_rule",
    "crm_shadow",
    "crm_simulate",
    "crm_standby",
    "crm_ticket",
    "crm_verify",
    "crmadmin",
    "iso8601",
];

/// Runs the tool with this name; none if there is no such tool.
pub fn dispatch(name: &str, arguments: impl Iterator<Item = String>) -> Option<ExitCode> {
    let tool = match name {
        "attrd_updater" => attribute::attrd_updater,
        "cibadmin" => cibadmin::cibadmin,
        "crm_attribute" => attribute::crm_attribute,
        "crm_diff" => difference::crm_diff,
        "crm_error" => error_code::crm_error,
        "crm_failcount" => attribute::crm_failcount,
        "crm_master" => attribute::crm_master,
        "crm_mon" => monitor::crm_mon,
        "crm_node" => node::crm_node,
        "crm_resource" => resource::crm_resource,
        "crm_rule" => rule::crm_rule,
        "crm_shadow" => shadow::crm_shadow,
        "crm_simulate" => return Some(crm_simulate(arguments)),
        "crm_standby" => attribute::crm_standby,
        "crm_ticket" => ticket::crm_ticket,
        "crmadmin" => node::crmadmin,
        "iso8601" => iso8601::iso8601,
        "crm_verify" => verify::crm_verify,
        _ => return None,
    };
    let arguments: Vec<String> = arguments.collect();
    Some(tool(&arguments))
}
