//! Actions and the order between them.

use std::rc::Rc;

use crate::ids::{ActId, NodeId, RscId};
use crate::model::{Role, RscFlags, flags};
use crate::options::NoQuorum;
use crate::plan::Plan;
use crate::words::Word;

flags! { ActFlags:
    PSEUDO = 0,
    RUNNABLE = 1,
    OPTIONAL = 2,
    ALWAYS = 3,
    MIGRATABLE = 4,
    DETECT_LOOP = 5,
    ON_DC = 6,
    RESCHEDULE = 7,
    MIN_RUNNABLE = 8,
    DEDUPED = 9,
    IN_GRAPH = 10,
    NEEDS_NOTHING = 11,
    NEEDS_QUORUM = 12,
    NEEDS_FENCING = 13,
    CAN_FAIL = 14,
    ABORTS_MIGRATION = 15,
}

flags! { Relation:
    ORDERED = 0,
    UNMIGRATABLE_THEN_BLOCKS = 1,
    FIRST_IMPLIES_THEN = 2,
    FIRST_IMPLIES_SAME_NODE_THEN = 3,
    FIRST_ELSE_THEN = 4,
    THEN_IMPLIES_FIRST = 5,
    PROMOTED_THEN_IMPLIES_FIRST = 6,
    INTERMEDIATE_STOP = 7,
    THEN_IMPLIES_FIRST_GRAPHED = 8,
    FIRST_IMPLIES_THEN_GRAPHED = 9,
    ASYMMETRIC = 10,
    NESTED_REMOTE_PROBE = 11,
    ON_SAME_NODE = 12,
    ON_SAME_NODE_OR_TARGET = 13,
    REQUIRED_ON_SAME_NODE = 14,
    MIN_RUNNABLE = 15,
    SERIALIZE = 16,
    GUEST_ALLOWED = 17,
    THEN_CANCELS_FIRST = 18,
    UNRUNNABLE_BLOCKS = 19,
    IF_FIRST_UNMIGRATABLE = 20,
}

impl Relation {
    pub(crate) const NONE: Self = Self(0);
}

/// What an action of a resource is called beside the resource: operation and interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) name: Word,
    pub(crate) interval: u32,
}

impl Key {
    pub(crate) fn once(name: Word) -> Self {
        Self { name, interval: 0 }
    }
}

/// One action.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) rsc: Option<RscId>,
    pub(crate) node: Option<NodeId>,
    pub(crate) key: Key,
    pub(crate) task: Word,
    /// What it was made for, which configures it even if it now is a cancellation.
    pub(crate) origin: Word,
    pub(crate) flags: ActFlags,
    pub(crate) priority: i32,
    /// What a cancellation cancels.
    pub(crate) cancel: Option<Key>,
    pub(crate) meta: Vec<(Rc<str>, String)>,
    /// Edges to what comes before, newest last.
    pub(crate) before: Vec<u32>,
    /// What comes after, newest last, with the relation it was given.
    pub(crate) after: Vec<(ActId, Relation)>,
    pub(crate) required_before: i32,
    pub(crate) runnable_before: i32,
    pub(crate) target_rc: Option<i32>,
}

/// That one action comes before another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edge {
    pub(crate) first: ActId,
    pub(crate) flags: Relation,
    pub(crate) in_graph: bool,
}

/// One side of an ordering between actions that may not exist yet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Side {
    pub(crate) rsc: Option<RscId>,
    pub(crate) key: Option<Key>,
    pub(crate) action: Option<ActId>,
}

impl Side {
    pub(crate) fn op(rsc: RscId, name: Word) -> Self {
        Self {
            rsc: Some(rsc),
            key: Some(Key::once(name)),
            action: None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ActionOrdering {
    pub(crate) first: Side,
    pub(crate) then: Side,
    pub(crate) flags: Relation,
}

impl<'a> Plan<'a> {
    /// Orders two actions; a repetition that says nothing new is dropped.
    pub(crate) fn order_actions(&mut self, first: ActId, then: ActId, flags: Relation) -> bool {
        if flags == Relation::NONE || first == then {
            return false;
        }
        let known = self.edge_flags.entry((first, then)).or_default();
        if known.any(flags) {
            return false;
        }
        known.set(flags);
        let edge = u32::try_from(self.edges.len()).unwrap_or(u32::MAX);
        self.edges.push(Edge {
            first,
            flags,
            in_graph: false,
        });
        self.act[then].before.push(edge);
        self.act[first].after.push((then, flags));
        true
    }

    /// The newest action that fits.
    pub(crate) fn find_first_action(
        &self,
        rsc: RscId,
        key: Option<Key>,
        task: Option<Word>,
        node: Option<NodeId>,
    ) -> Option<ActId> {
        let actions = &self.rsc[rsc].actions;
        actions.newest(key, task, node).map(|at| actions[at])
    }

    /// Every action with a key, oldest first; those without a node are given `node`.
    pub(crate) fn find_actions(
        &mut self,
        rsc: RscId,
        key: Key,
        node: Option<NodeId>,
    ) -> Vec<ActId> {
        let mut found = Vec::new();
        let actions = &mut self.rsc[rsc].actions;
        let mut start = 0;
        while let Some(at) = actions.next(start, key, node) {
            let action = actions[at];
            if node.is_some() {
                actions.set_node(at, node);
                self.act[action].node = node;
            }
            found.push(action);
            start = at + 1;
        }
        found
    }

    /// Every action with a key on exactly this node, oldest first.
    pub(crate) fn find_actions_exact(&self, rsc: RscId, key: Key, node: NodeId) -> Vec<ActId> {
        self.rsc[rsc].actions.exact(key, node).collect()
    }

    /// Makes an action of a resource, or finds it.
    pub(crate) fn new_action(
        &mut self,
        rsc: RscId,
        key: Key,
        task: Word,
        node: Option<NodeId>,
        optional: bool,
    ) -> ActId {
        let found = self.find_actions(rsc, key, node).first().copied();
        let action =
            found.unwrap_or_else(|| self.push_action(Some(rsc), key, task, node, optional));
        self.update_optional(action, optional);
        self.update_runnable(action);
        action
    }

    /// An operation of a resource that is carried out once.
    pub(crate) fn op(
        &mut self,
        rsc: RscId,
        task: Word,
        node: Option<NodeId>,
        optional: bool,
    ) -> ActId {
        self.new_action(rsc, Key::once(task), task, node, optional)
    }

    pub(crate) fn push_action(
        &mut self,
        rsc: Option<RscId>,
        key: Key,
        task: Word,
        node: Option<NodeId>,
        optional: bool,
    ) -> ActId {
        let mut flags = ActFlags::RUNNABLE;
        if task == Word::LRM_DELETE {
            flags.set(ActFlags::ON_DC);
        }
        if optional {
            flags.set(ActFlags::OPTIONAL);
        }
        if let Some(r) = rsc {
            let resource = &self.rsc[r];
            flags.set(match task {
                Word::START | Word::PROMOTE if resource.is(RscFlags::NEEDS_FENCING) => {
                    ActFlags::NEEDS_FENCING
                }
                Word::START | Word::PROMOTE if resource.is(RscFlags::NEEDS_QUORUM) => {
                    ActFlags::NEEDS_QUORUM
                }
                _ => ActFlags::NEEDS_NOTHING,
            });
        }
        let id = self.act.push(Action {
            rsc,
            node,
            key,
            task,
            origin: task,
            flags,
            priority: 0,
            cancel: None,
            meta: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
            required_before: 0,
            runnable_before: 0,
            target_rc: None,
        });
        match rsc {
            Some(r) => self.rsc[r].actions.push(id, key, task, node),
            None => {
                self.singles.insert(key.name, id);
            }
        }
        id
    }

    fn update_optional(&mut self, action: ActId, optional: bool) {
        let a = &self.act[action];
        let unmanaged = a.rsc.is_some_and(|r| !self.rsc[r].is(RscFlags::MANAGED));
        if unmanaged && a.node.is_some() && !a.flags.has(ActFlags::PSEUDO) && a.key.interval == 0 {
            self.act[action].flags.set(ActFlags::OPTIONAL);
        } else if !optional {
            self.act[action].flags.clear(ActFlags::OPTIONAL);
        }
    }

    fn quorum_policy(&mut self, rsc: RscId) -> NoQuorum {
        if self.options.quorate {
            return NoQuorum::Ignore;
        }
        if self.options.no_quorum != NoQuorum::Demote {
            return self.options.no_quorum;
        }
        match self.rsc[rsc].role {
            Role::Promoted | Role::Unpromoted => {
                if self.rsc[rsc].next_role > Role::Unpromoted {
                    self.rsc[rsc].next_role = Role::Unpromoted;
                }
                NoQuorum::Ignore
            }
            _ => NoQuorum::Stop,
        }
    }

    /// Judges anew whether an action of a resource can be carried out.
    fn update_runnable(&mut self, action: ActId) {
        let a = &self.act[action];
        let flags = a.flags;
        let Some(rsc) = a.rsc else {
            return;
        };
        if flags.has(ActFlags::PSEUDO) {
            return;
        }
        let Some(node) = a.node else {
            self.act[action].flags.clear(ActFlags::RUNNABLE);
            return;
        };
        let task = a.task;
        let n = &self.node[node];
        let (online, unclean, pending) = (n.online, n.unclean, n.pending);
        let reset = n.remote_reset;
        if !flags.has(ActFlags::ON_DC) && !online && (!self.is_guest(node) || reset) {
            self.act[action].flags.clear(ActFlags::RUNNABLE);
            if self.rsc[rsc].is(RscFlags::MANAGED) && task == Word::STOP && !unclean {
                self.fence_node(node, false);
            }
        } else if !flags.has(ActFlags::ON_DC) && pending {
            self.act[action].flags.clear(ActFlags::RUNNABLE);
        } else if flags.has(ActFlags::NEEDS_NOTHING) {
            if self.is_guest(node) && !self.can_fence(Some(node)) {
                self.act[action].flags.clear(ActFlags::RUNNABLE);
            } else {
                self.act[action].flags.set(ActFlags::RUNNABLE);
            }
        } else {
            match self.quorum_policy(rsc) {
                NoQuorum::Stop => {
                    self.act[action].flags.clear(ActFlags::RUNNABLE);
                    self.note(rsc, None, crate::explain::What::NoQuorum);
                }
                NoQuorum::Freeze => {
                    let r = &self.rsc[rsc];
                    if !self.is_active(rsc, true) || r.next_role > r.role {
                        self.act[action].flags.clear(ActFlags::RUNNABLE);
                        self.note(rsc, None, crate::explain::What::NoQuorum);
                    }
                }
                _ => self.act[action].flags.set(ActFlags::RUNNABLE),
            }
        }
    }

    /// An action that belongs to no resource and is only a point in time.
    pub(crate) fn pseudo(&mut self, name: &str) -> ActId {
        let word = self.words.get(name);
        if let Some(found) = self.singles.get(&word) {
            return *found;
        }
        let action = self.push_action(None, Key::once(word), word, None, true);
        self.act[action]
            .flags
            .set(ActFlags::PSEUDO | ActFlags::RUNNABLE);
        action
    }

    /// An action of a resource that is only a point in time.
    pub(crate) fn pseudo_op(
        &mut self,
        rsc: RscId,
        task: Word,
        optional: bool,
        runnable: bool,
    ) -> ActId {
        let action = self.new_action(rsc, Key::once(task), task, None, optional);
        self.act[action].flags.set(ActFlags::PSEUDO);
        if runnable {
            self.act[action].flags.set(ActFlags::RUNNABLE);
        }
        action
    }

    /// The clearing of a resource's failures on a node.
    pub(crate) fn clear_failcount(&mut self, rsc: RscId, node: NodeId) -> ActId {
        let action = self.op(rsc, Word::CLEAR_FAILCOUNT, Some(node), false);
        self.set_meta(action, "op_no_wait", "true");
        action
    }

    pub(crate) fn set_meta(&mut self, action: ActId, name: &str, value: impl Into<String>) {
        let value = value.into();
        let meta = &mut self.act[action].meta;
        match meta.iter_mut().find(|(n, _)| &**n == name) {
            Some(entry) => entry.1 = value,
            None => meta.push((name.into(), value)),
        }
    }

    pub(crate) fn act_meta(&self, action: ActId, name: &str) -> Option<&str> {
        let meta = &self.act[action].meta;
        meta.iter()
            .find(|(n, _)| &**n == name)
            .map(|(_, v)| v.as_str())
    }

    pub(crate) fn is(&self, action: ActId, flag: ActFlags) -> bool {
        self.act[action].flags.has(flag)
    }

    /// Notes that one side comes before the other, for actions that may not exist yet.
    pub(crate) fn order(&mut self, first: Side, then: Side, flags: Relation) {
        let rsc_of = |side: &Side| {
            side.rsc
                .or_else(|| side.action.and_then(|a| self.act[a].rsc))
        };
        let first = Side {
            rsc: rsc_of(&first),
            ..first
        };
        let then = Side {
            rsc: rsc_of(&then),
            ..then
        };
        if first.action.is_some() && first.action == then.action {
            return;
        }
        self.orderings.push(ActionOrdering { first, then, flags });
        self.order_migration_equivalents(first, then, flags);
    }

    pub(crate) fn order_ops(&mut self, first: (RscId, Word), then: (RscId, Word), flags: Relation) {
        self.order(Side::op(first.0, first.1), Side::op(then.0, then.1), flags);
    }

    /// An instance of a resource's action with whatever key `side` names.
    pub(crate) fn side(action: ActId) -> Side {
        Side {
            rsc: None,
            key: None,
            action: Some(action),
        }
    }
}
