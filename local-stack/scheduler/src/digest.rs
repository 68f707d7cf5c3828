//! Whether the parameters of a recorded operation are still the configured ones.

use std::borrow::Cow;
use std::rc::Rc;

use cib::Element;

use crate::ids::{NodeId, RscId};
use crate::plan::Plan;
use crate::text;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The record has nothing to compare with.
    Unknown,
    Match,
    /// A parameter changed; a reload may do.
    Mismatch,
    /// A parameter changed that needs a restart.
    Restart,
}

/// Digests of an operation's parameters as configured now.
#[derive(Debug, Clone)]
pub(crate) struct Digests {
    pub(crate) all: String,
    pub(crate) restart: Option<String>,
    /// Over what is not secret; empty unless it is about fencing.
    pub(crate) secure: String,
    pub(crate) verdict: Verdict,
    /// Whether the operation itself has parameters.
    pub(crate) own_params: bool,
}

/// The digests of a resource's parameters on a node, with what they are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestReport {
    /// The operation that they belong to.
    pub task: String,
    /// Milliseconds between its repetitions; 0 for once.
    pub interval_ms: u32,
    /// Over all parameters.
    pub all: (String, Parameters),
    /// Over those that are not secret.
    pub public: (String, Parameters),
    /// Over those whose change needs a restart; none unless the history names them.
    pub restart: Option<(String, Parameters)>,
}

/// What the digests of a device that unfences are kept under.
const UNFENCING: &str = "stonith-on";

/// What never counts for a digest.
fn ignored(name: &str, recurring: bool) -> bool {
    if name.starts_with("CRM_meta_") {
        return !(recurring && name == "CRM_meta_timeout");
    }
    matches!(
        name,
        "id" | "crm_feature_set" | "op-digest" | "on_node" | "on_node_uuid" | "pcmk_external_ip"
    )
}

/// Whether a parameter is for the cluster rather than for the fence agent.
fn is_fence_parameter(name: &str) -> bool {
    let with_prefix = [
        "pcmk_reboot_",
        "pcmk_off_",
        "pcmk_on_",
        "pcmk_list_",
        "pcmk_monitor_",
        "pcmk_status_",
    ];
    let own = [
        "pcmk_host_argument",
        "pcmk_host_check",
        "pcmk_host_list",
        "pcmk_host_map",
        "pcmk_delay_max",
        "pcmk_delay_base",
        "pcmk_action_limit",
        "provides",
        "stonith-timeout",
    ];
    own.contains(&name)
        || with_prefix.iter().any(|prefix| {
            let rest = name.strip_prefix(prefix);
            rest.is_some_and(|r| matches!(r, "action" | "timeout" | "retries"))
        })
}

/// Names and values, sorted by name.
pub type Parameters = Vec<(String, String)>;

/// [`Parameters`] as they stand in the configuration.
type Configured<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

fn digest_of<T: AsRef<str>>(parameters: &[(T, T)]) -> String {
    cib::digest::of_sorted(parameters.iter().map(|(n, v)| (n.as_ref(), v.as_ref())))
}

impl<'a> Plan<'a> {
    fn digest_parameters(
        &mut self,
        rsc: RscId,
        node: NodeId,
        task: &str,
        interval_ms: u32,
    ) -> (Configured<'a>, bool) {
        let params = self.params(rsc, Some(node));
        let mut all: Configured<'a> = Vec::with_capacity(params.len() + 1);
        let put = |all: &mut Configured<'a>, name: &Cow<'a, str>, value: &Cow<'a, str>| {
            if !ignored(name, interval_ms > 0) {
                match all.binary_search_by(|(n, _)| n.cmp(name)) {
                    Ok(i) => all[i].1 = value.clone(),
                    Err(i) => all.insert(i, (name.clone(), value.clone())),
                }
            }
        };
        for (name, value) in params.iter() {
            put(&mut all, name, value);
        }
        // Only the first value of a name counts; the connection's address is the first of all.
        if let Some(address) = self.bundle_remote_address(rsc) {
            put(&mut all, &Cow::Borrowed("addr"), &Cow::Owned(address));
        }
        let config = self.op_config(rsc, task, interval_ms, true);
        let own = self.op_params(config, node);
        for (name, value) in &own {
            if !params.contains_key(name.as_ref()) {
                put(&mut all, name, value);
            }
        }
        if interval_ms > 0 {
            let meta = self.op_meta(rsc, Some(node), task, interval_ms, config);
            if let Some(timeout) = meta.get("timeout") {
                put(&mut all, &Cow::Borrowed("CRM_meta_timeout"), timeout);
            }
        }
        (all, interval_ms == 0 && !own.is_empty())
    }

    fn digests(
        &mut self,
        rsc: RscId,
        node: NodeId,
        (task, interval_ms): (&str, u32),
        entry: Option<Element<'a>>,
    ) -> Rc<Digests> {
        let key = (rsc, self.words.get(task), interval_ms);
        if let Some(found) = self.node[node].digests.get(&key) {
            return found.clone();
        }
        let (all, own_params) = self.digest_parameters(rsc, node, task, interval_ms);
        let restart = entry
            .filter(|e| self.restart_digest(*e).is_some())
            .map(|e| match e.attr("op-force-restart") {
                Some(list) => {
                    let listed = |name: &str| list.contains(&format!(" {name} "));
                    let kept: Configured<'_> =
                        all.iter().filter(|(n, _)| listed(n)).cloned().collect();
                    digest_of(&kept)
                }
                None => digest_of(&all),
            });
        let secure = if task == UNFENCING {
            let private = entry.map_or(Some(" passwd password user "), |e| {
                e.attr("op-secure-params")
            });
            let secret = |n: &str| private.is_some_and(|list| list.contains(&format!(" {n} ")));
            let kept: Configured<'_> = all.iter().filter(|(n, _)| !secret(n)).cloned().collect();
            digest_of(&kept)
        } else {
            String::new()
        };
        let digests = Rc::new(Digests {
            all: digest_of(&all),
            restart,
            secure,
            verdict: Verdict::Match,
            own_params,
        });
        self.node[node].digests.insert(key, digests.clone());
        digests
    }

    /// The digests of a resource on a node, as the last operation there has them; `overrides` go before
    /// what is configured.
    pub(crate) fn digest_report(
        &mut self,
        rsc: RscId,
        node: NodeId,
        overrides: &[(String, String)],
    ) -> DigestReport {
        let key = (self.node[node].name, self.rsc[rsc].xml_id);
        let entries = self.history.get(&key).copied().into_iter();
        let recorded = entries.flat_map(Element::children).filter(|e| {
            let task = e.attr("operation").unwrap_or("");
            matches!(task, "start" | "promote" | "migrate_from") && history_interval(*e) == 0
        });
        let entry = recorded.last();
        let task = entry.and_then(|e| e.attr("operation")).unwrap_or("start");
        let named = |name: &str| overrides.iter().rev().find(|(n, _)| n == name);
        let interval = named("CRM_meta_interval").and_then(|(_, v)| v.parse().ok());
        let interval_ms: u32 = interval.unwrap_or(0);
        let (all, _) = self.digest_parameters(rsc, node, task, interval_ms);
        let owned = |(n, v): (Cow<'_, str>, Cow<'_, str>)| (n.into_owned(), v.into_owned());
        let mut all: Parameters = all.into_iter().map(owned).collect();
        for (name, value) in overrides {
            if ignored(name, interval_ms > 0) {
                continue;
            }
            match all.binary_search_by(|(n, _)| n.as_str().cmp(name)) {
                Ok(i) => all[i].1.clone_from(value),
                Err(i) => all.insert(i, (name.clone(), value.clone())),
            }
        }
        let private = entry.map_or(Some(" passwd password user "), |e| {
            e.attr("op-secure-params")
        });
        let secret = |n: &str| private.is_some_and(|list| list.contains(&format!(" {n} ")));
        let is_plain = |n: &str| !n.starts_with("CRM_meta_");
        let public: Parameters = all
            .iter()
            .filter(|(n, _)| !secret(n) && is_plain(n))
            .cloned()
            .collect();
        let restart = entry.and_then(|e| {
            e.attr("op-restart-digest")?;
            let list = e.attr("op-force-restart")?;
            let listed = all.iter().filter(|(n, _)| list.contains(&format!(" {n} ")));
            let listed: Parameters = listed.cloned().collect();
            Some((digest_of(&listed), listed))
        });
        DigestReport {
            task: task.to_owned(),
            interval_ms,
            all: (digest_of(&all), all),
            public: (digest_of(&public), public),
            restart,
        }
    }

    /// The recorded digest of what needs a restart.
    fn restart_digest(&self, entry: Element<'a>) -> Option<&'a str> {
        if self.forced_reschedule.contains_key(&entry.key()) {
            return Some("calculated-failure-timeout");
        }
        entry.attr("op-restart-digest")
    }

    /// What counts of a fence device's parameters if secrets do not, as older versions saw it.
    fn secure_digest(&mut self, rsc: RscId, node: NodeId, entry: Element<'a>) -> String {
        let task = entry.attr("operation").unwrap_or("");
        let (mut all, _) = self.digest_parameters(rsc, node, task, history_interval(entry));
        let version = entry.attr("crm_feature_set").unwrap_or("");
        let old = text::compare_versions(version, "3.16.0").is_lt();
        if old {
            let params = self.params(rsc, Some(node));
            all.retain(|(n, _)| params.contains_key(n.as_ref()));
            if self.rsc[rsc].class.eq_ignore_ascii_case("stonith") {
                all.retain(|(n, _)| !is_fence_parameter(n));
            }
        }
        let private = entry.attr("op-secure-params").unwrap_or("");
        all.retain(|(n, _)| !private.contains(&format!(" {n} ")));
        digest_of(&all)
    }

    /// Compares a recorded operation with its configuration.
    pub(crate) fn compare_digest(
        &mut self,
        rsc: RscId,
        entry: Element<'a>,
        node: NodeId,
    ) -> Verdict {
        let verdict = self.compare_all_parameters(rsc, entry, node);
        if self.sanitized
            && verdict != Verdict::Match
            && let Some(recorded) = entry.attr("op-secure-digest")
            && self.secure_digest(rsc, node, entry) == recorded
        {
            return Verdict::Match;
        }
        verdict
    }

    fn compare_all_parameters(&mut self, rsc: RscId, entry: Element<'a>, node: NodeId) -> Verdict {
        let task = entry.attr("operation").unwrap_or("");
        let interval_ms = history_interval(entry);
        let digests = self.digests(rsc, node, (task, interval_ms), Some(entry));
        if let (Some(recorded), Some(now)) = (self.restart_digest(entry), &digests.restart)
            && recorded != now
        {
            return Verdict::Restart;
        }
        match entry.attr("op-digest") {
            None => Verdict::Unknown,
            Some(recorded) if recorded == digests.all => Verdict::Match,
            Some(_) if interval_ms == 0 && digests.own_params => Verdict::Restart,
            Some(_) => Verdict::Mismatch,
        }
    }

    /// Compares a device that unfences with what a node remembers of its unfencing.
    pub(crate) fn fencing_digest(&mut self, rsc: RscId, node: NodeId) -> Digests {
        let digests = self.digests(rsc, node, (UNFENCING, 0), None);
        let mut result = (*digests).clone();
        let r = &self.rsc[rsc];
        let summary = |digest: &str| format!("{}:{}:{digest}", r.id, r.kind);
        let recorded = |name| self.attr(node, name);
        result.verdict = match recorded("#digests-all") {
            None => Verdict::Unknown,
            Some(list) if list.contains(&summary(&result.all)) => Verdict::Match,
            _ if recorded("#digests-secure")
                .is_some_and(|list| list.contains(&summary(&result.secure))) =>
            {
                Verdict::Match
            }
            _ => Verdict::Mismatch,
        };
        result
    }
}

/// The interval of a recorded operation.
pub(crate) fn history_interval(entry: Element<'_>) -> u32 {
    let ms = entry
        .attr("interval")
        .and_then(text::leading_int)
        .unwrap_or(0);
    u32::try_from(ms).unwrap_or(0)
}
