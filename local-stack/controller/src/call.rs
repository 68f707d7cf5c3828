//! An operation under way.

use scheduler::Action;

/// An operation that was ordered.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) action: Action,
    /// The transition that ordered it.
    pub(crate) transition: u64,
    /// Its result is awaited. A recurring one stays known after its first result.
    pub(crate) flying: bool,
    /// It was told to end.
    pub(crate) aborted: bool,
}

impl Call {
    pub(crate) fn resource(&self) -> &str {
        name(&self.action)
    }
}

/// The resource's name in history; empty for actions without one.
pub(crate) fn name(action: &Action) -> &str {
    action
        .resource
        .as_ref()
        .map_or("", |resource| resource.id.as_str())
}
