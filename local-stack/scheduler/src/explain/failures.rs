//! Failures in words: what failed, how, when, and until when it counts.

use cib::{Element, ElementId};

use super::place::{place, score_text};
use super::{Cause, Code};
use crate::failcount::Counting;
use crate::ids::{NodeId, RscId};
use crate::opmeta::OnFail;
use crate::plan::Plan;
use crate::text;

fn exit_text(code: i64) -> &'static str {
    match code {
        0 => "ok",
        1 => "error",
        2 => "invalid argument",
        3 => "not implemented",
        4 => "insufficient privileges",
        5 => "not installed",
        6 => "not configured",
        7 => "not running",
        8 => "promoted",
        9 => "failed while promoted",
        190 => "degraded",
        191 => "degraded while promoted",
        _ => "unknown exit code",
    }
}

impl<'a> Plan<'a> {
    /// `monitor on n1 failed with exit code 1 (error: "...") at ...`
    pub(super) fn failure_text(&self, entry: Element<'a>) -> String {
        let task = entry.attr("operation").unwrap_or("an operation");
        let node = entry.attr("on_node").or_else(|| {
            let state = entry.parent()?.parent()?.parent()?.parent()?;
            state.attr("uname")
        });
        let on = node.map_or_else(String::new, |n| format!(" on {n}"));
        let how = match entry.attr("op-status").and_then(text::leading_int) {
            Some(2) => "timed out".to_owned(),
            _ => {
                let code = crate::failcount::exit_code(entry).unwrap_or(1);
                format!("failed with exit code {code} ({})", exit_text(code))
            }
        };
        let reason = entry.attr("exit-reason").filter(|r| !r.is_empty());
        let reason = reason.map_or_else(String::new, |r| format!(", the agent says '{r}'"));
        let when = self.when(entry.attr("last-rc-change"));
        format!("{task}{on} {how}{when}{reason}")
    }

    /// The last failure of a resource that a node remembers.
    fn last_failure(&self, rsc: RscId, node: NodeId) -> Option<Element<'a>> {
        let r = &self.rsc[rsc];
        let name = r.clone_name.unwrap_or_else(|| text::base_name(&r.id));
        let names = [name, text::base_name(&r.id)];
        let history = names
            .iter()
            .find_map(|n| self.history.get(&(self.node[node].name, *n)))?;
        let mut entries = history.children_named("lrm_rsc_op");
        entries.find(|e| e.id().ends_with("_last_failure_0"))
    }

    fn last_task(&self, rsc: RscId, node: NodeId) -> Option<&'a str> {
        self.last_failure(rsc, node)?.attr("operation")
    }

    fn cleanup(&self, rsc: RscId, node: Option<NodeId>) -> String {
        let name = self.command_name(rsc);
        let on = node.map_or_else(String::new, |n| format!(" --node {}", self.node_name(n)));
        format!(
            "remove the reason of the failure, then: crm_resource --cleanup --resource {name}{on}"
        )
    }

    /// Too many failures on a node.
    pub(super) fn threshold_cause(
        &mut self,
        rsc: RscId,
        node: NodeId,
        (count, limit): (i32, i32),
    ) -> Cause {
        let leaf = self.failed_leaf(rsc, node);
        let name = self.node_name(node);
        let what = self.command_name(leaf);
        let times = if count == 1 { "once" } else { "times" };
        let mut text = match count {
            1 => format!("{what} has failed {times} on {name}"),
            c if c < text::INFINITY => format!("{what} has failed {c} {times} on {name}"),
            _ if self.last_task(leaf, node) == Some("start") => {
                format!("{what} could not be started on {name}")
            }
            _ => format!("the failcount of {what} on {name} is INFINITY"),
        };
        if count < text::INFINITY {
            text += &format!(" (migration-threshold {})", score_text(limit));
        }
        let counting = Counting {
            effective: true,
            launched: true,
        };
        let (_, last) = self.failcount(node, leaf, counting, None);
        let timeout = self.rsc[leaf].failure_timeout;
        if timeout > 0 && last > 0 {
            let until = crate::dates::text(last + timeout);
            text +=
                &format!("; the failures are forgotten at {until} (failure-timeout {timeout}s)");
        }
        let mut cause = Cause::new(Code::MigrationThreshold, text);
        if let Some(entry) = self.last_failure(leaf, node) {
            cause.text += &format!("; the last: {}", self.failure_text(entry));
            cause.at.push(place(entry));
        }
        cause
            .at
            .extend(self.meta_place(leaf, "migration-threshold"));
        let fix = self.cleanup(leaf, Some(node));
        cause.fix(fix)
    }

    /// The primitive in a resource that has failed on a node.
    fn failed_leaf(&self, rsc: RscId, node: NodeId) -> RscId {
        let leaves = self.leaves(rsc);
        let failed = leaves.iter().find(|l| {
            let prefix = format!("fail-count-{}", text::base_name(&self.rsc[**l].id));
            self.node[node].attrs.keys().any(|k| k.starts_with(&prefix))
        });
        failed.or_else(|| leaves.first()).copied().unwrap_or(rsc)
    }

    /// A recorded operation that bans a resource from a node, or from all.
    pub(super) fn ban_by_failure(&self, rsc: RscId, node: Option<NodeId>, id: ElementId) -> Cause {
        let entry = self.element(id);
        let failure = self.failure_text(entry);
        let (code, text) = match node {
            None => {
                let text = format!("{failure}; that is fatal, on whatever node");
                (Code::FatalFailure, text)
            }
            Some(_) if entry.attr("operation") == Some("stop") => (Code::StopFailed, failure),
            Some(_) => (Code::FailedThere, failure),
        };
        let fix = self.cleanup(rsc, node);
        Cause::new(code, text).at([place(entry)]).fix(fix)
    }

    /// What a failure has asked for.
    pub(super) fn on_fail_cause(
        &self,
        rsc: RscId,
        node: Option<NodeId>,
        (on_fail, entry): (OnFail, Option<ElementId>),
    ) -> Option<Cause> {
        let entry = entry.map(|e| self.element(e));
        let failure = entry.map_or_else(
            || format!("{} has failed", self.command_name(rsc)),
            |e| self.failure_text(e),
        );
        let (code, what) = match on_fail {
            OnFail::Block => (Code::BlockedByFailure, "on-fail=block leaves it as it is"),
            OnFail::Stop => (Code::StoppedByFailure, "on-fail=stop keeps it stopped"),
            OnFail::Ban => (Code::FailedThere, "it may not come back there"),
            _ => return None,
        };
        let mut what = what.to_owned();
        let stop = entry.is_some_and(|e| e.attr("operation") == Some("stop"));
        if on_fail == OnFail::Block && stop && !self.options.fencing {
            what = "without fencing nothing more can be done".to_owned();
        }
        let fix = self.cleanup(rsc, node);
        let cause = Cause::new(code, format!("{failure}; {what}"));
        Some(cause.at(entry.map(place)).fix(fix))
    }
}
