//! The classic command line tools, on top of the local stack's own libraries.

mod graph_xml;
mod simulate;

pub use graph_xml::graph_xml;
pub use simulate::{crm_simulate, recorded_time};
