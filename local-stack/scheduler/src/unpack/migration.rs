//! Migrations that history tells of: complete, partial or failed.

use std::cmp::Ordering;

use cib::Element;

use super::failure::Entry;
use super::history::compare_entries;
use crate::failcount::exit_code;
use crate::ids::NodeId;
use crate::model::{Role, RscFlags};
use crate::plan::Plan;

/// The parts of a migration, by the names of its nodes.
struct Parts<'a> {
    source: &'a str,
    target: &'a str,
}

impl<'a> Plan<'a> {
    fn parts(&self, entry: &Entry<'a>, here: fn(&Parts<'a>) -> &'a str) -> Option<Parts<'a>> {
        let parts = Parts {
            source: entry.element.attr("migrate_source")?,
            target: entry.element.attr("migrate_target")?,
        };
        let name = self.node[entry.node].name;
        here(&parts).eq_ignore_ascii_case(name).then_some(parts)
    }

    fn recorded(
        &self,
        entry: &Entry<'a>,
        node: &str,
    ) -> impl Iterator<Item = Element<'a>> + use<'a> {
        let id = self.rsc[entry.rsc].id.clone();
        let found = self.history.get(&(node, &*id)).copied();
        found
            .into_iter()
            .flat_map(|h| h.children())
            .filter(|c| c.name() == "lrm_rsc_op")
    }

    /// A `migrate_from` (or `migrate_to`) on `node` with the given other end.
    fn find_migration(
        &self,
        entry: &Entry<'a>,
        task: &str,
        node: &str,
        other: &str,
        succeeded: bool,
    ) -> Option<Element<'a>> {
        let end = if task == "migrate_to" {
            "migrate_target"
        } else {
            "migrate_source"
        };
        let found = self
            .recorded(entry, node)
            .find(|e| e.attr("operation") == Some(task) && e.attr(end) == Some(other))?;
        let fine = exit_code(found) == Some(0) && found.attr("op-status") == Some("0");
        (!succeeded || fine).then_some(found)
    }

    /// Whether nothing has been completed on a node.
    fn unknown_on(&self, entry: &Entry<'a>, node: &str) -> bool {
        !self
            .recorded(entry, node)
            .any(|e| e.attr("rc-code").is_some_and(|c| c != "193"))
    }

    /// Whether anything but a monitor happened on a node after an event.
    fn acted_after(&self, entry: &Entry<'a>, node: &str, event: Element<'a>, same: bool) -> bool {
        self.recorded(entry, node).any(|e| {
            let task = e.attr("operation").unwrap_or("");
            e.key() != event.key()
                && matches!(task, "start" | "stop" | "migrate_to" | "migrate_from")
                && compare_entries(e, event, same) == Ordering::Greater
        })
    }

    /// Whether a monitor found nothing on a node after an event.
    fn idle_after(&self, entry: &Entry<'a>, node: &str, event: Element<'a>, same: bool) -> bool {
        let monitor = self
            .recorded(entry, node)
            .find(|e| e.attr("operation") == Some("monitor"));
        monitor.is_some_and(|m| {
            exit_code(m) == Some(7)
                && m.attr("op-status") == Some("0")
                && compare_entries(m, event, same) == Ordering::Greater
        })
    }

    /// Whether a node's state is newer than a migration.
    fn newer_state(
        &self,
        entry: &Entry<'a>,
        node: &str,
        to: Option<Element<'a>>,
        from: Option<Element<'a>>,
    ) -> bool {
        let Some(any) = from.or(to) else {
            return false;
        };
        let is = |name| {
            any.attr(name)
                .is_some_and(|n: &str| n.eq_ignore_ascii_case(node))
        };
        let (event, same) = if is("migrate_target") {
            (from.or(to), from.is_some())
        } else if is("migrate_source") {
            (to.or(from), to.is_some())
        } else {
            (Some(any), false)
        };
        let event = event.unwrap_or(any);
        self.acted_after(entry, node, event, same) || self.idle_after(entry, node, event, same)
    }

    fn online_node(&self, name: &str) -> Option<NodeId> {
        self.find_node(name).filter(|n| self.node[*n].online)
    }

    fn prevent_migration(&mut self, entry: &Entry<'a>) {
        let flags = &mut self.rsc[entry.rsc].flags;
        flags.set(RscFlags::FAILED | RscFlags::STOP_IF_FAILED);
        flags.clear(RscFlags::MIGRATABLE);
    }

    pub(crate) fn migrate_to_succeeded(&mut self, entry: &Entry<'a>) {
        let Some(parts) = self.parts(entry, |p| p.source) else {
            return;
        };
        let rsc = entry.rsc;
        let acted = self.acted_after(entry, parts.source, entry.element, true);
        let from = self.find_migration(entry, "migrate_from", parts.target, parts.source, false);
        if from.is_some() && acted {
            return;
        }
        let newer = self.newer_state(entry, parts.target, Some(entry.element), from);
        if acted && newer {
            return;
        }
        let status = from.map_or(Some("-1"), |f| f.attr("op-status"));
        if from.is_some_and(|f| exit_code(f) == Some(0)) && status == Some("0") {
            // Only the stop on the source is missing.
            self.rsc[rsc].role = Role::Stopped;
            self.rsc[rsc].dangling.insert(0, entry.node);
            return;
        }
        self.rsc[rsc].role = Role::Started;
        let online_target = self.online_node(parts.target);
        let active_on_target = online_target.filter(|_| !newer);
        if status != Some("-1") {
            match active_on_target {
                Some(target) => self.add_running(rsc, target, true),
                None => self.prevent_migration(entry),
            }
            return;
        }
        if online_target.is_some() && self.unknown_on(entry, parts.target) {
            return;
        }
        if let Some(target) = active_on_target {
            self.add_running(rsc, target, false);
            if let Some(source) = self.online_node(parts.source) {
                self.rsc[rsc].partial_target = Some(target);
                self.rsc[rsc].partial_source = Some(source);
            }
        } else if !acted {
            self.prevent_migration(entry);
        }
    }

    pub(crate) fn migrate_to_failed(&mut self, entry: &Entry<'a>) {
        let Some(parts) = self.parts(entry, |p| p.source) else {
            return;
        };
        self.rsc[entry.rsc].role = Role::Started;
        let from = self.find_migration(entry, "migrate_from", parts.target, parts.source, true);
        if !self.unknown_on(entry, parts.target)
            && !self.newer_state(entry, parts.target, Some(entry.element), from)
        {
            if let Some(target) = self.online_node(parts.target) {
                self.add_running(entry.rsc, target, false);
            }
        } else if !self.acted_after(entry, parts.source, entry.element, true) {
            self.rsc[entry.rsc].dangling.insert(0, entry.node);
        }
    }

    pub(crate) fn migrate_from_failed(&mut self, entry: &Entry<'a>) {
        let Some(parts) = self.parts(entry, |p| p.target) else {
            return;
        };
        self.rsc[entry.rsc].role = Role::Started;
        let to = self.find_migration(entry, "migrate_to", parts.source, parts.target, true);
        if !self.unknown_on(entry, parts.source)
            && !self.newer_state(entry, parts.source, to, Some(entry.element))
            && let Some(source) = self.online_node(parts.source)
        {
            self.add_running(entry.rsc, source, true);
        }
    }
}
