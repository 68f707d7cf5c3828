//! Why an action that is wanted cannot be carried out.

use super::absent::DEPTH_MAX;
use super::place::place;
use super::record::What;
use super::{Cause, Code};
use crate::action::{ActFlags, Relation};
use crate::ids::{ActId, NodeId, RscId};
use crate::model::{RscFlags, Variant};
use crate::plan::Plan;
use crate::words::Word;

/// The relations by which an action that cannot be carried out keeps back another.
const BLOCKING: Relation = Relation(
    Relation::UNRUNNABLE_BLOCKS.0
        | Relation::ASYMMETRIC.0
        | Relation::INTERMEDIATE_STOP.0
        | Relation::FIRST_IMPLIES_THEN.0
        | Relation::MIN_RUNNABLE.0
        | Relation::REQUIRED_ON_SAME_NODE.0,
);

impl<'a> Plan<'a> {
    /// An operation of a resource on a node that is needed and cannot be carried out.
    pub(super) fn kept_back(&self, rsc: RscId, task: Word, node: NodeId) -> Option<ActId> {
        let actions = self.rsc[rsc].actions.iter().copied();
        let mut actions = actions.filter(|a| {
            let action = &self.act[*a];
            action.task == task && action.node == Some(node) && action.key.interval == 0
        });
        actions.find(|a| !self.is(*a, ActFlags::RUNNABLE))
    }

    /// Why an action cannot be carried out.
    pub(super) fn waiting(&mut self, rsc: RscId, action: ActId, depth: usize) -> Vec<Cause> {
        let mut causes = Vec::new();
        let node = self.act[action].node;
        let notes = self.notes(rsc, None);
        let quorum = notes.iter().any(|n| n.what == What::NoQuorum);
        if quorum && !self.is(action, ActFlags::NEEDS_NOTHING) {
            return vec![self.quorum_cause()];
        }
        if let Some(node) = node.filter(|n| !self.available(*n, false)) {
            causes.extend(self.node_causes(node));
        }
        let mut firsts = Vec::new();
        if !causes.iter().any(|c| c.code == Code::RemoteConnection) {
            self.blocking(action, &mut firsts, 0);
        }
        for first in firsts {
            let cause = self.first_cause(rsc, first, depth);
            causes.extend(cause.filter(|c| !causes.contains(c)));
        }
        if causes.is_empty() {
            for note in notes {
                if let What::Held(col) = note.what {
                    let primary = self.col[col].primary;
                    let because = self.deeper(primary, depth);
                    causes.push(self.partner_cause(col).because(because));
                }
            }
        }
        if causes.is_empty() {
            let task = self.words.text(self.act[action].task).to_owned();
            let on = node.map_or_else(String::new, |n| format!(" on {}", self.node_name(n)));
            causes.push(Cause::new(
                Code::Waits,
                format!("its {task}{on} cannot be carried out"),
            ));
        }
        causes
    }

    /// The actions that keep back another; points in time count for what is before them.
    fn blocking(&self, action: ActId, list: &mut Vec<ActId>, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        for edge in &self.act[action].before {
            let edge = self.edges[*edge as usize];
            let first = edge.first;
            if !edge.flags.any(BLOCKING)
                || self.is(first, ActFlags::RUNNABLE)
                || list.contains(&first)
            {
                continue;
            }
            match self.act[first].rsc {
                None if self.act[first].node.is_none() => self.blocking(first, list, depth + 1),
                _ => list.push(first),
            }
        }
    }

    fn deeper(&mut self, rsc: RscId, depth: usize) -> Vec<Cause> {
        if depth < DEPTH_MAX {
            self.why_not_running(rsc, depth + 1)
        } else {
            Vec::new()
        }
    }

    fn first_cause(&mut self, rsc: RscId, first: ActId, depth: usize) -> Option<Cause> {
        let other = self.act[first].rsc?;
        let task = self.act[first].task;
        let stopping = matches!(
            task,
            Word::STOP | Word::STOPPED | Word::DEMOTE | Word::DEMOTED
        );
        if stopping {
            return self.stop_cause(rsc, other, first);
        }
        if self.is_part(rsc, other) || self.is_part(other, rsc) {
            return None;
        }
        let name = self.command_name(other);
        let because = self.deeper(other, depth);
        let parent = self.rsc[rsc].parent;
        let group = parent.filter(|p| self.rsc[*p].variant == Variant::Group);
        if let Some(group) = group.filter(|g| self.is_part(other, *g)) {
            let group = self.command_name(group);
            let text = format!("{name}, which comes before it in group {group}, does not run");
            return Some(Cause::new(Code::GroupMember, text).because(because));
        }
        let element = self
            .order_origin(other, rsc)
            .or_else(|| self.gate_origin(rsc));
        let by = element.map_or_else(String::new, |e| format!(" (constraint {})", e.id()));
        let done = match task.atomic() {
            Word::PROMOTE => "promoted",
            _ => "started",
        };
        let text = format!("{name} must be {done} first, and is not{by}");
        let cause = Cause::new(Code::OrderFirst, text).at(element.map(place));
        let cause = cause.because(because);
        Some(cause.fix(format!(
            "see why {name} does not run: local-stack explain {name}"
        )))
    }

    /// A stop that must come first and cannot be done.
    fn stop_cause(&mut self, rsc: RscId, other: RscId, stop: ActId) -> Option<Cause> {
        let node = self.act[stop].node?;
        let what = if self.is_part(rsc, other) || self.is_part(other, rsc) {
            "it".to_owned()
        } else {
            self.command_name(other)
        };
        let name = self.node_name(node);
        if self.node[node].unclean || !self.node[node].online {
            let text = format!("{what} may still be active on {name}, which must be fenced first");
            let because = self.node_causes(node);
            return Some(Cause::new(Code::StopFirst, text).because(because));
        }
        let text = format!("{what} must be stopped on {name} first, and cannot be");
        let mut because = Vec::new();
        if !self.rsc[other].is(RscFlags::MANAGED) {
            because = self.alone_causes(other);
        }
        for note in self.notes(other, Some(node)) {
            if let What::OnFail(on_fail, entry) = note.what {
                because.extend(self.on_fail_cause(other, Some(node), (on_fail, entry)));
            }
        }
        Some(Cause::new(Code::StopFirst, text).because(because))
    }

    /// What is still being found out about a resource.
    pub(super) fn probes(&self, rsc: RscId) -> Option<Cause> {
        let probes = self.rsc[rsc].actions.iter().filter(|a| {
            let action = &self.act[**a];
            action.task == Word::MONITOR
                && action.key.interval == 0
                && !action.flags.has(ActFlags::OPTIONAL)
        });
        let mut nodes: Vec<NodeId> = probes.filter_map(|a| self.act[*a].node).collect();
        nodes.sort_by_key(|n| self.node_name(*n));
        nodes.dedup();
        if nodes.is_empty() {
            return None;
        }
        let names = self.node_names(&nodes);
        let text = format!("it must be known first whether it is active on {names}");
        Some(Cause::new(Code::ProbesPending, text))
    }

    /// What is under way.
    pub(super) fn pending(&self, rsc: RscId) -> Option<Cause> {
        let r = &self.rsc[rsc];
        let (task, node) = (r.pending_task?, r.pending_node?);
        let name = self.node_name(node);
        let base = r
            .clone_name
            .unwrap_or_else(|| crate::text::base_name(&r.id));
        let history = self.history.get(&(name, base));
        let entry = history.and_then(|h| {
            let mut entries = h.children_named("lrm_rsc_op");
            entries.find(|e| e.attr("operation") == Some(task) && e.attr("op-status") == Some("-1"))
        });
        let mut text = format!("{task} is under way on {name}");
        let since = entry
            .and_then(|e| e.attr("last-rc-change").or_else(|| e.attr("last-run")))
            .and_then(crate::text::leading_int)
            .filter(|s| *s > 0);
        if let Some(since) = since {
            let for_seconds = (self.now - since).max(0);
            text += &format!(" since {} ({for_seconds}s)", crate::dates::text(since));
        }
        let config = self.op_config(rsc, task, 0, true);
        if let Some(timeout) = config.and_then(|c| c.attr("timeout")) {
            text += &format!(", timeout {timeout}");
        }
        Some(Cause::new(Code::ActionPending, text).at(entry.map(place)))
    }
}
