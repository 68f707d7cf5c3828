//! *Promises*: what a member has told a proposer to hold is fixed until it gives that proposal up, and
//! it never goes back to an older proposal, nor answers one twice in different words.

use membership::{MemberInfo, Node, Packet, ViewId};

use super::{Process, Seen, entry};

struct Promise {
    view: ViewId,
    info: MemberInfo,
    /// Delivered in its old view when it answered; `None` once it has given the proposal up.
    delivered: Option<u64>,
}

/// The oracle.
#[derive(Default)]
pub struct Promises(Vec<Option<Promise>>);

impl Promises {
    /// A process sends a packet.
    pub fn sends(&mut self, process: Process, node: &Node, packet: &Packet) -> Result<(), String> {
        let known = match packet {
            Packet::Join { .. } | Packet::Info { .. } => entry(&mut self.0, process),
            _ => return Ok(()),
        };
        let Packet::Info { view, info } = packet else {
            if let Some(promise) = known {
                promise.delivered = None;
            }
            return Ok(());
        };
        if let Some(known) = known.as_ref().filter(|known| known.view > *view) {
            return Err(format!("{process} answers {view} after {}", known.view));
        }
        let same = known.as_ref().filter(|known| known.view == *view);
        if same.is_some_and(|known| known.info != *info) {
            return Err(format!(
                "{process} answers {view} twice, in different words"
            ));
        }
        if same.is_none_or(|known| known.delivered.is_none()) {
            *known = Some(Promise {
                view: *view,
                info: info.clone(),
                delivered: Some(node.delivered()),
            });
        }
        Ok(())
    }

    /// A process delivers something.
    pub fn see(&self, process: Process, node: &Node, seen: &Seen) -> Result<(), String> {
        let Some(Some(promise)) = self.0.get(process as usize) else {
            return Ok(());
        };
        match (seen, promise.delivered) {
            (Seen::Message { view, seq, .. }, Some(delivered))
                if *seq > delivered
                    && *view == promise.info.old_view
                    && node.view().id == *view =>
            {
                Err(format!(
                    "{process} delivers {seq} of {view} after it has told {} to hold no more than it did",
                    promise.view
                ))
            }
            _ => Ok(()),
        }
    }
}
