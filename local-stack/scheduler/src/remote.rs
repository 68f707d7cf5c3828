//! What happens on remote and guest nodes happens through their connections.

use crate::action::{Relation, Side};
use crate::ids::{ActId, Id as _, NodeId, RscId};
use crate::model::{Role, RscFlags};
use crate::plan::Plan;
use crate::words::Word;

/// What will become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unknown,
    Alive,
    /// It can be used again once it has started elsewhere.
    Resting,
    Failed,
    Stopped,
}

impl<'a> Plan<'a> {
    fn connection_state(&self, node: NodeId) -> State {
        let Some(connection) = self.node[node].connection else {
            return State::Unknown;
        };
        let c = &self.rsc[connection];
        let host = self.current_node(connection);
        if c.next_role == Role::Stopped || c.assigned.is_none() {
            if host.is_some_and(|h| self.node[h].unclean) {
                return State::Failed;
            }
            if !c.is(RscFlags::FAILED) {
                return State::Stopped;
            }
            if c.next_role == Role::Stopped
                && c.reconnect_ms > 0
                && self.node[node].remote_fenced
                && !self.shutdown_requested(node)
            {
                return State::Unknown;
            }
            return State::Failed;
        }
        let Some(host) = host else {
            return State::Unknown;
        };
        if self.node[host].unclean || !self.node[host].online {
            return State::Resting;
        }
        if c.running_on.len() > 1 && c.partial_source.is_some() && c.partial_target.is_some() {
            return State::Resting;
        }
        State::Alive
    }

    pub(crate) fn is_failed_remote(&self, node: NodeId) -> bool {
        self.is_remote(node)
            && self.node[node].connection.is_some()
            && self.connection_state(node) == State::Failed
    }

    fn after_start(&mut self, first: RscId, then: ActId, extra: Relation) {
        let flags = Relation::GUEST_ALLOWED | Relation::UNRUNNABLE_BLOCKS | extra;
        self.order(Side::op(first, Word::START), Self::side(then), flags);
    }

    fn before_stop(&mut self, first: ActId, then: RscId, extra: Relation) {
        let flags = Relation::GUEST_ALLOWED | extra;
        self.order(Self::side(first), Side::op(then, Word::STOP), flags);
    }

    pub(crate) fn order_remote_actions(&mut self) {
        if !self.have_remote {
            return;
        }
        for place in (0..self.act.len()).rev() {
            self.order_remote_action(ActId::new(place));
        }
    }

    fn order_remote_action(&mut self, action: ActId) {
        let a = &self.act[action];
        let Some(rsc) = a.rsc else {
            return;
        };
        if self.rsc[rsc].is(RscFlags::REMOTE_CONNECTION) && a.task == Word::CLEAR_FAILCOUNT {
            let then = Side::op(rsc, Word::START);
            self.order(Self::side(action), then, Relation::ORDERED);
            return;
        }
        let Some(node) = a.node.filter(|n| self.is_remote_kind(*n)) else {
            return;
        };
        if a.flags.has(crate::action::ActFlags::PSEUDO) {
            return;
        }
        let Some(connection) = self.node[node].connection else {
            return;
        };
        if self.act[action].task == Word::START {
            // What moves to the node is not stopped before the node is reached.
            for i in (0..self.rsc[rsc].actions.len()).rev() {
                let stop = self.rsc[rsc].actions[i];
                if self.act[stop].task == Word::STOP && self.act[stop].node != Some(node) {
                    let first = Side::op(connection, Word::START);
                    self.order(first, Self::side(stop), Relation::ORDERED);
                }
            }
        }
        if self.rsc[connection].launcher.is_some() {
            self.order_guest_action(action, node, connection);
        } else {
            self.order_on_remote(action, node, connection);
        }
    }

    fn task_for_order(&self, action: ActId) -> Word {
        match self.act[action].task {
            Word::MIGRATE_TO | Word::MIGRATE_FROM => Word::STOP,
            task => task,
        }
    }

    fn order_on_remote(&mut self, action: ActId, node: NodeId, connection: RscId) {
        let state = self.connection_state(node);
        let task = self.task_for_order(action);
        let none = Relation::NONE;
        match task {
            Word::START | Word::PROMOTE => {
                let failed = state == State::Failed;
                let extra = if failed {
                    Relation::FIRST_IMPLIES_THEN
                } else {
                    none
                };
                self.after_start(connection, action, extra);
            }
            Word::STOP => match state {
                State::Alive => {
                    self.before_stop(action, connection, Relation::THEN_IMPLIES_FIRST);
                }
                State::Failed => self.fence_node(node, false),
                _ if self.rsc[connection].next_role == Role::Stopped => {
                    self.before_stop(action, connection, Relation::THEN_IMPLIES_FIRST);
                }
                _ => self.after_start(connection, action, none),
            },
            Word::DEMOTE => {
                if matches!(state, State::Resting | State::Unknown) {
                    self.after_start(connection, action, none);
                }
            }
            _ if self.is_recurring(action) => {
                self.after_start(connection, action, Relation::FIRST_IMPLIES_THEN);
            }
            _ => {
                if task == Word::MONITOR && state == State::Failed {
                    self.fence_node(node, false);
                }
                if self.current_node(connection).is_some() && state == State::Stopped {
                    self.before_stop(action, connection, Relation::UNRUNNABLE_BLOCKS);
                } else {
                    self.after_start(connection, action, none);
                }
            }
        }
    }

    /// Whether an action repeats (a cancellation counts by what it cancels).
    pub(crate) fn is_recurring(&self, action: ActId) -> bool {
        self.act[action].key.interval > 0
    }

    fn order_guest_action(&mut self, action: ActId, node: NodeId, connection: RscId) {
        let Some(launcher) = self.rsc[connection].launcher else {
            return;
        };
        let failed = self.rsc[launcher].is(RscFlags::FAILED);
        if failed {
            self.fence_node(node, false);
        }
        let none = Relation::NONE;
        let task = self.task_for_order(action);
        match task {
            Word::START | Word::PROMOTE => {
                self.after_start(launcher, action, Relation::FIRST_IMPLIES_THEN);
                self.after_start(connection, action, none);
            }
            Word::STOP | Word::DEMOTE => {
                // Stopping a failed guest stops all that is in it.
                if !failed {
                    self.before_stop(action, connection, none);
                }
            }
            _ if self.is_recurring(action) => {
                if task == Word::MONITOR {
                    self.after_start(connection, action, Relation::FIRST_IMPLIES_THEN);
                }
            }
            _ => self.after_start(connection, action, none),
        }
    }

    /// The cluster node through which an action on a remote node goes.
    pub(crate) fn router(&self, action: ActId) -> Option<NodeId> {
        let a = &self.act[action];
        let node = a.node.filter(|n| self.is_remote_kind(*n))?;
        if a.task == Word::STONITH {
            return None;
        }
        let connection = self.node[node].connection?;
        let c = &self.rsc[connection];
        let partial = c.launcher.is_none() && c.partial_target.is_some();
        let (began, ended) = (self.current_node(connection), c.assigned);
        let (Some(began), Some(ended)) = (began, ended) else {
            return began.or(ended);
        };
        if began == ended {
            return Some(began);
        }
        let notified;
        let task = if a.task == Word::NOTIFY {
            notified = self.act_meta(action, "notify_operation").unwrap_or("");
            notified
        } else {
            self.words.text(a.task)
        };
        let before = matches!(
            task,
            "cancel" | "stop" | "demote" | "migrate_from" | "migrate_to"
        );
        Some(if before && !partial { began } else { ended })
    }
}
