//! Telling the instances of a clone what happens to each other.

use std::rc::Rc;

use crate::action::{ActFlags, Key, Relation};
use crate::ids::{ActId, NodeId, RscId};
use crate::model::{Role, RscFlags};
use crate::plan::Plan;
use crate::text::INFINITY;
use crate::words::Word;

/// The notifications around one kind of operation of a clone.
#[derive(Debug, Clone)]
pub(crate) struct Notify {
    task: Word,
    pre: Option<ActId>,
    pre_done: Option<ActId>,
    post: Option<ActId>,
    post_done: Option<ActId>,
    keys: Vec<(Rc<str>, String)>,
    /// Whether there is any operation of this kind.
    any: bool,
}

/// Who is (or will be) what.
#[derive(Default)]
struct Lists {
    active: Vec<Entry>,
    inactive: Vec<Entry>,
    promoted: Vec<Entry>,
    unpromoted: Vec<Entry>,
    start: Vec<Entry>,
    stop: Vec<Entry>,
    promote: Vec<Entry>,
    demote: Vec<Entry>,
}

type Entry = (RscId, Option<NodeId>);

const ORDERED: Relation = Relation::ORDERED;

fn place(task: Word) -> usize {
    match task {
        Word::START => 0,
        Word::STOP => 1,
        Word::PROMOTE => 2,
        _ => 3,
    }
}

impl<'a> Plan<'a> {
    fn notice(&self, rsc: RscId, task: Word) -> Option<&Notify> {
        self.rsc[rsc].clone.as_ref()?.notify[place(task)].as_deref()
    }

    /// Sets a value unless there is one.
    fn add_meta(&mut self, action: ActId, name: &Rc<str>, value: &str) {
        let meta = &mut self.act[action].meta;
        if !meta.iter().any(|(n, _)| n == name) {
            meta.push((name.clone(), value.to_owned()));
        }
    }

    /// A point in time before or after the notifications of a clone.
    fn notice_point(&mut self, rsc: RscId, about: ActId, task: Word, kind: &str) -> ActId {
        let about_task = self.act[about].task;
        let about_text = self.words.shared(about_task);
        let name = self.words.get(&format!("{kind}_notify_{about_text}"));
        let optional = self.is(about, ActFlags::OPTIONAL);
        let action = self.new_action(rsc, Key::once(name), task, None, optional);
        self.act[action].flags.set(ActFlags::PSEUDO);
        self.set_meta(action, "notify_key_type", kind);
        self.set_meta(action, "notify_key_operation", &*about_text);
        action
    }

    fn notice_points(
        &mut self,
        rsc: RscId,
        task: Word,
        action: Option<ActId>,
        done: Option<ActId>,
    ) -> Option<Notify> {
        if !self.rsc[rsc].is(RscFlags::NOTIFY) {
            return None;
        }
        let mut notify = Notify {
            task,
            pre: None,
            pre_done: None,
            post: None,
            post_done: None,
            keys: Vec::new(),
            any: false,
        };
        let task_text = self.words.shared(task);
        if let Some(action) = action {
            let pre = self.notice_point(rsc, action, Word::NOTIFY, "pre");
            let pre_done = self.notice_point(rsc, action, Word::NOTIFIED, "confirmed-pre");
            for point in [pre, pre_done] {
                self.act[point].flags.set(ActFlags::RUNNABLE);
                self.set_meta(point, "notify_type", "pre");
                self.set_meta(point, "notify_operation", &*task_text);
            }
            self.order_actions(pre, pre_done, ORDERED);
            self.order_actions(pre_done, action, ORDERED);
            notify.pre = Some(pre);
            notify.pre_done = Some(pre_done);
        }
        if let Some(done) = done {
            let post = self.notice_point(rsc, done, Word::NOTIFY, "post");
            let post_done = self.notice_point(rsc, done, Word::NOTIFIED, "confirmed-post");
            let runnable = self.is(done, ActFlags::RUNNABLE);
            for point in [post, post_done] {
                self.act[point].priority = INFINITY;
                if runnable {
                    self.act[point].flags.set(ActFlags::RUNNABLE);
                } else {
                    self.act[point].flags.clear(ActFlags::RUNNABLE);
                }
                self.set_meta(point, "notify_type", "post");
                self.set_meta(point, "notify_operation", &*task_text);
            }
            self.order_actions(done, post, Relation::FIRST_IMPLIES_THEN);
            self.order_actions(post, post_done, Relation::FIRST_IMPLIES_THEN);
            if let Some(pre_done) = notify.pre_done {
                self.order_actions(pre_done, post, ORDERED);
            }
            notify.post = Some(post);
            notify.post_done = Some(post_done);
        }
        Some(notify)
    }

    /// Prepares the notifications around an operation of a clone.
    pub(crate) fn notify_of(&mut self, rsc: RscId, task: Word, action: ActId, done: ActId) {
        if self.notice(rsc, task).is_some() {
            return;
        }
        let notify = self
            .notice_points(rsc, task, Some(action), Some(done))
            .map(Box::new);
        if let Some(clone) = self.rsc[rsc].clone.as_mut() {
            clone.notify[place(task)] = notify;
        }
    }

    fn order_notices(&mut self, rsc: RscId, first: Word, then: Word) {
        let first = self.notice(rsc, first).and_then(|n| n.post_done);
        let then = self.notice(rsc, then).and_then(|n| n.pre);
        if let (Some(first), Some(then)) = (first, then) {
            self.order_actions(first, then, ORDERED);
        }
    }

    pub(crate) fn notify_of_start_and_stop(
        &mut self,
        rsc: RscId,
        [start, started, stop, stopped]: [ActId; 4],
    ) {
        self.notify_of(rsc, Word::START, start, started);
        if self.notice(rsc, Word::STOP).is_none() {
            self.notify_of(rsc, Word::STOP, stop, stopped);
            self.order_notices(rsc, Word::STOP, Word::START);
        }
    }

    pub(crate) fn order_promotion_notices(&mut self, rsc: RscId) {
        self.order_notices(rsc, Word::STOP, Word::PROMOTE);
        self.order_notices(rsc, Word::START, Word::PROMOTE);
        self.order_notices(rsc, Word::DEMOTE, Word::PROMOTE);
        self.order_notices(rsc, Word::DEMOTE, Word::START);
        self.order_notices(rsc, Word::DEMOTE, Word::STOP);
    }

    /// Notifications about a stop that fencing implies.
    pub(crate) fn notify_after_fencing(&mut self, stop: ActId, rsc: RscId, fencing: ActId) {
        let Some(mut notify) = self.notice_points(rsc, Word::STOP, None, Some(fencing)) else {
            return;
        };
        let node = self.act[stop].node.map_or("", |n| self.node[n].name);
        notify
            .keys
            .push(("notify_stop_resource".into(), self.rsc[rsc].id.to_string()));
        notify
            .keys
            .push(("notify_stop_uname".into(), node.to_owned()));
        let top = self.top_resource(rsc, false);
        self.create_notices(top, &notify);
    }

    /// Creates the notifications of a clone, now that it is known what happens to it.
    pub(crate) fn create_clone_notices(&mut self, rsc: RscId) {
        for task in [Word::START, Word::STOP, Word::PROMOTE, Word::DEMOTE] {
            let Some(clone) = self.rsc[rsc].clone.as_mut() else {
                return;
            };
            let Some(mut notify) = clone.notify[place(task)].take() else {
                continue;
            };
            let mut lists = Lists::default();
            self.collect(rsc, &mut lists);
            self.add_notice_keys(rsc, &lists, &mut notify);
            self.create_notices(rsc, &notify);
            if let Some(clone) = self.rsc[rsc].clone.as_mut() {
                clone.notify[place(task)] = Some(notify);
            }
        }
    }

    fn collect(&self, rsc: RscId, lists: &mut Lists) {
        let r = &self.rsc[rsc];
        if !r.children.is_empty() {
            for child in &r.children {
                self.collect(*child, lists);
            }
            return;
        }
        let entry = (rsc, r.running_on.first().copied());
        match r.role {
            Role::Stopped => lists.inactive.push(entry),
            Role::Started => lists.active.push(entry),
            Role::Unpromoted => {
                lists.unpromoted.push(entry);
                lists.active.push(entry);
            }
            Role::Promoted => {
                lists.promoted.push(entry);
                lists.active.push(entry);
            }
            Role::Unknown => {}
        }
        for action in r.actions.iter() {
            let a = &self.act[*action];
            let Some(node) = a.node.filter(|_| !a.flags.has(ActFlags::OPTIONAL)) else {
                continue;
            };
            let fenced = a.task == Word::STOP && self.node[node].unclean;
            if !fenced && !a.flags.has(ActFlags::RUNNABLE) {
                continue;
            }
            let entry = (rsc, Some(node));
            match a.task {
                Word::START => lists.start.push(entry),
                Word::STOP => lists.stop.push(entry),
                Word::PROMOTE => lists.promote.push(entry),
                Word::DEMOTE => lists.demote.push(entry),
                _ => {}
            }
        }
    }

    /// The names of instances, and of the nodes where they are, in the order of the instances.
    fn entry_names(&self, entries: &[Entry], with_nodes: bool) -> (String, String) {
        let mut entries = entries.to_vec();
        entries.sort_by(|a, b| {
            let ids = self.rsc[a.0].id.cmp(&self.rsc[b.0].id);
            // Without a node comes last.
            let nodes = |e: &Entry| (e.1.is_none(), e.1.map(|n| self.node[n].id));
            ids.then_with(|| nodes(a).cmp(&nodes(b)))
        });
        let mut resources = Vec::new();
        let mut nodes = Vec::new();
        let mut last = None;
        for (rsc, node) in entries {
            if (with_nodes && node.is_none()) || last == Some(rsc) {
                continue;
            }
            last = Some(rsc);
            resources.push(&*self.rsc[rsc].id);
            nodes.extend(node.map(|n| self.node[n].name));
        }
        let joined = |words: Vec<&str>| {
            if words.is_empty() {
                " ".to_owned()
            } else {
                words.join(" ")
            }
        };
        (joined(resources), joined(nodes))
    }

    fn add_notice_keys(&mut self, rsc: RscId, lists: &Lists, notify: &mut Notify) {
        let by_name: [(&str, &[Entry]); 9] = [
            ("stop", &lists.stop),
            ("start", &lists.start),
            ("demote", &lists.demote),
            ("promote", &lists.promote),
            ("active", &lists.active),
            ("unpromoted", &lists.unpromoted),
            ("slave", &lists.unpromoted),
            ("promoted", &lists.promoted),
            ("master", &lists.promoted),
        ];
        let mut keys: Vec<(Rc<str>, String)> = Vec::new();
        for (name, entries) in by_name {
            let (resources, nodes) = self.entry_names(entries, true);
            keys.push((format!("notify_{name}_resource").into(), resources));
            keys.push((format!("notify_{name}_uname").into(), nodes));
        }
        let inactive = self.entry_names(&lists.inactive, false).0;
        keys.push(("notify_inactive_resource".into(), inactive));
        let available: Vec<&str> = self
            .order
            .iter()
            .filter(|n| self.slot(rsc, **n).is_some())
            .map(|n| self.node[*n].name)
            .collect();
        let joined = |words: Vec<&str>| {
            if words.is_empty() {
                " ".to_owned()
            } else {
                words.join(" ")
            }
        };
        keys.push(("notify_available_uname".into(), joined(available)));
        if self.rsc[rsc].meta("container-attribute-target") == Some("host") {
            let host = |node: &NodeId| {
                let launcher = self.guest_launcher(*node).filter(|_| self.is_guest(*node));
                let host = launcher.and_then(|l| self.current_node(l)).unwrap_or(*node);
                self.node[host].name
            };
            let hosts = self.order.iter().map(host).collect();
            keys.push(("notify_all_hosts".into(), joined(hosts)));
        }
        let all = self.order.iter().map(|n| self.node[*n].name).collect();
        keys.push(("notify_all_uname".into(), joined(all)));
        notify.keys = keys;
        let of_kind = match notify.task {
            Word::START => &lists.start,
            Word::STOP => &lists.stop,
            Word::PROMOTE => &lists.promote,
            _ => &lists.demote,
        };
        notify.any = !of_kind.is_empty();
        if notify.any {
            let points = [notify.pre, notify.pre_done, notify.post, notify.post_done];
            for point in points.into_iter().flatten() {
                self.act[point].flags.clear(ActFlags::OPTIONAL);
            }
        }
    }

    fn create_notices(&mut self, rsc: RscId, notify: &Notify) {
        if !self.rsc[rsc].children.is_empty() {
            for child in self.rsc[rsc].children.clone() {
                self.create_notices(child, notify);
            }
            return;
        }
        for i in 0..self.rsc[rsc].actions.len() {
            let action = self.rsc[rsc].actions[i];
            let a = &self.act[action];
            let told = matches!(
                a.task,
                Word::START | Word::STOP | Word::PROMOTE | Word::DEMOTE
            );
            if told && !a.flags.has(ActFlags::OPTIONAL) && a.node.is_some() {
                for (name, value) in &notify.keys {
                    self.add_meta(action, name, value);
                }
            }
        }
        match notify.task {
            Word::START | Word::PROMOTE if notify.any => self.notices_up(rsc, notify),
            Word::DEMOTE if notify.any => self.notices_down(rsc, notify),
            Word::STOP => self.notices_down(rsc, notify),
            _ => {}
        }
    }

    fn notices_down(&mut self, rsc: RscId, notify: &Notify) {
        if self.rsc[rsc].role == Role::Stopped {
            return;
        }
        let stop = self.find_first_action(rsc, None, Some(Word::STOP), None);
        for node in self.rsc[rsc].running_on.clone() {
            let n = &self.node[node];
            if stop.is_some_and(|s| self.is(s, ActFlags::PSEUDO)) && (n.unclean || n.remote_reset) {
                continue;
            }
            self.new_notice(rsc, node, notify.pre, notify.pre_done, notify);
            let stays = stop.is_none_or(|s| self.is(s, ActFlags::OPTIONAL));
            if notify.task == Word::DEMOTE || stays {
                self.new_post_notice(rsc, node, notify);
            }
        }
    }

    fn notices_up(&mut self, rsc: RscId, notify: &Notify) {
        if self.rsc[rsc].next_role == Role::Stopped {
            return;
        }
        let start = self.find_first_action(rsc, None, Some(Word::START), None);
        let connection = start
            .and_then(|s| self.act[s].node)
            .and_then(|n| self.node[n].connection);
        let remote_start =
            connection.and_then(|c| self.find_first_action(c, None, Some(Word::START), None));
        if remote_start.is_some_and(|s| !self.is(s, ActFlags::RUNNABLE)) {
            return;
        }
        let Some(node) = self.rsc[rsc].assigned else {
            return;
        };
        let was_up = start.is_none_or(|s| self.is(s, ActFlags::OPTIONAL));
        if notify.task != Word::START || was_up {
            self.new_notice(rsc, node, notify.pre, notify.pre_done, notify);
        }
        self.new_post_notice(rsc, node, notify);
    }

    fn new_notice(
        &mut self,
        rsc: RscId,
        node: NodeId,
        point: Option<ActId>,
        done: Option<ActId>,
        notify: &Notify,
    ) -> Option<ActId> {
        let (point, done) = (point?, done?);
        if !self.node[node].online || !self.is(point, ActFlags::RUNNABLE) {
            return None;
        }
        let kind = self.act_meta(point, "notify_type")?;
        let about = self.act_meta(point, "notify_operation")?;
        let name = format!("{kind}_notify_{about}");
        let name = self.words.get(&name);
        let task = self.act[point].task;
        let optional = self.is(point, ActFlags::OPTIONAL);
        let action = self.new_action(rsc, Key::once(name), task, Some(node), optional);
        for (name, value) in self.act[point].meta.clone() {
            self.add_meta(action, &name, &value);
        }
        for (name, value) in &notify.keys {
            self.add_meta(action, name, value);
        }
        self.order_actions(point, action, ORDERED);
        self.order_actions(action, done, ORDERED);
        Some(action)
    }

    fn new_post_notice(&mut self, rsc: RscId, node: NodeId, notify: &Notify) {
        let notice = self.new_notice(rsc, node, notify.post, notify.post_done, notify);
        if let Some(notice) = notice {
            self.act[notice].priority = INFINITY;
        }
        let Some(done) = notify.post_done else {
            return;
        };
        for i in (0..self.rsc[rsc].actions.len()).rev() {
            let action = self.rsc[rsc].actions[i];
            let a = &self.act[action];
            if a.key.interval > 0 && a.task != Word::CANCEL {
                self.order_actions(done, action, ORDERED);
            }
        }
    }
}
