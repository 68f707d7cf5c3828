//! One recorded operation: what it says about the resource, and what its failure asks for.

use cib::Element;

use super::remap::Status;
use crate::action::Relation;
use crate::digest::{Verdict, history_interval};
use crate::explain::What;
use crate::failcount::{Counting, exit_code, target_rc};
use crate::ids::{ActId, NodeId, RscId};
use crate::model::{Role, RscFlags, Slot};
use crate::opmeta::OnFail;
use crate::plan::{DeferredCheck, Plan};
use crate::text;
use crate::words::Word;

/// Exit codes of agents.
pub(crate) mod code {
    pub(crate) const OK: i64 = 0;
    pub(crate) const INVALID_PARAM: i64 = 2;
    pub(crate) const UNIMPLEMENTED: i64 = 3;
    pub(crate) const NO_PERMISSION: i64 = 4;
    pub(crate) const NOT_INSTALLED: i64 = 5;
    pub(crate) const NOT_CONFIGURED: i64 = 6;
    pub(crate) const NOT_RUNNING: i64 = 7;
    pub(crate) const PROMOTED: i64 = 8;
    pub(crate) const FAILED_PROMOTED: i64 = 9;
    pub(crate) const DEGRADED: i64 = 190;
    pub(crate) const DEGRADED_PROMOTED: i64 = 191;
}

/// A recorded operation.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    pub(crate) rsc: RscId,
    pub(crate) node: NodeId,
    pub(crate) element: Element<'a>,
    pub(crate) task: &'a str,
    pub(crate) interval_ms: u32,
    pub(crate) expected: i64,
    pub(crate) exit: i64,
    pub(crate) status: Status,
}

impl<'a> Entry<'a> {
    pub(crate) fn read(rsc: RscId, node: NodeId, element: Element<'a>) -> Option<Self> {
        element.attr("id")?;
        let task = element.attr("operation")?;
        if matches!(task, "notify" | "meta-data") {
            return None;
        }
        let status = Status::parse(element.attr("op-status")?)?;
        Some(Self {
            rsc,
            node,
            element,
            task,
            interval_ms: history_interval(element),
            expected: target_rc(element).unwrap_or(-1),
            exit: exit_code(element)
                .filter(|c| (0..=255).contains(c))
                .unwrap_or(1),
            status,
        })
    }

    pub(crate) fn is_probe(&self) -> bool {
        self.task == "monitor" && self.interval_ms == 0
    }

    /// A probe whose failure says no more than that the resource cannot be there.
    pub(crate) fn is_masked_probe(&self) -> bool {
        let recorded = exit_code(self.element).unwrap_or(0);
        let status = self
            .element
            .attr("op-status")
            .and_then(text::leading_int)
            .unwrap_or(0);
        let absent = matches!(recorded, code::NOT_INSTALLED | code::INVALID_PARAM);
        self.is_probe() && (absent || status == 7)
    }

    pub(crate) fn changed_at(&self) -> Option<i64> {
        self.element
            .attr("last-rc-change")
            .and_then(text::leading_int)
    }

    fn key(&self) -> &'a str {
        history_key(self.element)
    }
}

pub(crate) fn history_key(element: Element<'_>) -> &str {
    element
        .attr("operation_key")
        .unwrap_or_else(|| element.id())
}

impl<'a> Plan<'a> {
    pub(crate) fn replay_entry(
        &mut self,
        mut entry: Entry<'a>,
        last_failure: &mut Option<Element<'a>>,
        on_fail: &mut OnFail,
    ) {
        let expired = self.entry_expired(&entry);
        let recorded = entry.exit;
        let bundled = self.is_bundled(entry.rsc);
        self.remap(&mut entry, on_fail, expired, bundled);
        if expired && self.ignore_expired(&entry, recorded, bundled) {
            return;
        }
        if !bundled && entry.is_masked_probe() {
            self.mask_probe(&entry, *last_failure, on_fail);
            return;
        }
        match entry.status {
            Status::Pending => self.note_pending(&entry, *last_failure),
            Status::Done => self.note_result(&entry, entry.exit, *last_failure, on_fail),
            Status::NotInstalled => {
                let (strategy, role) = self.failure_handling(&entry);
                if strategy == OnFail::Ignore {
                    *on_fail = OnFail::Ban;
                }
                let whole = self.failing_whole(entry.rsc);
                self.add_score(whole, Some(entry.node), -text::INFINITY);
                self.note_ban(whole, &entry, true);
                self.note_failure(&entry, strategy, role, last_failure, on_fail);
            }
            status => {
                if status == Status::NotConnected {
                    self.fail_connection(entry.node);
                }
                self.handle_failure(&entry, last_failure, on_fail);
            }
        }
    }

    /// The connection of a node that an operation could not reach has failed.
    fn fail_connection(&mut self, node: NodeId) {
        if self.is_remote_kind(node)
            && let Some(connection) = self.node[node].connection
            && self.rsc[connection].is(RscFlags::MANAGED)
        {
            self.rsc[connection]
                .flags
                .set(RscFlags::FAILED | RscFlags::STOP_IF_FAILED);
        }
    }

    /// What a failure is held against: the resource, or all of an anonymous clone.
    fn failing_whole(&self, rsc: RscId) -> RscId {
        if self.rsc[rsc].is(RscFlags::UNIQUE) {
            rsc
        } else {
            self.top_resource(rsc, false)
        }
    }

    fn handle_failure(
        &mut self,
        entry: &Entry<'a>,
        last_failure: &mut Option<Element<'a>>,
        on_fail: &mut OnFail,
    ) {
        let (strategy, role) = self.failure_handling(entry);
        let restart_launcher = strategy == OnFail::RestartLauncher;
        if strategy == OnFail::Ignore || (restart_launcher && entry.task == "stop") {
            self.note_result(entry, entry.expected, *last_failure, on_fail);
            self.rsc[entry.rsc].flags.set(RscFlags::IGNORE_FAILURE);
            self.note_failed(entry);
            if restart_launcher && *on_fail <= OnFail::Restart {
                *on_fail = strategy;
            }
            return;
        }
        self.note_failure(entry, strategy, role, last_failure, on_fail);
        let whole = self.failing_whole(entry.rsc);
        match entry.status {
            Status::ErrorHard => {
                self.add_score(whole, Some(entry.node), -text::INFINITY);
                self.note_ban(whole, entry, true);
            }
            Status::ErrorFatal => {
                self.add_score(whole, None, -text::INFINITY);
                self.note_ban(whole, entry, false);
            }
            _ => {}
        }
    }

    fn failure_handling(&mut self, entry: &Entry<'a>) -> (OnFail, Role) {
        let config = self.op_config(entry.rsc, entry.task, entry.interval_ms, true);
        let meta = self.op_meta(
            entry.rsc,
            Some(entry.node),
            entry.task,
            entry.interval_ms,
            config,
        );
        let value = meta.get("on-fail").map(AsRef::as_ref);
        let on_fail = self.on_fail(entry.rsc, entry.task, entry.interval_ms, value);
        (
            on_fail,
            self.role_after_failure(entry.rsc, entry.task, on_fail),
        )
    }

    pub(crate) fn note_failed(&mut self, entry: &Entry<'a>) {
        if !self.node[entry.node].online {
            return;
        }
        let key = entry.key();
        let known = self
            .failed
            .iter()
            .any(|(n, _, e)| *n == entry.node && history_key(*e) == key);
        if !known {
            self.failed.push((entry.node, entry.rsc, entry.element));
        }
    }

    fn note_failure(
        &mut self,
        entry: &Entry<'a>,
        strategy: OnFail,
        role: Role,
        last_failure: &mut Option<Element<'a>>,
        on_fail: &mut OnFail,
    ) {
        *last_failure = Some(entry.element);
        if self.options.symmetric || entry.exit != code::NOT_INSTALLED {
            self.note_failed(entry);
        }
        *on_fail = (*on_fail).max(strategy);
        let rsc = entry.rsc;
        match entry.task {
            "stop" => {
                self.add_score(rsc, Some(entry.node), -text::INFINITY);
                self.note_ban(rsc, entry, true);
            }
            "migrate_to" => self.migrate_to_failed(entry),
            "migrate_from" => self.migrate_from_failed(entry),
            "promote" => self.rsc[rsc].role = Role::Promoted,
            "demote" => {
                self.rsc[rsc].role = if strategy == OnFail::Block {
                    self.rsc[rsc].next_role = Role::Stopped;
                    Role::Promoted
                } else if entry.exit == code::NOT_RUNNING {
                    Role::Stopped
                } else {
                    Role::Unpromoted
                };
            }
            _ => {}
        }
        if entry.is_probe() && entry.exit == code::NOT_INSTALLED {
            self.rsc[rsc].role = Role::Stopped;
        } else if self.rsc[rsc].role < Role::Started {
            self.set_active(rsc);
        }
        if role != Role::Started && self.rsc[rsc].next_role < role {
            self.rsc[rsc].next_role = role;
        }
        if role == Role::Stopped {
            self.ban_after_stop(rsc);
        }
    }

    /// A failure with `on-fail=stop` stops all of an anonymous clone.
    fn ban_after_stop(&mut self, rsc: RscId) {
        let top = self.top_resource(rsc, false);
        let whole = if self.is_anonymous_clone(top) {
            top
        } else {
            rsc
        };
        let slots = self.node.iter().map(|n| Slot {
            present: true,
            score: -text::INFINITY,
            count: 0,
            probe_mode: n.probe_mode,
        });
        self.rsc[whole].allowed = slots.collect();
    }

    pub(crate) fn set_active(&mut self, rsc: RscId) {
        let promotable = self.rsc[self.top_resource(rsc, false)].is(RscFlags::PROMOTABLE);
        self.rsc[rsc].role = if promotable {
            Role::Unpromoted
        } else {
            Role::Started
        };
    }

    /// Whether a record is too old to matter; schedules the clearing of failures where due.
    fn entry_expired(&mut self, entry: &Entry<'a>) -> bool {
        if entry.status == Status::NotInstalled {
            return false;
        }
        let rsc = entry.rsc;
        let last = entry.element.id().ends_with("_last_failure_0");
        let timeout = self.rsc[rsc].failure_timeout;
        let mut expired = false;
        let mut unexpired_failures = 0;
        if timeout > 0
            && let Some(run) = entry.changed_at()
        {
            expired = self.now >= run + timeout && !self.waits_for_fencing(entry);
            let counting = Counting {
                effective: true,
                launched: false,
            };
            let (count, when) = self.failcount(entry.node, rsc, counting, Some(entry.element));
            unexpired_failures = count;
            let until = when + self.rsc[rsc].failure_timeout + 1;
            if count > 0 && self.now < until {
                self.recheck(until);
            }
        }
        let mut clear = false;
        if expired {
            let counting = Counting {
                effective: false,
                launched: false,
            };
            if self
                .failcount(entry.node, rsc, counting, Some(entry.element))
                .0
                > 0
            {
                if unexpired_failures == 0 {
                    clear = true;
                } else {
                    expired = false;
                }
            } else if last && self.rsc[rsc].reconnect_ms > 0 {
                clear = true;
            }
        }
        if !expired && last && self.parameters_changed(entry) {
            clear = true;
        }
        if clear {
            let action = self.clear_failcount(rsc, entry.node);
            if self.options.fencing && self.rsc[rsc].reconnect_ms > 0 {
                self.order_after_remote_fencing(action, rsc);
            }
        }
        let telling = [
            code::OK,
            code::NOT_RUNNING,
            code::PROMOTED,
            code::DEGRADED,
            code::DEGRADED_PROMOTED,
        ];
        expired && !(entry.is_probe() && telling.contains(&entry.exit))
    }

    fn order_after_remote_fencing(&mut self, action: ActId, connection: RscId) {
        if let Some(node) = self.find_node(&self.rsc[connection].id.clone()) {
            let fence = self.fence_op(node, None, true, false);
            self.order_actions(fence, action, Relation::FIRST_IMPLIES_THEN);
        }
    }

    /// The failed monitor of a connection stays until the node has been fenced.
    fn waits_for_fencing(&self, entry: &Entry<'a>) -> bool {
        let r = &self.rsc[entry.rsc];
        r.reconnect_ms > 0
            && self.options.fencing
            && entry.interval_ms != 0
            && entry.task == "monitor"
            && self
                .find_node(&r.id)
                .is_some_and(|n| !self.node[n].remote_fenced)
    }

    fn parameters_changed(&mut self, entry: &Entry<'a>) -> bool {
        if !matches!(entry.task, "start" | "monitor") {
            return false;
        }
        if self.needs_remote_name(entry.rsc) {
            let (rsc, node, element) = (entry.rsc, entry.node, entry.element);
            let check = DeferredCheck {
                rsc,
                node,
                entry: element,
                last_failure: true,
            };
            self.deferred_checks.insert(0, check);
            return false;
        }
        let verdict = self.compare_digest(entry.rsc, entry.element, entry.node);
        !matches!(verdict, Verdict::Unknown | Verdict::Match)
    }

    /// Whether an expired record needs no further attention.
    fn ignore_expired(&mut self, entry: &Entry<'a>, recorded: i64, bundled: bool) -> bool {
        if !bundled && entry.is_masked_probe() && recorded != entry.expected {
            if self.rsc[entry.rsc].role <= Role::Stopped {
                self.rsc[entry.rsc].role = Role::Unknown;
            }
            return true;
        }
        if entry.exit == entry.expected {
            return false;
        }
        if entry.interval_ms == 0 {
            return true;
        }
        let n = &self.node[entry.node];
        if n.online && !n.unclean {
            // The monitor must be scheduled again, to report a failure that persists.
            self.forced_reschedule.insert(entry.element.key(), ());
            return true;
        }
        false
    }

    fn mask_probe(
        &mut self,
        entry: &Entry<'a>,
        last_failure: Option<Element<'a>>,
        on_fail: &mut OnFail,
    ) {
        let whole = self.failing_whole(entry.rsc);
        self.note_result(entry, entry.expected, last_failure, on_fail);
        self.note_failed(entry);
        self.add_score(whole, Some(entry.node), -text::INFINITY);
        self.note_ban(whole, entry, true);
    }

    /// Notes that a recorded failure bans a resource, from its node or from everywhere.
    fn note_ban(&mut self, rsc: RscId, entry: &Entry<'a>, here: bool) {
        let node = here.then_some(entry.node);
        self.note(rsc, node, What::Failure(entry.element.key()));
    }

    /// Takes over what an operation with this exit code says.
    pub(crate) fn note_result(
        &mut self,
        entry: &Entry<'a>,
        exit: i64,
        last_failure: Option<Element<'a>>,
        on_fail: &mut OnFail,
    ) {
        let rsc = entry.rsc;
        let masked = !self.is_bundled(rsc) && entry.is_masked_probe();
        let mut clears = false;
        if exit == code::NOT_INSTALLED || masked {
            self.rsc[rsc].role = Role::Stopped;
        } else if exit == code::NOT_RUNNING {
            clears = true;
        } else {
            match entry.task {
                "monitor" => {
                    clears = last_failure.is_some_and(|l| history_key(l) == entry.key());
                    if self.rsc[rsc].role < Role::Started {
                        self.set_active(rsc);
                    }
                }
                "start" | "migrate_from" => {
                    self.rsc[rsc].role = Role::Started;
                    clears = true;
                }
                "stop" => {
                    self.rsc[rsc].role = Role::Stopped;
                    clears = true;
                }
                "promote" => {
                    self.rsc[rsc].role = Role::Promoted;
                    clears = true;
                }
                "demote" => {
                    clears = *on_fail == OnFail::Demote;
                    self.rsc[rsc].role = Role::Unpromoted;
                }
                "migrate_to" => self.migrate_to_succeeded(entry),
                _ => {
                    if self.rsc[rsc].role < Role::Started {
                        self.set_active(rsc);
                    }
                }
            }
        }
        if clears {
            self.clear_past_failure(rsc, on_fail);
        }
    }

    fn clear_past_failure(&mut self, rsc: RscId, on_fail: &mut OnFail) {
        let clears = match *on_fail {
            OnFail::Stop | OnFail::Ban | OnFail::Standby | OnFail::Fence => false,
            OnFail::ResetRemote => self.rsc[rsc].reconnect_ms == 0,
            _ => true,
        };
        if clears {
            *on_fail = OnFail::Ignore;
            self.rsc[rsc].next_role = Role::Unknown;
        }
    }

    /// An operation that has been started but not finished.
    fn note_pending(&mut self, entry: &Entry<'a>, last_failure: Option<Element<'a>>) {
        let superseded = last_failure.is_some_and(|failure| {
            let changed = failure.attr("last-rc-change").and_then(text::leading_int);
            failure.attr("operation") == Some(entry.task)
                && history_interval(failure) == entry.interval_ms
                && matches!((changed, entry.changed_at()), (Some(f), Some(e)) if f >= e)
        });
        if superseded {
            return;
        }
        let rsc = entry.rsc;
        match entry.task {
            "start" => {
                self.rsc[rsc].flags.set(RscFlags::START_PENDING);
                self.set_active(rsc);
            }
            "promote" => self.rsc[rsc].role = Role::Promoted,
            "migrate_to" if self.node[entry.node].unclean => {
                let target = entry.element.attr("migrate_target");
                if let Some(target) = target.and_then(|t| self.find_node(t)) {
                    self.op(rsc, Word::STOP, Some(target), false);
                }
            }
            _ => {}
        }
        if self.rsc[rsc].pending_task.is_none() && !entry.is_probe() {
            self.rsc[rsc].pending_task = Some(entry.task);
            self.rsc[rsc].pending_node = Some(entry.node);
        }
    }
}
