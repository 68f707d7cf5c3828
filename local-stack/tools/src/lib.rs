//! The classic command line tools, on top of the local stack's own libraries.

mod graph_xml;
mod play;
mod simulate;
mod status_text;
mod summary;

pub use graph_xml::graph_xml;
pub use simulate::{crm_simulate, recorded_time};
pub use status_text::status_text;
