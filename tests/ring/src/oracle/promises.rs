//! *Promises*: what a member has told a proposer to hold is fixed until it gives that proposal up, and
//! it never goes back to an older proposal, nor answers one twice in different words.

use std::collections::HashMap;

use membership::{MemberInfo, Node, Packet, ViewId};

use super::Seen;

struct Promise {
    view: ViewId,
    info: MemberInfo,
    /// Delivered in its old view when it answered; `None` once it has given the proposal up.
    delivered: Option<u64>,
}

/// The oracle.
#[derive(Default)]
pub struct Promises(HashMap<u64, Promise>);

impl Promises {
    /// A process sends a packet.
    pub fn sends(&mut self, process: u64, node: &Node, packet: &Packet) -> Result<(), String> {
        match packet {
            Packet::Join { .. } => {
                if let Some(promise) = self.0.get_mut(&process) {
                    promise.delivered = None;
                }
                Ok(())
            }
            Packet::Info { view, info } => {
                let known = self.0.get(&process);
                if let Some(known) = known.filter(|known| known.view > *view) {
                    return Err(format!("{process:x} answers {view} after {}", known.view));
                }
                if known.is_some_and(|known| known.view == *view && known.info != *info) {
                    return Err(format!(
                        "{process:x} answers {view} twice, in different words"
                    ));
                }
                let promise = Promise {
                    view: *view,
                    info: info.clone(),
                    delivered: Some(node.delivered()),
                };
                if known.is_none_or(|known| known.view != *view || known.delivered.is_none()) {
                    self.0.insert(process, promise);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A process delivers something.
    pub fn see(&self, process: u64, node: &Node, seen: &Seen) -> Result<(), String> {
        let Some(promise) = self.0.get(&process) else {
            return Ok(());
        };
        match (seen, promise.delivered) {
            (Seen::Message { view, seq, .. }, Some(delivered))
                if *view == promise.info.old_view
                    && node.view().id == *view
                    && *seq > delivered =>
            {
                Err(format!(
                    "{process:x} delivers {seq} of {view} after it has told {} to hold no more than it did",
                    promise.view
                ))
            }
            _ => Ok(()),
        }
    }
}
