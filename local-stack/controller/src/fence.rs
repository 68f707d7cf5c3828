//! Fencing: asked of the fencer, and what its answer changes.
//!
//! ```text
//!            action of a transition                    done
//! (nothing) ------------------------> asked for ----------------> the node is known to be down
//!     ^                                  |  ^  |
//!     |          not done, after a while |  |  | an equal action of a later transition joins
//!     +----------------------------------+  +--+
//! ```

use replica::{Change, OrderId};
use scheduler::Action;

use crate::controller::Controller;
use crate::types::{Effect, FenceOrder, Fenced, Holding};

/// How long after a failed fencing the scheduler is asked again, if nothing else changes its answer.
const FENCING_RETRY_NS: u64 = 60 * 1_000_000_000;
/// When the configuration's own time for fencing cannot be read: Pacemaker's default.
const FENCING_TIMEOUT_MS: u64 = 60_000;

/// A fencing that was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Fencing {
    order: OrderId,
    target: String,
    action: String,
}

impl Controller {
    /// Carries out a `stonith` action.
    pub(crate) fn fence(&mut self, action: &Action) {
        let node = action.node.as_deref().cloned().unwrap_or_default();
        let what = action
            .attribute("CRM_meta_stonith_action")
            .unwrap_or("reboot");
        let same = |fencing: &Fencing| fencing.target == node.uname && fencing.action == what;
        let under_way = self.fencings.values().find(|known| same(known));
        if let Some(order) = under_way.map(|known| known.order) {
            return self.graph.fly(action.id, order);
        }
        if node.uname == self.settings.node && what != "on" {
            // Whatever becomes of the order, nothing gated goes on here.
            let armed: Vec<Holding> = self.gate.all_armed().cloned().collect();
            self.effects.extend(armed.into_iter().map(Effect::Fire));
        }
        let call = self.next_call;
        self.next_call += 1;
        let order = self.new_order();
        self.graph.fly(action.id, order);
        let fencing = Fencing {
            order,
            target: node.uname.clone(),
            action: what.to_owned(),
        };
        self.fencings.insert(call, fencing);
        let delay = action.attribute("CRM_meta_priority_fencing_delay");
        self.effects.push_back(Effect::Fence(FenceOrder {
            call,
            target: node.uname,
            target_id: node.id,
            action: what.to_owned(),
            timeout_ms: self.fencing_timeout_ms,
            delay_ms: delay.and_then(span_ms).unwrap_or(0),
        }));
    }

    /// Takes in how a fencing ended, whoever had asked for it.
    pub(crate) fn fencing_ended(&mut self, fenced: &Fenced) {
        let Fenced { target, action, .. } = fenced;
        let known = fenced.call.and_then(|call| self.fencings.remove(&call));
        let order = known.map(|fencing| fencing.order);
        match &fenced.result {
            Ok(()) => {
                let text = format!("node {target}: fencing ({action}) is confirmed");
                self.effects.push_back(Effect::Log(text));
                if action != "on" && *target != self.settings.node {
                    // Nothing of the node runs any more, and nothing is awaited of it: that goes
                    // before anything that waits for the fencing.
                    let node = self.named(target);
                    self.replica.propose(Change::Fenced { node, order });
                } else if let Some(order) = order {
                    self.confirm_or_reschedule(order, true);
                }
            }
            Err(reason) => {
                let text = format!("node {target}: fencing ({action}) failed: {reason}");
                self.effects.push_back(Effect::Log(text));
                let waiting = order.and_then(|order| self.graph.action_of(order));
                if let Some(id) = waiting.map(|action| action.id) {
                    self.graph.fail(id);
                }
                let again = self.now.boot_ns.saturating_add(FENCING_RETRY_NS);
                self.recheck_ns = self.recheck_ns.min(again);
            }
        }
    }
}

/// Milliseconds of a time as the configuration writes it; without a unit it is seconds.
pub(crate) fn span_ms(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let factor = match unit.trim() {
        "" | "s" | "sec" => 1_000,
        "ms" | "msec" => 1,
        "m" | "min" => 60_000,
        "h" | "hr" => 3_600_000,
        _ => return None,
    };
    Some(number.saturating_mul(factor))
}

/// The time that fencing may take, of what a transition says about it.
pub(crate) fn timeout_ms(text: &str) -> u64 {
    span_ms(text).unwrap_or(FENCING_TIMEOUT_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_configuration_writes_them() {
        for (text, ms) in [
            ("60", Some(60_000)),
            ("60s", Some(60_000)),
            (" 250ms", Some(250)),
            ("2min", Some(120_000)),
            ("soon", None),
        ] {
            assert_eq!(span_ms(text), ms, "{text}");
        }
        assert_eq!(timeout_ms(""), FENCING_TIMEOUT_MS);
    }
}
