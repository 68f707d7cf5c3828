//! Parameters of resources, and what is configured for their operations.

use std::borrow::Cow;
use std::rc::Rc;

use crate::dates;
use crate::ids::{NodeId, RscId};
use crate::model::{Map, OpConfig, Role, RscFlags};
use crate::plan::Plan;
use crate::rules::{self, Facts};
use crate::text;

/// The time an operation may take if nothing says otherwise.
const DEFAULT_TIMEOUT_MS: i64 = 20_000;

/// What to do about a failure; ordered by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OnFail {
    Ignore,
    Demote,
    Restart,
    ResetRemote,
    RestartLauncher,
    Ban,
    Block,
    Stop,
    Standby,
    Fence,
}

impl<'a> Plan<'a> {
    /// The parameters of a resource on a node (by default: on none).
    pub(crate) fn params(&mut self, rsc: RscId, node: Option<NodeId>) -> Rc<Map<'a>> {
        let node = node.filter(|_| self.rsc[rsc].params_vary);
        if let Some((_, found)) = self.rsc[rsc].params.iter().find(|(n, _)| *n == node) {
            return found.clone();
        }
        let mut values = Map::new();
        let facts = Facts {
            node: node.map(|n| &self.node[n].attrs),
            ..self.facts()
        };
        let mut current = Some(rsc);
        while let Some(r) = current {
            let parents = self.config_parents(r);
            let name = "instance_attributes";
            rules::read_blocks(
                &self.references,
                &parents,
                name,
                &facts,
                (None, false),
                &mut values,
            );
            current = self.rsc[r].parent;
        }
        if let Some(defaults) = self.rsc_defaults {
            let name = "instance_attributes";
            rules::read_blocks(
                &self.references,
                &[defaults],
                name,
                &facts,
                (None, false),
                &mut values,
            );
        }
        let values = Rc::new(values);
        self.rsc[rsc].params.push((node, values.clone()));
        values
    }

    /// The elements whose children configure a resource; the first counts most.
    pub(crate) fn config_parents(&self, rsc: RscId) -> Vec<cib::Element<'a>> {
        let r = &self.rsc[rsc];
        let mut parents = vec![r.xml];
        parents.extend(r.template);
        parents
    }

    /// The configuration of an operation.
    pub(crate) fn op_config(
        &self,
        rsc: RscId,
        task: &str,
        interval_ms: u32,
        include_disabled: bool,
    ) -> Option<cib::Element<'a>> {
        let ops = &self.rsc[rsc].ops;
        let exact = |name: &str, interval: u32| {
            let fits = |o: &&OpConfig<'a>| {
                o.name == name && o.interval_ms == interval && (include_disabled || o.enabled)
            };
            ops.iter().find(fits).map(|o| o.element)
        };
        exact(task, interval_ms).or_else(|| match task {
            "migrate_to" | "migrate_from" => exact("migrate", 0),
            _ if task.contains("_notify_") => exact("notify", 0),
            _ => None,
        })
    }

    /// Parameters of an operation itself.
    pub(crate) fn op_params(&self, config: Option<cib::Element<'a>>, node: NodeId) -> Map<'a> {
        let mut values = Map::new();
        if let Some(config) = config {
            let facts = Facts {
                node: Some(&self.node[node].attrs),
                ..self.facts()
            };
            let name = "instance_attributes";
            let references = &self.references;
            rules::read_blocks(
                references,
                &[config],
                name,
                &facts,
                (None, false),
                &mut values,
            );
        }
        values
    }

    /// Everything configured about an operation: timeout and delays in milliseconds, `on-fail`
    /// checked.
    pub(crate) fn op_meta(
        &mut self,
        rsc: RscId,
        node: Option<NodeId>,
        task: &str,
        interval_ms: u32,
        config: Option<cib::Element<'a>>,
    ) -> Map<'a> {
        let mut meta = Map::new();
        let probe = task == "monitor" && interval_ms == 0;
        let r = &self.rsc[rsc];
        let facts = Facts {
            agent: Some((r.class, r.provider, r.kind)),
            op: Some((task, interval_ms)),
            ..self.facts()
        };
        let name = "meta_attributes";
        if let Some(defaults) = self.op_defaults {
            let references = &self.references;
            rules::read_blocks(
                references,
                &[defaults],
                name,
                &facts,
                (None, false),
                &mut meta,
            );
        }
        if probe {
            let monitors = r.ops.iter().filter(|o| o.enabled && o.name == "monitor");
            let frequent = monitors
                .filter(|o| o.interval_ms > 0)
                .min_by_key(|o| o.interval_ms);
            if let Some(timeout) = frequent.and_then(|o| o.element.attr("timeout")) {
                meta.insert(Cow::Borrowed("timeout"), Cow::Borrowed(timeout));
            }
        }
        if let Some(config) = config {
            let references = &self.references;
            rules::read_blocks(references, &[config], name, &facts, (None, true), &mut meta);
            for (name, value) in config.attributes() {
                meta.insert(Cow::Borrowed(name), Cow::Borrowed(value));
            }
        }
        meta.remove("id");
        if interval_ms > 0 {
            meta.insert(
                Cow::Borrowed("interval"),
                Cow::Owned(interval_ms.to_string()),
            );
        } else {
            meta.remove("interval");
        }
        if r.class == "stonith" && (task == "start" || probe) {
            let params = self.params(rsc, node);
            if let Some(timeout) = params.get("pcmk_monitor_timeout") {
                meta.insert(Cow::Borrowed("timeout"), timeout.clone());
            }
        }
        let timeout = meta
            .get("timeout")
            .and_then(|t| text::milliseconds(t))
            .filter(|t| *t >= 0);
        let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT_MS);
        meta.insert(Cow::Borrowed("timeout"), Cow::Owned(timeout.to_string()));
        self.check_on_fail(rsc, task, config, &mut meta);
        self.set_start_delay(interval_ms, &mut meta);
        meta
    }

    fn set_start_delay(&self, interval_ms: u32, meta: &mut Map<'a>) {
        let delay = if let Some(delay) = meta.get("start-delay") {
            text::milliseconds(delay).unwrap_or(0).max(0)
        } else {
            let seconds = i64::from(interval_ms / 1000);
            let origin = meta
                .get("interval-origin")
                .and_then(|o| dates::parse(o, self.now));
            let Some(origin) = origin.filter(|_| seconds > 0) else {
                return;
            };
            let rest = (self.now - origin) % seconds;
            (if rest <= 0 { -rest } else { seconds - rest }) * 1000
        };
        meta.insert(Cow::Borrowed("start-delay"), Cow::Owned(delay.to_string()));
    }

    fn check_on_fail(
        &self,
        rsc: RscId,
        task: &str,
        config: Option<cib::Element<'a>>,
        meta: &mut Map<'a>,
    ) {
        let value = meta.get("on-fail").map(|v| v.to_ascii_lowercase());
        match (task, value.as_deref()) {
            ("stop", Some("standby" | "demote" | "stop")) => {
                meta.remove("on-fail");
            }
            ("demote", None) => {
                let inherited = self.rsc[rsc].ops.iter().find_map(|o| {
                    let role = o.element.attr("role").and_then(Role::parse);
                    let fits = o.name == "monitor"
                        && role == Some(Role::Promoted)
                        && o.interval_ms > 0
                        && o.enabled;
                    let value = o.element.attr("on-fail").filter(|_| fits)?;
                    (!value.eq_ignore_ascii_case("demote")).then_some(value)
                });
                if let Some(value) = inherited {
                    meta.insert(Cow::Borrowed("on-fail"), Cow::Borrowed(value));
                }
            }
            ("lrm_delete", value) if value != Some("ignore") => {
                meta.insert(Cow::Borrowed("on-fail"), Cow::Borrowed("ignore"));
            }
            (_, Some("demote")) => {
                let attr = |name: &str| config.and_then(|c| c.attr(name));
                let promoted_monitor = attr("name") == Some("monitor")
                    && attr("role").and_then(Role::parse) == Some(Role::Promoted)
                    && text::interval_ms(attr("interval")) > 0;
                if attr("name") != Some("promote") && !promoted_monitor {
                    meta.remove("on-fail");
                }
            }
            _ => {}
        }
    }

    /// What a failure of an operation leads to.
    pub(crate) fn on_fail(
        &self,
        rsc: RscId,
        task: &str,
        interval_ms: u32,
        value: Option<&str>,
    ) -> OnFail {
        let r = &self.rsc[rsc];
        let fencing = self.options.fencing;
        let chosen = match value.map(str::to_ascii_lowercase).as_deref() {
            Some("block") => Some(OnFail::Block),
            Some("fence") => Some(if fencing { OnFail::Fence } else { OnFail::Stop }),
            Some("standby") => Some(OnFail::Standby),
            Some("ignore" | "nothing") => Some(OnFail::Ignore),
            Some("migrate") => Some(OnFail::Ban),
            Some("stop") => Some(OnFail::Stop),
            Some("restart") => Some(OnFail::Restart),
            Some("restart-container") if r.launcher.is_some() => Some(OnFail::RestartLauncher),
            Some("demote") => Some(OnFail::Demote),
            _ => None,
        };
        let managed = r.is(RscFlags::MANAGED);
        let probe = task == "monitor" && interval_ms == 0;
        if chosen.is_none() && r.launcher.is_some() {
            return OnFail::RestartLauncher;
        }
        if (chosen.is_none() || !managed)
            && task != "start"
            && !probe
            && self.is_remote_connection(rsc)
        {
            return if managed {
                OnFail::ResetRemote
            } else {
                OnFail::Stop
            };
        }
        chosen.unwrap_or(match task {
            "stop" if fencing => OnFail::Fence,
            "stop" => OnFail::Block,
            _ => OnFail::Restart,
        })
    }

    /// The role to have after a failure.
    pub(crate) fn role_after_failure(&self, rsc: RscId, task: &str, on_fail: OnFail) -> Role {
        match on_fail {
            OnFail::Stop => Role::Stopped,
            OnFail::ResetRemote if self.rsc[rsc].reconnect_ms > 0 => Role::Stopped,
            _ if task == "promote" => Role::Unpromoted,
            _ => Role::Started,
        }
    }

    /// The address that a bundle's connection uses when it has none of its own: its host.
    pub(crate) fn bundle_remote_address(&mut self, rsc: RscId) -> Option<String> {
        if !self.needs_remote_name(rsc) {
            return None;
        }
        let top = self.top_resource(rsc, true);
        let bundle = self.rsc[top].bundle.as_ref()?;
        let container = bundle
            .replicas
            .iter()
            .find(|r| r.remote == Some(rsc))?
            .container;
        let node = self.rsc[container]
            .assigned
            .or_else(|| self.current_node(container))?;
        Some(self.node[node].name.to_owned())
    }

    /// Whether the address of a connection is that of the host of its bundle.
    pub(crate) fn needs_remote_name(&mut self, rsc: RscId) -> bool {
        if !self.rsc[rsc].is(RscFlags::REMOTE_CONNECTION) {
            return false;
        }
        let params = self.params(rsc, None);
        params
            .get("addr")
            .is_some_and(|a| a.eq_ignore_ascii_case("#uname"))
    }
}
