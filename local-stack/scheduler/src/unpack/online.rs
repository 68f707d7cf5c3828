//! Whether a node is up, coming, leaving, or must be fenced.

use cib::Element;

use crate::ids::NodeId;
use crate::model::{Role, RscFlags};
use crate::plan::Plan;
use crate::text;

/// When a node became a member, or came online: 0 is never.
struct Times {
    /// -1 if nothing is recorded.
    member: i64,
    online: i64,
}

impl<'a> Plan<'a> {
    pub(crate) fn shutdown_requested(&self, node: NodeId) -> bool {
        self.attr(node, "shutdown").is_some_and(|s| s != "0")
    }

    fn times(&self, state: Element<'a>) -> Times {
        let member = match state.attr("in_ccm") {
            None => -1,
            Some(text) => match text::parse_bool(text) {
                Some(true) => self.now.max(1),
                Some(false) => 0,
                None => text::leading_int(text).filter(|n| *n >= 0).unwrap_or(-1),
            },
        };
        let online = match state.attr("crmd") {
            None => 0,
            Some(t) if t.eq_ignore_ascii_case("offline") => 0,
            Some(t) if t.eq_ignore_ascii_case("online") => 1,
            Some(t) => text::leading_int(t).filter(|n| *n >= 0).unwrap_or(0),
        };
        Times { member, online }
    }

    fn termination_requested(&self, node: NodeId) -> bool {
        self.attr(node, "terminate").is_some_and(|value| {
            text::parse_bool(value)
                .unwrap_or_else(|| text::leading_int(value).is_some_and(|n| n > 0))
        })
    }

    /// Judges a cluster node by its state.
    pub(crate) fn judge_member(&mut self, state: Element<'a>, node: NodeId) {
        let expected = state.attr("expected");
        self.node[node].shutdown = self.shutdown_requested(node);
        self.node[node].expected_up =
            !self.node[node].shutdown && expected.is_some_and(|e| e.eq_ignore_ascii_case("member"));
        let online = if self.options.fencing {
            self.judge_with_fencing(state, node)
        } else {
            self.judge_without_fencing(state, node)
        };
        if online {
            self.node[node].online = true;
        }
        if !online || self.node[node].shutdown {
            self.node[node].weight = -text::INFINITY;
        }
    }

    fn judge_without_fencing(&mut self, state: Element<'a>, node: NodeId) -> bool {
        let times = self.times(state);
        if times.member <= 0 {
            return false;
        }
        if times.online > 0 {
            return state
                .attr("join")
                .is_some_and(|j| j.eq_ignore_ascii_case("member"));
        }
        if self.node[node].expected_up {
            self.fence_node(node, false);
        }
        false
    }

    fn judge_with_fencing(&mut self, state: Element<'a>, node: NodeId) -> bool {
        let times = self.times(state);
        let join = state.attr("join");
        if self.node[node].shutdown {
            return times.online > 0;
        }
        if times.member < 0 {
            self.fence_node(node, false);
            return false;
        }
        let expected_down = state.attr("expected").is_none_or(|e| e == "down");
        if join == Some("nack") || join == Some("banned") {
            self.fence_node(node, false);
        } else if self.termination_requested(node) {
            if times.member <= 0 && times.online <= 0 && join == Some("down") {
                return false;
            }
            self.fence_node(node, false);
        } else if expected_down {
            if self.pending_too_long(&times) {
                self.fence_node(node, false);
            } else if times.member > 0 || times.online > 0 {
                self.node[node].standby = true;
                self.node[node].pending = true;
            }
        } else if times.member <= 0 {
            self.fence_node(node, true);
        } else if times.online <= 0 {
            self.fence_node(node, false);
        } else if join == Some("member") {
        } else if matches!(join, Some("pending" | "down")) {
            self.node[node].standby = true;
            self.node[node].pending = true;
        } else {
            self.fence_node(node, false);
        }
        times.member > 0
    }

    fn pending_too_long(&mut self, times: &Times) -> bool {
        let limit = self.options.node_pending_timeout;
        if limit <= 0 || times.member <= 0 || times.online > 0 {
            return false;
        }
        if self.now >= times.member + limit {
            return true;
        }
        self.recheck(times.member + limit);
        false
    }

    /// Judges a guest or remote node by its connection.
    pub(crate) fn judge_remote(&mut self, node: NodeId) {
        let Some(connection) = self.node[node].connection else {
            self.node[node].online = false;
            return;
        };
        let c = &self.rsc[connection];
        let launcher = c.launcher.map(|l| &self.rsc[l]);
        let host = match (launcher, c.running_on.as_slice()) {
            (Some(_), [host]) => Some(*host),
            _ => None,
        };
        let launcher_failed = launcher.is_some_and(|l| l.is(RscFlags::FAILED));
        let launcher_stopped = launcher.is_some_and(|l| l.role == Role::Stopped);
        let host_lost = host.is_some_and(|h| !self.node[h].online && self.node[h].unclean);
        let (role, next, failed) = (c.role, c.next_role, c.is(RscFlags::FAILED));
        let n = &mut self.node[node];
        if role == Role::Started {
            n.online = true;
            if next == Role::Stopped {
                n.shutdown = true;
            }
        }
        if launcher_failed {
            n.online = false;
            n.remote_reset = true;
        } else if failed {
            n.online = false;
        } else if role == Role::Stopped || launcher_stopped {
            n.online = false;
            n.remote_reset = false;
        } else if host_lost {
            n.online = false;
            n.remote_reset = true;
        }
    }
}
