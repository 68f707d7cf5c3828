//! Assigning a primitive.

use crate::explain::What;
use crate::ids::{ColId, NodeId, RscId};
use crate::model::{Role, RscFlags};
use crate::options::NoQuorum;
use crate::plan::Plan;
use crate::text::INFINITY;

impl<'a> Plan<'a> {
    pub(super) fn assign_primitive(
        &mut self,
        rsc: RscId,
        prefer: Option<NodeId>,
        stop_if_fail: bool,
    ) -> Option<NodeId> {
        if let Some(parent) = self.rsc[rsc].parent
            && !self.rsc[parent].is(RscFlags::ASSIGNING)
        {
            self.assign(parent, prefer, stop_if_fail);
        }
        if !self.rsc[rsc].is(RscFlags::UNASSIGNED) {
            return self.rsc[rsc].assigned;
        }
        if self.rsc[rsc].is(RscFlags::ASSIGNING) {
            return None;
        }
        self.rsc[rsc].flags.set(RscFlags::ASSIGNING);
        let this_with = self.this_with_colocations(rsc);
        let with_this = self.with_this_colocations(rsc);
        // Mandatory ones first, to satisfy as many as possible.
        for mandatory in [true, false] {
            for &col in &this_with {
                if (self.col[col].score.abs() >= INFINITY) == mandatory {
                    let before = self.scores_before(rsc);
                    self.apply_this_with(col, rsc);
                    self.note_lost(rsc, before, What::With(col));
                }
            }
            for &col in &with_this {
                if (self.col[col].score.abs() >= INFINITY) == mandatory {
                    let before = self.scores_before(rsc);
                    self.add_dependent_scores(col, rsc);
                    self.note_lost(rsc, before, What::Dependent(col));
                }
            }
        }
        if self.rsc[rsc].next_role == Role::Stopped {
            self.add_score(rsc, None, -INFINITY);
        } else if self.rsc[rsc].next_role > self.rsc[rsc].role
            && !self.options.quorate
            && self.options.no_quorum == NoQuorum::Freeze
        {
            self.rsc[rsc].next_role = self.rsc[rsc].role;
            self.note(rsc, None, What::NoQuorum);
        }
        self.note_weights(rsc, "pcmk__primitive_assign");
        if self.options.fencing && !self.options.have_fencing {
            self.rsc[rsc].flags.clear(RscFlags::MANAGED);
        }
        if !self.rsc[rsc].is(RscFlags::MANAGED) {
            // What is not managed stays where it is.
            self.rsc[rsc].next_role = self.rsc[rsc].role;
            let current = self.current_node(rsc);
            self.give(rsc, current, true, stop_if_fail);
        } else if self.options.stop_all {
            self.give(rsc, None, true, stop_if_fail);
        } else {
            self.assign_best(rsc, prefer, stop_if_fail);
        }
        self.note_scores(rsc);
        self.rsc[rsc].flags.clear(RscFlags::ASSIGNING);
        if self.rsc[rsc].is(RscFlags::REMOTE_CONNECTION) {
            self.connection_assigned(rsc);
        }
        self.rsc[rsc].assigned
    }

    fn apply_this_with(&mut self, id: ColId, rsc: RscId) {
        let col = &self.col[id];
        let primary = col.primary;
        let revertible =
            col.dependent_role >= Role::Promoted || (col.score < 0 && col.score > -INFINITY);
        let archive = revertible.then(|| self.rsc[rsc].allowed.clone());
        if self.rsc[primary].is(RscFlags::UNASSIGNED) {
            self.assign(primary, None, true);
        }
        self.apply_colocation(rsc, primary, id, true);
        if let Some(archive) = archive
            && !self.any_available(&self.rsc[rsc].allowed)
        {
            self.rsc[rsc].allowed = archive;
        }
    }

    fn connection_assigned(&mut self, rsc: RscId) {
        let Some(node) = self.find_node(&self.rsc[rsc].id.clone()) else {
            return;
        };
        if self.rsc[rsc].assigned.is_some() && self.rsc[rsc].next_role != Role::Stopped {
            self.node[node].online = true;
            if self.node[node].unseen {
                self.node[node].unclean = false;
            }
        } else {
            self.node[node].shutdown = true;
        }
    }

    fn assign_best(&mut self, rsc: RscId, prefer: Option<NodeId>, stop_if_fail: bool) {
        let most_free = self.ban_insufficient_capacity(rsc);
        let prefer = prefer.or(most_free);
        if !self.rsc[rsc].is(RscFlags::UNASSIGNED) {
            return;
        }
        let running = self.current_node(rsc);
        let nodes = self.sorted_nodes(rsc, running);
        let best = nodes.first().copied();
        let mut chosen = None;
        if let (Some(prefer), Some((_, best_score))) = (prefer, best) {
            let score = self.slot(rsc, prefer).map(|s| s.score);
            let good = score.is_some_and(|s| s >= best_score && s >= 0);
            chosen = (good && self.available(prefer, false)).then_some(prefer);
        }
        if chosen.is_none()
            && let Some((node, score)) = best
        {
            chosen = Some(node);
            let parent = self.rsc[rsc].parent;
            let unique =
                parent.is_some_and(|p| self.is_clone(p) && self.rsc[p].is(RscFlags::UNIQUE));
            // If scores are equal, better stay.
            if !unique
                && score > 0
                && self.available(node, false)
                && let Some(running) = running
                && self.available(running, false)
                && self.node[running].weight >= 0
                && nodes.iter().any(|(n, s)| *n == running && *s == score)
            {
                chosen = Some(running);
            }
        }
        self.give(rsc, chosen, false, stop_if_fail);
    }
}
