//! From the CIB to nodes and resources and their state.

mod bundle;
mod clone;
mod failure;
mod history;
mod migration;
mod nodes;
mod online;
mod remap;
mod resources;
mod status;

pub(crate) use failure::Entry;
pub(crate) use history::sorted_history;
