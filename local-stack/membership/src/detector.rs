//! Who is there: silence measured against each peer's own habits, and against our own health.
//!
//! * A member is suspected after [`crate::Config::suspect_after`] of silence, stretched by the jitter
//!   measured for it.
//! * With three or more members a suspicion counts once a second member shares it, or after twice
//!   the time: one bad link is not a dead node.
//! * A node whose own timer ran late was starved, and accuses nobody for that time.
//! * A process that has restarted is no longer the member that it was: known at its first packet.

use std::fmt;
use std::time::Duration;

use crate::config::Config;
use crate::ids::{NodeId, NodeSet, Time, View, ViewId};

/// Jitter may stretch a peer's patience this many times, and no more: a dying node must be found.
const STRETCH_MAX: u32 = 4;

/// Why the membership changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The node has just started.
    Started,
    /// A member was silent for this long, and a second member agreed (or nobody else was left).
    Silent(NodeId, Duration),
    /// A member's process is a new one.
    Restarted(NodeId),
    /// A member works in another view, or never came along into this one.
    Strayed(NodeId),
    /// A node outside the view is there, both ways.
    Met(NodeId),
    /// Another node is gathering.
    Invited(NodeId),
    /// The agreement on the next view came to nothing.
    Stuck,
    /// A member has ended in good order.
    Left(NodeId),
    /// A member is no longer one of the configured nodes.
    Removed(NodeId),
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => write!(out, "this node has started"),
            Self::Silent(node, span) => {
                write!(out, "node {node} was silent for {} ms", span.as_millis())
            }
            Self::Restarted(node) => write!(out, "node {node} has restarted"),
            Self::Strayed(node) => write!(out, "node {node} is in another view"),
            Self::Met(node) => write!(out, "node {node} is there again"),
            Self::Invited(node) => write!(out, "node {node} asks for a new view"),
            Self::Stuck => write!(out, "the next view was not agreed in time"),
            Self::Left(node) => write!(out, "node {node} has left"),
            Self::Removed(node) => write!(out, "node {node} was removed"),
        }
    }
}

/// What a heartbeat tells about its sender.
pub(crate) struct Sign<'a> {
    pub(crate) view: ViewId,
    pub(crate) operational: bool,
    pub(crate) hears_us: bool,
    pub(crate) suspects: &'a NodeSet,
}

struct Peer {
    node: NodeId,
    incarnation: Option<u64>,
    heard_at: Option<Time>,
    /// When it was last seen working in our view.
    in_view_at: Time,
    /// Since when we hear each other without a break.
    both_since: Option<Time>,
    suspects: NodeSet,
    last_beat: Option<Time>,
    /// Mean deviation of its heartbeats from their interval.
    jitter: Duration,
}

impl Peer {
    fn new(node: NodeId, now: Time) -> Self {
        Self {
            node,
            incarnation: None,
            heard_at: None,
            in_view_at: now,
            both_since: None,
            suspects: NodeSet::default(),
            last_beat: None,
            jitter: Duration::ZERO,
        }
    }
}

/// All peers of a node.
pub(crate) struct Detector {
    heartbeat_every: Duration,
    suspect_after: Duration,
    merge_after: Duration,
    peers: Vec<Peer>,
    suspected: NodeSet,
}

impl Detector {
    pub(crate) fn new(config: &Config, now: Time) -> Self {
        Self {
            heartbeat_every: config.heartbeat_every,
            suspect_after: config.suspect_after,
            merge_after: config.merge_after,
            peers: config
                .nodes
                .iter()
                .filter(|node| *node != config.me)
                .map(|node| Peer::new(node, now))
                .collect(),
            suspected: NodeSet::default(),
        }
    }

    /// A packet came; true if its sender is another process than before.
    pub(crate) fn hear(&mut self, now: Time, from: NodeId, incarnation: u64) -> bool {
        let Some(peer) = self.peer(from) else {
            return false;
        };
        let restarted = peer.incarnation.is_some_and(|known| known != incarnation);
        peer.incarnation = Some(incarnation);
        peer.heard_at = Some(now);
        restarted
    }

    /// Is that the process of the node that we hear? If we have heard none yet, it is from now on.
    pub(crate) fn is_process(&mut self, node: NodeId, incarnation: u64) -> bool {
        self.peer(node)
            .is_none_or(|peer| *peer.incarnation.get_or_insert(incarnation) == incarnation)
    }

    /// A heartbeat came.
    pub(crate) fn beat(&mut self, now: Time, from: NodeId, ours: ViewId, sign: &Sign<'_>) {
        let every = self.heartbeat_every;
        let Some(peer) = self.peer(from) else { return };
        if sign.view == ours && sign.operational {
            peer.in_view_at = now;
        }
        peer.suspects = sign.suspects.clone();
        if sign.hears_us {
            peer.both_since.get_or_insert(now);
        } else {
            peer.both_since = None;
        }
        if let Some(last) = peer.last_beat.replace(now) {
            let gap = now.since(last);
            let off = gap.max(every).saturating_sub(every.min(gap));
            peer.jitter = (peer.jitter * 7 + off.min(every * 8)) / 8;
        }
    }

    /// Our own timer was due `late` ago: that silence was ours.
    pub(crate) fn forgive(&mut self, now: Time, late: Duration) {
        for peer in &mut self.peers {
            let shift = |time: Time| Time(time.after(late).0.min(now.0));
            peer.heard_at = peer.heard_at.map(shift);
            peer.in_view_at = shift(peer.in_view_at);
        }
    }

    /// A new view is in force: nobody has strayed from it yet.
    pub(crate) fn installed(&mut self, now: Time) {
        for peer in &mut self.peers {
            peer.in_view_at = now;
            peer.heard_at = peer.heard_at.map(|_| now);
        }
        self.suspected = NodeSet::default();
    }

    /// Whom we have heard lately.
    pub(crate) fn heard(&self, now: Time) -> NodeSet {
        let fresh = |peer: &&Peer| {
            peer.heard_at
                .is_some_and(|at| now.since(at) < self.patience(peer))
        };
        self.peers
            .iter()
            .filter(fresh)
            .map(|peer| peer.node)
            .collect()
    }

    /// Whom we suspect.
    pub(crate) fn suspected(&self) -> &NodeSet {
        &self.suspected
    }

    /// Has one of these been silent for longer than we wait? Then looking around would suspect it.
    pub(crate) fn overdue(&self, now: Time, nodes: &NodeSet) -> bool {
        self.peers
            .iter()
            .filter(|peer| nodes.contains(peer.node) && !self.suspected.contains(peer.node))
            .any(|peer| now.since(peer.heard_at.unwrap_or(peer.in_view_at)) > self.patience(peer))
    }

    /// Looks at every member of `view`: those that count as failed, with the cause.
    pub(crate) fn failures(&mut self, now: Time, view: &View) -> Vec<(NodeId, Cause)> {
        let silent = |peer: &Peer| now.since(peer.heard_at.unwrap_or(peer.in_view_at));
        self.suspected = self
            .peers
            .iter()
            .filter(|peer| view.members.contains(peer.node) && silent(peer) > self.patience(peer))
            .map(|peer| peer.node)
            .collect();
        let mut failed = Vec::new();
        for peer in self
            .peers
            .iter()
            .filter(|peer| view.members.contains(peer.node))
        {
            let patience = self.patience(peer);
            if self.suspected.contains(peer.node) {
                let span = silent(peer);
                if self.agreed(peer.node, view) || span > patience * 2 {
                    failed.push((peer.node, Cause::Silent(peer.node, span)));
                }
            } else if now.since(peer.in_view_at) > patience * 3 {
                failed.push((peer.node, Cause::Strayed(peer.node)));
            }
        }
        failed
    }

    /// Does a member that we trust share the suspicion, or is none left to ask?
    fn agreed(&self, node: NodeId, view: &View) -> bool {
        let mut witnesses = self
            .peers
            .iter()
            .filter(|peer| view.members.contains(peer.node) && peer.node != node)
            .filter(|peer| !self.suspected.contains(peer.node))
            .peekable();
        witnesses.peek().is_none() || witnesses.any(|peer| peer.suspects.contains(node))
    }

    /// Nodes outside `view` that we hear and that hear us, for long enough.
    pub(crate) fn met(&self, now: Time, view: &View) -> NodeSet {
        self.peers
            .iter()
            .filter(|peer| !view.members.contains(peer.node))
            .filter(|peer| {
                peer.heard_at
                    .is_some_and(|at| now.since(at) < self.patience(peer))
            })
            .filter(|peer| {
                peer.both_since
                    .is_some_and(|at| now.since(at) >= self.merge_after)
            })
            .map(|peer| peer.node)
            .collect()
    }

    /// Do we hear each other, since we last parted? Enough to accept an invitation: two sides that
    /// both waited as long as for an invitation of their own would miss each other for ever.
    pub(crate) fn mutual(&self, now: Time, node: NodeId) -> bool {
        self.peers
            .iter()
            .filter(|peer| peer.node == node)
            .any(|peer| {
                let fresh = peer
                    .heard_at
                    .is_some_and(|at| now.since(at) < self.patience(peer));
                fresh && peer.both_since.is_some()
            })
    }

    /// A peer left our view, or we its: it must prove itself again before it is merged.
    pub(crate) fn part(&mut self, node: NodeId) {
        if let Some(peer) = self.peer(node) {
            peer.both_since = None;
        }
    }

    /// A peer has ended in good order: it is not there, and that is no silence.
    pub(crate) fn end(&mut self, node: NodeId) {
        if let Some(peer) = self.peer(node) {
            (peer.both_since, peer.heard_at, peer.last_beat) = (None, None, None);
        }
    }

    /// Other nodes are configured: those that stay are known as before.
    pub(crate) fn reconfigure(&mut self, now: Time, others: impl Iterator<Item = NodeId>) {
        let mut before = std::mem::take(&mut self.peers);
        for node in others {
            let known = before.iter().position(|peer| peer.node == node);
            let peer = known.map_or_else(|| Peer::new(node, now), |at| before.swap_remove(at));
            self.peers.push(peer);
        }
    }

    fn patience(&self, peer: &Peer) -> Duration {
        (self.suspect_after + peer.jitter * 4).min(self.suspect_after * STRETCH_MAX)
    }

    fn peer(&mut self, node: NodeId) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|peer| peer.node == node)
    }
}

#[cfg(test)]
mod tests;
