//! Why things are as they are.
//!
//! [`explain`] makes the same decisions as [`crate::simulate`], but with a recorder that notes down
//! what refuses a node, and then reads the answer off the finished plan and the notes. The transition is
//! the same, byte for byte.

mod absent;
mod answer;
mod codes;
mod failures;
mod headline;
mod node_state;
mod place;
mod record;
mod refusal;
mod resource;
mod subjects;
mod truth;
mod waiting;

pub use answer::{
    Cause, Explained, Explanation, Kind, NodeLine, NodeVerdict, Place, Row, Subject, Verdict,
};
pub use codes::Code;
pub(crate) use record::{Recorder, What};

use crate::Inputs;
use crate::ids::RscId;
use crate::plan::Plan;

/// Explains what a subject is and what will become of it. `None`: the CIB knows nothing of that name.
pub fn explain(cib: &cib::Cib, inputs: &Inputs, subject: &Subject) -> Option<Explained> {
    crate::with_stack(cib, |document| {
        crate::run::explained(document, inputs, subject)
    })
}

impl<'a> Plan<'a> {
    /// The explanation of a subject, once everything is decided.
    pub(crate) fn answer(&mut self, subject: &Subject) -> Option<Explanation> {
        match subject {
            Subject::Cluster => Some(self.explain_cluster()),
            Subject::Resource(id) => {
                let rsc = self.named_resource(id)?;
                Some(self.explain_resource(rsc))
            }
            Subject::Node(name) => {
                let node = self.find_node(name)?;
                Some(self.explain_node(node))
            }
            Subject::Ticket(name) => self
                .tickets
                .contains_key(name)
                .then(|| self.explain_ticket(name)),
            Subject::Any(name) => [
                Subject::Resource(name.clone()),
                Subject::Node(name.clone()),
                Subject::Ticket(name.clone()),
            ]
            .iter()
            .find_map(|s| self.answer(s)),
        }
    }

    fn named_resource(&self, id: &str) -> Option<RscId> {
        self.find(id).or_else(|| self.constrained(id))
    }
}
