//! The status section: tickets, nodes, then histories in the order in which they can be judged.

use cib::Element;

use crate::constraint::TicketState;
use crate::ids::NodeId;
use crate::model::{Role, RscFlags};
use crate::options::NoQuorum;
use crate::plan::Plan;
use crate::text;
use crate::words::Word;

impl<'a> Plan<'a> {
    pub(crate) fn unpack_status(&mut self, status: Element<'a>) {
        for element in status.children() {
            match element.name() {
                "tickets" => self.unpack_tickets(element),
                "node_state" => self.unpack_node_state(element),
                _ => {}
            }
        }
        while self.unpack_histories(status, false) {}
        self.unpack_histories(status, self.options.fencing);
        for container in std::mem::take(&mut self.stop_needed) {
            if let Some(node) = self.current_node(container) {
                self.op(container, Word::STOP, Some(node), false);
            }
        }
        for node in self.order.clone() {
            if !self.is_remote_kind(node) {
                continue;
            }
            if self.node[node].shutdown
                && let Some(connection) = self.node[node].connection
            {
                self.rsc[connection].next_role = Role::Stopped;
            }
            if !self.node[node].unpacked {
                self.judge_remote(node);
            }
        }
    }

    fn unpack_tickets(&mut self, tickets: Element<'a>) {
        for element in tickets.children_named("ticket_state") {
            let id = element.id();
            if !id.is_empty() {
                let state = TicketState {
                    granted: text::is_true(element.attr("granted")),
                    standby: text::is_true(element.attr("standby")),
                };
                self.tickets.insert(id.to_owned(), state);
            }
        }
    }

    fn state_node(&self, state: Element<'a>) -> Option<NodeId> {
        let id = state.attr("id")?;
        self.find_node_id(id)
            .or_else(|| state.attr("uname").and_then(|u| self.find_node(u)))
    }

    fn unpack_node_state(&mut self, state: Element<'a>) {
        let Some(node) = self.state_node(state) else {
            return;
        };
        if self.is_remote_kind(node) {
            let fenced = state
                .attr("node_fenced")
                .and_then(text::leading_int)
                .unwrap_or(0);
            self.node[node].remote_fenced = fenced > 0;
            return;
        }
        self.add_node_attributes(state.child("transient_attributes"), node, true);
        self.node[node].standby |= text::is_true(self.attr(node, "standby"));
        self.node[node].maintenance |= text::is_true(self.attr(node, "maintenance"));
        self.node[node].unclean = false;
        self.node[node].unseen = false;
        self.judge_member(state, node);
        if !self.options.quorate
            && self.node[node].online
            && self.options.no_quorum == NoQuorum::Fence
        {
            self.fence_node(node, false);
        }
    }

    /// Reads the histories that can be judged by now; tells whether there were any.
    fn unpack_histories(&mut self, status: Element<'a>, all: bool) -> bool {
        let mut any = false;
        for state in status.children_named("node_state") {
            let (Some(_), Some(_)) = (state.attr("id"), state.attr("uname")) else {
                continue;
            };
            let Some(node) = self.state_node(state) else {
                continue;
            };
            if self.node[node].unpacked || (!all && !self.history_is_ready(node)) {
                continue;
            }
            if self.is_remote_kind(node) {
                self.judge_remote(node);
                self.unpack_remote_state(state, node);
            }
            self.node[node].unpacked = true;
            self.unpack_history(state, node);
            any = true;
        }
        any
    }

    /// Whether it is known if a node is up. Those that are down come last, so that active
    /// instances of clones get the first numbers.
    fn history_is_ready(&self, node: NodeId) -> bool {
        let n = &self.node[node];
        let started = |r| self.rsc[r].role == Role::Started;
        if self.is_guest(node) {
            n.connection.is_some_and(started) && self.guest_launcher(node).is_some_and(started)
        } else if self.is_remote(node) {
            n.connection
                .is_some_and(|c| self.options.shutdown_lock || started(c))
        } else {
            self.options.fencing || self.options.shutdown_lock || n.online
        }
    }

    fn unpack_remote_state(&mut self, state: Element<'a>, node: NodeId) {
        let maintenance = state
            .attr("node_in_maintenance")
            .and_then(text::leading_int);
        self.node[node].remote_maintenance = maintenance.unwrap_or(0) > 0;
        if !self.node[node].remote_reset {
            self.node[node].unclean = false;
            self.node[node].unseen = false;
        }
        self.add_node_attributes(state.child("transient_attributes"), node, true);
        if self.shutdown_requested(node) {
            self.node[node].shutdown = true;
        }
        self.node[node].standby |= text::is_true(self.attr(node, "standby"));
        let connection = self.node[node].connection;
        if text::is_true(self.attr(node, "maintenance"))
            || connection.is_some_and(|c| !self.rsc[c].is(RscFlags::MANAGED))
        {
            self.node[node].maintenance = true;
        }
        let discovery = self.attr(node, "resource-discovery-enabled");
        if discovery.is_some_and(|d| !text::is_true(Some(d)))
            && (!self.is_remote(node) || self.options.fencing)
        {
            self.node[node].discovery = false;
        }
    }
}
