//! The classic command line tools, on top of the local stack's own libraries.

mod explain;
mod graph_xml;
mod play;
mod simulate;
mod status_text;
mod summary;

pub use explain::{
    EXIT_FINE, EXIT_INTENDED, EXIT_NO_OBJECT, EXIT_TROUBLE, JSON_VERSION, explain_exit,
    explain_subject, explanation_json, explanation_text, only_node,
};
pub use graph_xml::graph_xml;
pub use simulate::{crm_simulate, recorded_time};
pub use status_text::status_text;
