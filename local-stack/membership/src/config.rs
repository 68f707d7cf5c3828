//! What a node is told before it starts.

use std::time::Duration;

use crate::ids::{NodeId, NodeSet};

/// Identity, peers and timings of one node.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub me: NodeId,
    /// Every configured node, this one included.
    pub nodes: NodeSet,
    /// How often a node says that it is there. Shorter finds failures sooner and costs packets; each
    /// is a wake-up of every other node, which is what an idle site costs.
    pub heartbeat_every: Duration,
    /// Silence after which a member is suspected, for a peer with no measured delay; at least four
    /// heartbeats, or one lost packet accuses somebody.
    pub suspect_after: Duration,
    /// How long a node that is heard again must stay heard, both ways, before it is merged: keeps a
    /// flapping link from changing the view at every flap.
    pub merge_after: Duration,
    /// How long the first gathering waits for the other configured nodes.
    pub startup_wait: Duration,
    /// Most bytes of one packet's content; below the path's MTU less the link's own header.
    pub chunk_bytes: usize,
    /// Sequence numbers that may be in use at once in a view: the only flow control, and the bound
    /// on every member's memory (`window` × `chunk_bytes`).
    pub window: u64,
    /// Bytes that the application may have queued here before [`crate::Full`].
    pub queue_bytes: usize,
}

impl Config {
    /// Timings for nodes of one site: a dead node is out of the view within half a second.
    pub fn lan(me: NodeId, nodes: NodeSet) -> Self {
        Self {
            me,
            nodes,
            heartbeat_every: Duration::from_millis(75),
            suspect_after: Duration::from_millis(350),
            merge_after: Duration::from_millis(500),
            startup_wait: Duration::from_millis(600),
            chunk_bytes: 1_200,
            window: 1_024,
            queue_bytes: 4 << 20,
        }
    }

    /// Timings for nodes that are apart: survives 250 ms of jitter.
    pub fn stretched(me: NodeId, nodes: NodeSet) -> Self {
        Self {
            heartbeat_every: Duration::from_millis(250),
            suspect_after: Duration::from_millis(1_500),
            merge_after: Duration::from_secs(3),
            startup_wait: Duration::from_secs(3),
            ..Self::lan(me, nodes)
        }
    }

    /// When the next heartbeat is due by our own clock. The coordinator leads, and the others beat as
    /// its heartbeat comes (`Node::follow`): they are a little more patient, so that it comes first.
    pub(crate) fn next_beat(&self, leads: bool) -> Duration {
        if leads {
            self.heartbeat_every
        } else {
            self.heartbeat_every + self.heartbeat_every / 8
        }
    }

    /// Repetition of what must arrive while the membership is being agreed.
    pub(crate) fn repeat_every(&self) -> Duration {
        self.heartbeat_every / 3
    }

    /// How long a gathering waits for equal sets before it gives up on the silent.
    pub(crate) fn consensus_within(&self) -> Duration {
        self.suspect_after
    }

    /// How long a recovery may stand still.
    pub(crate) fn recover_within(&self) -> Duration {
        self.suspect_after * 2
    }

    /// Patience before missing packets are asked for: reordering is no loss.
    pub(crate) fn nack_after(&self) -> Duration {
        self.heartbeat_every / 24
    }

    /// Repetition of requests for missing packets and for sequence numbers.
    pub(crate) fn ask_again(&self) -> Duration {
        self.heartbeat_every / 6
    }
}
