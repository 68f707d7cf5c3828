//! Histories: what was done with each resource on a node, replayed in order.

use std::cmp::Ordering;

use cib::Element;

use super::failure::Entry;
use crate::action::{ActFlags, Key};
use crate::digest::history_interval;
use crate::explain::What;
use crate::ids::{NodeId, RscId};
use crate::model::{MultiplyActive, Role, RscFlags, Variant};
use crate::opmeta::OnFail;
use crate::plan::Plan;
use crate::text;
use crate::words::Word;

impl<'a> Plan<'a> {
    /// Replays everything recorded on a node.
    pub(crate) fn unpack_history(&mut self, state: Element<'a>, node: NodeId) {
        let Some(list) = state.child("lrm").and_then(|l| l.child("lrm_resources")) else {
            return;
        };
        let mut removed_launched = false;
        for entry in list.children_named("lrm_resource") {
            if let Some(rsc) = self.unpack_resource_history(node, entry) {
                removed_launched |= self.rsc[rsc].is(RscFlags::REMOVED_LAUNCHED);
            }
        }
        if removed_launched {
            self.link_removed(list);
        }
    }

    fn link_removed(&mut self, list: Element<'a>) {
        for entry in list.children_named("lrm_resource") {
            let launcher = entry.attr("container").and_then(|c| self.find(c));
            let (Some(launcher), Some(rsc)) = (launcher, self.find(entry.id())) else {
                continue;
            };
            let r = &self.rsc[rsc];
            if r.launcher.is_none() && r.is(RscFlags::REMOVED_LAUNCHED) {
                self.rsc[rsc].launcher = Some(launcher);
                self.rsc[launcher].launched.push(rsc);
            }
        }
    }

    fn unpack_resource_history(&mut self, node: NodeId, element: Element<'a>) -> Option<RscId> {
        let id = element.attr("id")?;
        // Equal entries keep the reverse of their order in the document.
        let mut entries: Vec<Element<'a>> = element.children_named("lrm_rsc_op").collect();
        entries.reverse();
        if entries.is_empty() && !self.options.shutdown_lock {
            return None;
        }
        let rsc = match self.find_for_history(node, id) {
            Some(rsc) => rsc,
            None if entries.is_empty() => return None,
            None => self.adopt_removed(node, element)?,
        };
        if self.options.shutdown_lock {
            self.unpack_lock(element, rsc, node);
        }
        let saved = self.rsc[rsc].role;
        self.rsc[rsc].role = Role::Unknown;
        sort_entries(&mut entries);
        let mut last_failure: Option<Element<'a>> = None;
        let mut on_fail = OnFail::Ignore;
        for &entry in &entries {
            self.replay(rsc, node, entry, (&mut last_failure, &mut on_fail));
        }
        self.keep_recurring(node, rsc, &entries);
        if on_fail != OnFail::Ignore {
            let entry = last_failure.map(Element::key);
            self.note(rsc, Some(node), What::OnFail(on_fail, entry));
        }
        self.conclude(rsc, node, on_fail);
        if let Some(role) = self.target_role(rsc) {
            let next = self.rsc[rsc].next_role;
            if next == Role::Unknown || role < next {
                self.rsc[rsc].next_role = role;
            }
        }
        if saved > self.rsc[rsc].role {
            self.rsc[rsc].role = saved;
        }
        Some(rsc)
    }

    fn unpack_lock(&mut self, element: Element<'a>, rsc: RscId, node: NodeId) {
        let since = element
            .attr("shutdown-lock")
            .and_then(text::leading_int)
            .unwrap_or(0);
        if since == 0 {
            return;
        }
        let limit = self.options.shutdown_lock_limit;
        if limit > 0 && self.now > since + limit {
            self.op(rsc, Word::LRM_DELETE, Some(node), false);
        } else {
            self.rsc[rsc].lock_node = Some(node);
            self.rsc[rsc].lock_time = since;
        }
    }

    // --- whose history is it ---

    fn find_for_history(&mut self, node: NodeId, id: &str) -> Option<RscId> {
        let found = self.find(id).or_else(|| self.find_by_clone_name(id));
        let mut rsc = match found {
            Some(rsc) if self.rsc[rsc].variant != Variant::Primitive => return None,
            Some(rsc) => Some(rsc),
            None => {
                let zero = self.find(&format!("{}:0", text::base_name(id)));
                zero.filter(|z| !self.rsc[*z].is(RscFlags::UNIQUE))
            }
        };
        let parent = rsc.map(|r| self.top_resource(r, false));
        if let Some(parent) = parent.filter(|p| self.is_anonymous_clone(*p)) {
            let bundled = self.rsc[parent].parent;
            rsc = match bundled {
                Some(bundle) => self.find_replica(bundle, node),
                None => self.find_anonymous(node, parent, text::base_name(id)),
            };
        }
        let rsc = rsc?;
        let r = &self.rsc[rsc];
        if !id.eq_ignore_ascii_case(&r.id)
            && !r.clone_name.is_some_and(|c| c.eq_ignore_ascii_case(id))
        {
            self.rename(rsc, self.history_names.get(id).copied());
        }
        Some(rsc)
    }

    /// Notes how history calls a resource.
    fn rename(&mut self, rsc: RscId, name: Option<&'a str>) {
        if let Some(old) = self.rsc[rsc].clone_name
            && let Some(list) = self.clone_names.get_mut(old)
        {
            list.retain(|r| *r != rsc);
        }
        self.rsc[rsc].clone_name = name;
        if let Some(name) = name {
            self.clone_names.entry(name).or_default().push(rsc);
        }
    }

    fn find_by_clone_name(&self, id: &str) -> Option<RscId> {
        if !id.contains(':') {
            return None;
        }
        self.clone_names.get(id)?.first().copied()
    }

    fn find_replica(&self, bundle: RscId, node: NodeId) -> Option<RscId> {
        let data = self.rsc[bundle].bundle.as_ref();
        match data {
            Some(data) => {
                let mut replicas = data.replicas.iter();
                replicas
                    .find(|r| r.node == Some(node))
                    .and_then(|r| r.child)
            }
            None => None,
        }
    }

    /// The instance that a history without an instance number belongs to: the one that is active
    /// there, or a free one, or one too many.
    fn find_anonymous(&mut self, node: NodeId, clone: RscId, name: &str) -> Option<RscId> {
        let mut found = None;
        let mut free = None;
        let mut skip_free = false;
        for child in self.rsc[clone].children.clone() {
            if found.is_some() {
                break;
            }
            let locations = self.known_locations(child);
            let member = self.with_descendants(child).into_iter().find(|r| {
                let r = &self.rsc[*r];
                r.xml_id == name || *r.id == *name
            });
            if let Some(first) = locations.first() {
                if *first == node
                    && let Some(member) = member
                {
                    if self.rsc[member].running_on.is_empty() {
                        found = Some(member);
                    } else {
                        skip_free = true;
                    }
                }
            } else if !skip_free && free.is_none() && !self.rsc[child].is(RscFlags::BLOCKED) {
                free = member.filter(|m| {
                    self.rsc[*m]
                        .pending_node
                        .is_none_or(|pending| pending == node)
                });
            }
        }
        if !skip_free {
            found = found.or(free);
        }
        let n = &self.node[node];
        if let Some(rsc) = found
            && !self.rsc[rsc].is(RscFlags::NEEDS_FENCING)
            && (!n.online || n.unclean)
            && !self.is_guest(node)
            && !self.is_universal(clone)
        {
            found = None;
        }
        found.or_else(|| {
            let element = self.cloned_element(clone)?;
            let orphan = self.create_instance(clone, element)?;
            let all = self.with_descendants(orphan);
            all.into_iter().find(|r| self.rsc[*r].xml_id == name)
        })
    }

    /// Whether a clone has an instance for every node.
    pub(crate) fn is_universal(&self, clone: RscId) -> bool {
        let max = self.rsc[clone].clone.as_ref().map_or(0, |c| c.max);
        max == i32::try_from(self.node.len()).unwrap_or(i32::MAX)
    }

    /// Where an instance is active or about to be.
    fn known_locations(&self, rsc: RscId) -> Vec<NodeId> {
        let mut list = self.locations(rsc, true);
        for r in self.with_descendants(rsc) {
            if let Some(node) = self.rsc[r].pending_node.filter(|n| !list.contains(n)) {
                list.push(node);
            }
        }
        list
    }

    fn adopt_removed(&mut self, _node: NodeId, element: Element<'a>) -> Option<RscId> {
        let rsc = self.unpack_removed(element)?;
        if self.options.stop_removed {
            self.add_score(rsc, None, -text::INFINITY);
        } else {
            self.rsc[rsc].flags.clear(RscFlags::MANAGED);
        }
        Some(rsc)
    }

    // --- what follows from it ---

    /// Recurring operations that run already are there, though not required.
    fn keep_recurring(&mut self, node: NodeId, rsc: RscId, entries: &[Element<'a>]) {
        let (start, stop) = active_range(entries);
        for (place, entry) in entries.iter().enumerate() {
            if !self.node[node].online {
                break;
            }
            let place = i64::try_from(place).unwrap_or(0);
            if (start < stop && place <= stop) || place < start {
                continue;
            }
            let interval = history_interval(*entry);
            if interval == 0 || entry.attr("op-status") == Some("-1") {
                continue;
            }
            let task = self.words.get(entry.attr("operation").unwrap_or(""));
            self.new_action(
                rsc,
                Key {
                    name: task,
                    interval,
                },
                task,
                Some(node),
                true,
            );
        }
    }

    fn conclude(&mut self, rsc: RscId, node: NodeId, on_fail: OnFail) {
        if self.rsc[rsc].role != Role::Unknown {
            let mut current = Some(rsc);
            while let Some(r) = current {
                if !self.rsc[r].known_on.contains(&node) {
                    self.rsc[r].known_on.push(node);
                }
                if self.rsc[r].is(RscFlags::UNIQUE) {
                    break;
                }
                current = self.rsc[r].parent;
            }
        }
        let r = &self.rsc[rsc];
        let n = &self.node[node];
        if r.role > Role::Stopped && !n.online && !n.maintenance && r.is(RscFlags::MANAGED) {
            self.fence_for_active(rsc, node);
        }
        let effective = if self.node[node].unclean {
            OnFail::Ignore
        } else {
            on_fail
        };
        self.react(rsc, node, effective);
        if self.rsc[rsc].is(RscFlags::FAILED)
            && self.rsc[rsc].is(RscFlags::REMOTE_CONNECTION)
            && let Some(remote) = self.find_node(&self.rsc[rsc].id.clone())
            && self.node[remote].unclean
        {
            self.node[remote].unseen = false;
        }
        let role = self.rsc[rsc].role;
        if role != Role::Stopped && role != Role::Unknown {
            self.add_running(rsc, node, on_fail != OnFail::Ignore);
            match effective {
                OnFail::Ignore => {}
                OnFail::Demote | OnFail::Block => self.rsc[rsc].flags.set(RscFlags::FAILED),
                _ => self.rsc[rsc]
                    .flags
                    .set(RscFlags::FAILED | RscFlags::STOP_IF_FAILED),
            }
        } else if self.rsc[rsc].clone_name.is_some_and(|c| c.contains(':')) {
            self.rename(rsc, None);
        } else {
            for stop in self.find_actions(rsc, Key::once(Word::STOP), Some(node)) {
                self.act[stop].flags.set(ActFlags::OPTIONAL);
            }
        }
        let r = &mut self.rsc[rsc];
        if r.role == Role::Stopped
            && r.partial_source == Some(node)
            && r.partial_target.is_some()
            && !r.running_on.is_empty()
        {
            r.role = Role::Started;
        }
    }

    /// Something managed is thought to run on a node that is down.
    fn fence_for_active(&mut self, rsc: RscId, node: NodeId) {
        if self.is_guest(node) {
            self.rsc[rsc]
                .flags
                .set(RscFlags::FAILED | RscFlags::STOP_IF_FAILED);
        } else if !self.options.fencing {
            return;
        } else if self.is_remote(node)
            && self.node[node]
                .connection
                .is_some_and(|c| !self.rsc[c].is(RscFlags::FAILED))
        {
            // Fencing is needless if the connection can be made elsewhere.
            self.node[node].unseen = true;
        }
        self.fence_node(node, false);
    }

    fn react(&mut self, rsc: RscId, node: NodeId, on_fail: OnFail) {
        let failed = RscFlags::FAILED | RscFlags::STOP_IF_FAILED;
        let active = !matches!(self.rsc[rsc].role, Role::Stopped | Role::Unknown);
        match on_fail {
            OnFail::Ignore => {}
            OnFail::Demote => {
                self.rsc[rsc].flags.set(RscFlags::FAILED);
                self.op(rsc, Word::DEMOTE, Some(node), false);
            }
            OnFail::Fence => self.fence_node(node, false),
            OnFail::Standby => {
                self.node[node].standby = true;
                self.node[node].standby_on_fail = true;
            }
            OnFail::Block => {
                self.rsc[rsc].flags.clear(RscFlags::MANAGED);
                self.rsc[rsc].flags.set(RscFlags::BLOCKED);
            }
            OnFail::Ban => self.add_score(rsc, Some(node), -text::INFINITY),
            OnFail::Stop => self.rsc[rsc].next_role = Role::Stopped,
            OnFail::Restart => {
                if active {
                    self.rsc[rsc].flags.set(failed);
                    self.op(rsc, Word::STOP, Some(node), false);
                }
            }
            OnFail::RestartLauncher => {
                self.rsc[rsc].flags.set(failed);
                match self.rsc[rsc].launcher {
                    // Where the container of a connection runs is not known yet.
                    Some(launcher) if self.is_bundled(rsc) => self.stop_needed.insert(0, launcher),
                    Some(launcher) => {
                        self.op(launcher, Word::STOP, Some(node), false);
                    }
                    None if active => {
                        self.op(rsc, Word::STOP, Some(node), false);
                    }
                    None => {}
                }
            }
            OnFail::ResetRemote => self.reset_remote(rsc, node),
        }
    }

    fn reset_remote(&mut self, rsc: RscId, node: NodeId) {
        self.rsc[rsc]
            .flags
            .set(RscFlags::FAILED | RscFlags::STOP_IF_FAILED);
        if self.options.fencing
            && self.rsc[rsc].is(RscFlags::REMOTE_CONNECTION)
            && let Some(remote) = self.find_node(&self.rsc[rsc].id.clone())
            && self.is_remote(remote)
            && !self.node[remote].remote_fenced
        {
            self.fence_node(remote, false);
        }
        if self.rsc[rsc].role > Role::Stopped {
            self.op(rsc, Word::STOP, Some(node), false);
        }
        if self.rsc[rsc].reconnect_ms > 0 {
            self.rsc[rsc].next_role = Role::Stopped;
        }
    }

    /// Notes that a resource is active on a node.
    pub(crate) fn add_running(&mut self, rsc: RscId, node: NodeId, failed: bool) {
        if self.rsc[rsc].running_on.contains(&node) {
            return;
        }
        self.rsc[rsc].running_on.push(node);
        let primitive = self.rsc[rsc].variant == Variant::Primitive;
        if primitive {
            self.node[node].running.push(rsc);
            self.add_priority(rsc, node, failed);
            if self.node[node].maintenance {
                self.rsc[rsc].flags.clear(RscFlags::MANAGED);
                self.rsc[rsc].flags.set(RscFlags::MAINTENANCE);
            }
        }
        if !self.rsc[rsc].is(RscFlags::MANAGED) {
            self.add_score(rsc, Some(node), text::INFINITY);
            let mut parent = self.rsc[rsc].parent.filter(|_| self.node[node].online);
            while let Some(p) = parent {
                self.rsc[p].running_on.push(node);
                parent = self.rsc[p].parent;
            }
            return;
        }
        if primitive && self.active_required(rsc).1 > 1 {
            self.react_to_multiply_active(rsc);
        }
        if let Some(parent) = self.rsc[rsc].parent {
            self.add_running(parent, node, false);
        }
    }

    fn react_to_multiply_active(&mut self, rsc: RscId) {
        self.note(rsc, None, What::MultiplyActive);
        match self.rsc[rsc].multiply_active {
            MultiplyActive::Stop => self.ban_everywhere(rsc),
            MultiplyActive::Block => {
                let mut blocked = vec![rsc];
                if let Some(parent) = self.rsc[rsc].parent {
                    let p = &self.rsc[parent];
                    if matches!(p.variant, Variant::Group | Variant::Bundle)
                        && p.multiply_active == MultiplyActive::Block
                    {
                        blocked.extend(&p.children);
                    }
                }
                for r in blocked {
                    self.rsc[r].flags.clear(RscFlags::MANAGED);
                    self.rsc[r].flags.set(RscFlags::BLOCKED);
                }
            }
            MultiplyActive::Restart | MultiplyActive::Unexpected => {}
        }
    }

    /// A node is worth what runs on it.
    fn add_priority(&mut self, rsc: RscId, node: NodeId, failed: bool) {
        let base = self.rsc[rsc].priority;
        if base == 0 || failed {
            return;
        }
        let priority = base + i32::from(self.rsc[rsc].role == Role::Promoted);
        self.node[node].priority += priority;
        if let Some(launcher) = self.guest_launcher(node) {
            for host in self.rsc[launcher].running_on.clone() {
                self.node[host].priority += priority;
            }
        }
    }

    fn replay(
        &mut self,
        rsc: RscId,
        node: NodeId,
        element: Element<'a>,
        (last_failure, on_fail): (&mut Option<Element<'a>>, &mut OnFail),
    ) {
        if let Some(entry) = Entry::read(rsc, node, element) {
            self.replay_entry(entry, last_failure, on_fail);
        }
    }
}

/// A history in order, and where its active part begins; `None` if the resource was stopped.
pub(crate) fn sorted_history<'a>(element: Element<'a>) -> Option<(Vec<Element<'a>>, usize)> {
    let mut entries: Vec<Element<'a>> = element.children_named("lrm_rsc_op").collect();
    entries.reverse();
    sort_entries(&mut entries);
    let (start, stop) = active_range(&entries);
    (start >= stop).then(|| (entries, usize::try_from(start).unwrap_or(0)))
}

/// Where in a sorted history the last start and the last stop are; -1 if there is none.
fn active_range(entries: &[Element<'_>]) -> (i64, i64) {
    let (mut start, mut stop) = (-1, -1);
    let (mut monitor, mut clone) = (-1, -1);
    for (place, entry) in entries.iter().enumerate() {
        let place = i64::try_from(place).unwrap_or(0);
        match entry.attr("operation").unwrap_or("") {
            "stop" if entry.attr("op-status") == Some("0") => stop = place,
            "start" | "migrate_from" => start = place,
            "monitor" if monitor <= stop => {
                if matches!(entry.attr("rc-code"), Some("0" | "8")) {
                    monitor = place;
                }
            }
            "promote" | "demote" => clone = place,
            _ => {}
        }
    }
    if start == -1 {
        start = if clone != -1 { clone } else { monitor };
    }
    (start, stop)
}

/// A stable merge sort: the comparison is not transitive, so the algorithm matters.
fn sort_entries(entries: &mut [Element<'_>]) {
    text::merge_sort(entries, &|a, b| compare_entries(*a, *b, true));
}

fn call_id(entry: Element<'_>) -> i64 {
    entry
        .attr("call-id")
        .and_then(text::leading_int)
        .unwrap_or(-1)
}

fn changed_at(entry: Element<'_>) -> i64 {
    entry
        .attr("last-rc-change")
        .and_then(text::leading_int)
        .unwrap_or(-1)
}

/// Which of two recorded operations came first.
pub(crate) fn compare_entries(a: Element<'_>, b: Element<'_>, same_by_default: bool) -> Ordering {
    let same_node = match (a.attr("on_node"), b.attr("on_node")) {
        (Some(x), Some(y)) => x.eq_ignore_ascii_case(y),
        _ => same_by_default,
    };
    if same_node && a.id() == b.id() {
        return Ordering::Equal;
    }
    let (x, y) = (call_id(a), call_id(b));
    if x == -1 && y == -1 {
        return Ordering::Equal;
    }
    if same_node && x >= 0 && x < y {
        return Ordering::Less;
    }
    if same_node && y >= 0 && x > y {
        return Ordering::Greater;
    }
    if x >= 0 && y >= 0 && (!same_node || x == y) {
        let (s, t) = (changed_at(a), changed_at(b));
        return if s >= 0 && s < t {
            Ordering::Less
        } else if t >= 0 && s > t {
            Ordering::Greater
        } else {
            Ordering::Equal
        };
    }
    compare_pending(a, b, x, y)
}

/// One of two operations is pending: the transitions they belong to decide.
fn compare_pending(a: Element<'_>, b: Element<'_>, x: i64, y: i64) -> Ordering {
    let magic = |e: Element<'_>| {
        let (_, key) = e.attr("transition-magic")?.split_once(';')?;
        let mut parts = key.splitn(4, ':');
        let _action = parts.next()?;
        let transition: i64 = parts.next()?.parse().ok()?;
        let uuid = parts.nth(1)?.to_owned();
        Some((transition, uuid))
    };
    let (Some((m, u)), Some((n, v))) = (magic(a), magic(b)) else {
        return Ordering::Equal;
    };
    if !u.eq_ignore_ascii_case(&v) || m == n {
        if y == -1 {
            return Ordering::Less;
        }
        if x == -1 {
            return Ordering::Greater;
        }
    } else if (m >= 0 && m < n) || n == -1 {
        return Ordering::Less;
    } else if (n >= 0 && m > n) || m == -1 {
        return Ordering::Greater;
    }
    Ordering::Equal
}
