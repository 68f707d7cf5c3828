//! *Virtual synchrony*: those who pass from one view to the next together have delivered the same.

use std::collections::HashMap;

use membership::{NodeSet, ViewId};

use super::{Process, Seen, entry};

struct Passing {
    view: ViewId,
    digest: u64,
    companions: NodeSet,
}

/// The oracle.
#[derive(Default)]
pub struct VirtualSynchrony {
    passing: Vec<Option<Passing>>,
    /// By old and new view and companions: what was delivered in the old one.
    digests: HashMap<(ViewId, ViewId, NodeSet), u64>,
}

impl VirtualSynchrony {
    /// A process has delivered something.
    pub fn see(&mut self, process: Process, seen: &Seen) -> Result<(), String> {
        match seen {
            Seen::Message { id, seq, .. } => {
                if let Some(passing) = entry(&mut self.passing, process) {
                    let name = u64::from(id.process) << 32 | u64::from(id.count);
                    let mixed = name.wrapping_add(seq.rotate_left(40));
                    passing.digest = (passing.digest ^ mixed).wrapping_mul(0x0100_0000_01B3);
                }
                Ok(())
            }
            Seen::Transitional(_, companions) => {
                if let Some(passing) = entry(&mut self.passing, process) {
                    passing.companions = companions.clone();
                }
                Ok(())
            }
            Seen::View(view) => {
                let fresh = Passing {
                    view: view.id,
                    digest: 0,
                    companions: NodeSet::default(),
                };
                let Some(old) = entry(&mut self.passing, process).replace(fresh) else {
                    return Ok(());
                };
                if !old.companions.is_within(&view.members) {
                    return Err(format!(
                        "companions {:?} are not all in {view:?}",
                        old.companions
                    ));
                }
                let key = (old.view, view.id, old.companions);
                let known = *self.digests.entry(key.clone()).or_insert(old.digest);
                if known != old.digest {
                    return Err(format!(
                        "{process} went {} -> {} with other messages than its \
                        companions {:?}",
                        key.0, key.1, key.2
                    ));
                }
                Ok(())
            }
        }
    }

    /// Forgets what no later passage can refer to.
    pub fn forget_before(&mut self, counter: u64) {
        self.digests.retain(|(view, ..), _| view.counter >= counter);
    }
}
