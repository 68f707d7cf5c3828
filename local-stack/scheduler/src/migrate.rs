//! Live migration.

use crate::action::{ActFlags, Relation, Side};
use crate::ids::{ActId, NodeId, RscId};
use crate::model::RscFlags;
use crate::plan::Plan;
use crate::words::Word;

impl<'a> Plan<'a> {
    pub(crate) fn can_migrate(&self, rsc: RscId, current: Option<NodeId>) -> bool {
        let r = &self.rsc[rsc];
        let clean = |n: Option<NodeId>| n.is_some_and(|n| !self.node[n].unclean);
        r.is(RscFlags::MIGRATABLE)
            && r.is(RscFlags::MANAGED)
            && !r.is(RscFlags::FAILED)
            && !r.is(RscFlags::START_PENDING)
            && clean(current)
            && clean(r.assigned)
    }

    fn name_ends(&mut self, action: ActId, source: NodeId, target: NodeId) {
        let (source, target) = (self.node[source].name, self.node[target].name);
        self.set_meta(action, "migrate_source", source);
        self.set_meta(action, "migrate_target", target);
    }

    fn copy_needs(&mut self, from: ActId, to: ActId) {
        let needs = ActFlags::NEEDS_NOTHING | ActFlags::NEEDS_QUORUM | ActFlags::NEEDS_FENCING;
        let bits = self.act[from].flags.0 & needs.0;
        self.act[to].flags.clear(needs);
        self.act[to].flags.0 |= bits;
    }

    pub(crate) fn create_migration(&mut self, rsc: RscId, current: NodeId) {
        let Some(target) = self.rsc[rsc].assigned else {
            return;
        };
        let partial = self.rsc[rsc].partial_target.is_some();
        let start = self.op(rsc, Word::START, Some(target), true);
        let stop = self.op(rsc, Word::STOP, Some(current), true);
        let to = (!partial).then(|| self.op(rsc, Word::MIGRATE_TO, Some(current), true));
        let from = self.op(rsc, Word::MIGRATE_FROM, Some(target), true);
        for action in [start, stop, from] {
            self.act[action].flags.set(ActFlags::MIGRATABLE);
        }
        // The start remains as a point in time.
        self.act[start].flags.set(ActFlags::PSEUDO);
        let blocks = Relation::ORDERED | Relation::UNMIGRATABLE_THEN_BLOCKS;
        if let Some(to) = to {
            self.act[to].flags.set(ActFlags::MIGRATABLE);
            self.copy_needs(start, to);
            let flags = Relation::ORDERED;
            self.order_ops((rsc, Word::MONITOR), (rsc, Word::MIGRATE_TO), flags);
            self.order_ops((rsc, Word::MIGRATE_TO), (rsc, Word::MIGRATE_FROM), blocks);
        } else {
            self.copy_needs(start, from);
            let flags = Relation::ORDERED;
            self.order_ops((rsc, Word::MONITOR), (rsc, Word::MIGRATE_FROM), flags);
        }
        self.order_ops((rsc, Word::MIGRATE_FROM), (rsc, Word::STOP), blocks);
        let flags = blocks | Relation::FIRST_ELSE_THEN;
        self.order_ops((rsc, Word::MIGRATE_FROM), (rsc, Word::START), flags);
        if let Some(to) = to {
            self.name_ends(to, current, target);
            if !self.rsc[rsc].is(RscFlags::REMOTE_CONNECTION) {
                self.set_meta(to, "record-pending", "true");
            }
        }
        self.name_ends(from, current, target);
    }

    fn is_below(&self, rsc: RscId, ancestor: RscId) -> bool {
        let mut current = self.rsc[rsc].parent;
        while let Some(parent) = current {
            if parent == ancestor {
                return true;
            }
            current = self.rsc[parent].parent;
        }
        false
    }

    /// What holds for starts and stops must hold for the migrations that replace them.
    pub(crate) fn order_migration_equivalents(&mut self, first: Side, then: Side, _: Relation) {
        let (Some(a), Some(b)) = (first.rsc, then.rsc) else {
            return;
        };
        let first_moves = self.rsc[a].is(RscFlags::MIGRATABLE);
        let then_moves = self.rsc[b].is(RscFlags::MIGRATABLE);
        if a == b || !(first_moves || then_moves) || self.is_below(a, b) || self.is_below(b, a) {
            return;
        }
        let task = |p: &Self, side: &Side| match (side.action, side.key) {
            (Some(action), _) => Some(p.act[action].task),
            (None, Some(key)) => Some(key.name),
            _ => None,
        };
        let (Some(first_task), Some(then_task)) = (task(self, &first), task(self, &then)) else {
            return;
        };
        let mut flags = Relation::ORDERED;
        let partial = self.rsc[b].partial_target.is_some();
        match (first_task, then_task) {
            (Word::START, Word::START) => {
                if first_moves && then_moves {
                    self.order_ops((a, Word::MIGRATE_FROM), (b, Word::MIGRATE_TO), flags);
                }
                if then_moves {
                    if first_moves {
                        flags = flags | Relation::IF_FIRST_UNMIGRATABLE;
                    }
                    self.order_ops((a, Word::START), (b, Word::MIGRATE_TO), flags);
                }
            }
            (Word::STOP, Word::STOP) if then_moves => {
                if first_moves {
                    flags = flags | Relation::IF_FIRST_UNMIGRATABLE;
                }
                self.order_ops((a, Word::STOP), (b, Word::MIGRATE_TO), flags);
                if partial {
                    self.order_ops((a, Word::STOP), (b, Word::MIGRATE_FROM), flags);
                }
            }
            (Word::PROMOTE, Word::START) if then_moves => {
                self.order_ops((a, Word::PROMOTE), (b, Word::MIGRATE_TO), flags);
            }
            (Word::DEMOTE, Word::STOP) if then_moves => {
                self.order_ops((a, Word::DEMOTE), (b, Word::MIGRATE_TO), flags);
                if partial {
                    self.order_ops((a, Word::DEMOTE), (b, Word::MIGRATE_FROM), flags);
                }
            }
            _ => {}
        }
    }
}
