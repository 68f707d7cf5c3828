//! The classic command line tools, on top of the local stack's own libraries.
//!
//! [`dispatch`] finds a tool by its classic name. Each tool reads its command line, works on a CIB in
//! a file (live clusters come later), and answers in text or in Pacemaker's XML.

mod answer;
mod args;
mod cibadmin;
mod date;
mod difference;
mod exit;
mod explain;
mod failures;
mod graph_xml;
mod iso8601;
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

/// Runs the tool with this name; none if there is no such tool.
pub fn dispatch(name: &str, arguments: impl Iterator<Item = String>) -> Option<ExitCode> {
    let tool = match name {
        "cibadmin" => cibadmin::cibadmin,
        "crm_diff" => difference::crm_diff,
        "crm_resource" => resource::crm_resource,
        "crm_rule" => rule::crm_rule,
        "crm_shadow" => shadow::crm_shadow,
        "crm_simulate" => return Some(crm_simulate(arguments)),
        "crm_ticket" => ticket::crm_ticket,
        "iso8601" => iso8601::iso8601,
        "crm_verify" => verify::crm_verify,
        _ => return None,
    };
    let arguments: Vec<String> = arguments.collect();
    Some(tool(&arguments))
}
