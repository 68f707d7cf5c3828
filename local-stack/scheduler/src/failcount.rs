//! How often a resource has failed on a node.

use std::ops::Bound;

use cib::Element;

use crate::digest::history_interval;
use crate::ids::{NodeId, RscId};
use crate::model::RscFlags;
use crate::plan::Plan;
use crate::text;

/// What to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counting {
    /// Whether failures older than the failure timeout are left out.
    pub(crate) effective: bool,
    /// Whether failures of what the resource launches count as its own.
    pub(crate) launched: bool,
}

impl<'a> Plan<'a> {
    /// Number of failures, and the time of the latest.
    pub(crate) fn failcount(
        &mut self,
        node: NodeId,
        rsc: RscId,
        counting: Counting,
        entry: Option<Element<'a>>,
    ) -> (i32, i64) {
        let (mut count, mut last) = self.recorded_failures(node, rsc);
        let timeout = self.rsc[rsc].failure_timeout;
        if count > 0 && timeout > 0 && self.failure_blocks(node, rsc, entry) {
            self.rsc[rsc].failure_timeout = 0;
        }
        let timeout = self.rsc[rsc].failure_timeout;
        if counting.effective && count > 0 && last > 0 && timeout != 0 && self.now > last + timeout
        {
            count = 0;
        }
        if counting.launched && !self.rsc[rsc].launched.is_empty() && !self.is_bundled(rsc) {
            for launched in self.rsc[rsc].launched.clone() {
                let (more, when) = self.failcount(node, launched, counting, entry);
                count = text::add(count, more);
                last = last.max(when);
            }
        }
        (count, last)
    }

    fn recorded_failures(&self, node: NodeId, rsc: RscId) -> (i32, i64) {
        let r = &self.rsc[rsc];
        let unique = r.is(RscFlags::UNIQUE);
        let full = r.clone_name.unwrap_or(&r.id);
        let name = if unique { full } else { text::base_name(full) };
        let about = |attribute: &str, prefix: &str| {
            let rest = attribute
                .strip_prefix(prefix)
                .and_then(|r| r.strip_prefix(name));
            let Some(mut rest) = rest else {
                return false;
            };
            if !unique && let Some(number) = rest.strip_prefix(':') {
                let digits = number.bytes().take_while(u8::is_ascii_digit).count();
                if digits == 0 {
                    return false;
                }
                rest = &number[digits..];
            }
            let Some((operation, interval)) =
                rest.strip_prefix('#').and_then(|o| o.rsplit_once('_'))
            else {
                return false;
            };
            !operation.is_empty()
                && !interval.is_empty()
                && interval.bytes().all(|b| b.is_ascii_digit())
        };
        let (mut count, mut last) = (0, 0);
        let from = |prefix: &'static str| {
            let attrs = &self.node[node].attrs;
            attrs
                .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
                .take_while(move |(n, _)| n.starts_with(prefix))
        };
        for (attribute, value) in from("fail-count-") {
            if about(attribute, "fail-count-") {
                count = text::add(count, text::parse_score(value));
            }
        }
        for (attribute, value) in from("last-failure-") {
            if about(attribute, "last-failure-") {
                last = last.max(text::leading_int(value).unwrap_or(0));
            }
        }
        (count, last)
    }

    /// Whether a failure of the resource is configured to block it, which never expires.
    fn failure_blocks(&self, node: NodeId, rsc: RscId, entry: Option<Element<'a>>) -> bool {
        let r = &self.rsc[rsc];
        let name = text::base_name(&r.id);
        let mut blocking = r
            .ops
            .iter()
            .filter(|o| o.element.attr("on-fail") == Some("block"));
        blocking.any(|config| {
            let about = |entry: Element<'a>| {
                let same = history_interval(entry) == config.interval_ms
                    && entry.attr("operation") == Some(config.name);
                if !same {
                    return false;
                }
                let key = format!("{name}_{}_{}", config.name, config.interval_ms);
                entry.id() == format!("{name}_last_failure_0")
                    || (entry.id() == key && exit_code(entry) != target_rc(entry))
            };
            match entry {
                Some(entry) => about(entry),
                None => self
                    .history
                    .get(&(self.node[node].name, name))
                    .is_some_and(|h| h.children_named("lrm_rsc_op").any(about)),
            }
        })
    }
}

pub(crate) fn exit_code(entry: Element<'_>) -> Option<i64> {
    entry.attr("rc-code").and_then(text::leading_int)
}

/// The exit code that was to be expected: the third part of the transition key.
pub(crate) fn target_rc(entry: Element<'_>) -> Option<i64> {
    entry
        .attr("transition-key")?
        .split(':')
        .nth(2)?
        .parse()
        .ok()
}
