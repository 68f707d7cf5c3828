//! *Safe delivery*: when a safe message is delivered in its view, every member of the view that has
//! not crashed has stored it, and delivers it before it leaves the view for good.

use std::collections::HashMap;

use membership::{Guarantee, ViewId};

use super::Seen;

/// The oracle.
#[derive(Default)]
pub struct StoredEverywhere {
    /// The greatest number that anybody delivered as safe in the view's regular part.
    safe: HashMap<ViewId, u64>,
    /// How far each process delivered in its view.
    reached: HashMap<u64, (ViewId, u64, bool)>,
    /// How far each process had come when it left a view.
    left: HashMap<(u64, ViewId), u64>,
}

impl StoredEverywhere {
    /// A process has delivered something. `stored` says whether every living member of that view
    /// that is still in it holds a number; the others are judged by what they delivered there.
    pub fn see(
        &mut self,
        process: u64,
        seen: &Seen,
        mut stored: impl FnMut(ViewId, u64) -> Result<(), String>,
    ) -> Result<(), String> {
        match seen {
            Seen::Message {
                view,
                seq,
                guarantee,
                id,
            } => {
                let reached = self.reached.entry(process).or_insert((*view, 0, false));
                reached.1 = *seq;
                if *guarantee == Guarantee::Agreed || reached.2 {
                    return Ok(());
                }
                let safe = self.safe.entry(*view).or_insert(0);
                *safe = (*safe).max(*seq);
                stored(*view, *seq)?;
                let missed = self
                    .left
                    .iter()
                    .find(|((_, left), last)| left == view && *last < seq);
                match missed {
                    Some(((other, _), last)) => Err(format!(
                        "{id:?} delivered as safe at {seq} of {view}, but {other:x} left at {last}"
                    )),
                    None => Ok(()),
                }
            }
            Seen::Transitional(..) => {
                if let Some(reached) = self.reached.get_mut(&process) {
                    reached.2 = true;
                }
                Ok(())
            }
            Seen::View(view) => {
                let old = self.reached.insert(process, (view.id, 0, false));
                let Some((old, last, _)) = old else {
                    return Ok(());
                };
                self.left.insert((process, old), last);
                let safe = self.safe.get(&old).copied().unwrap_or(0);
                if last < safe {
                    return Err(format!("{process:x} left {old} at {last}, safe was {safe}"));
                }
                Ok(())
            }
        }
    }

    /// Forgets what no later delivery can refer to.
    pub fn forget_before(&mut self, counter: u64) {
        self.safe.retain(|view, _| view.counter >= counter);
        self.left.retain(|(_, view), _| view.counter >= counter);
    }
}
