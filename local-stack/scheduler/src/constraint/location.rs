//! Location constraints.

use cib::Element;

use super::Location;
use super::sets::SideOf;
use crate::ids::{NodeId, RscId};
use crate::model::{ProbeMode, Role, RscFlags};
use crate::plan::Plan;
use crate::rules::{self, Facts};
use crate::text;

/// A role by which a location is limited: only promotion sets instances apart.
fn location_role(text: Option<&str>) -> Option<Role> {
    match text {
        None => Some(Role::Unknown),
        Some(text) => match Role::parse(text)? {
            Role::Started | Role::Unpromoted => Some(Role::Unknown),
            role => Some(role),
        },
    }
}

/// The whole of what a pattern matched, then its groups.
fn groups_of(captures: &regex_lite::Captures<'_>) -> Vec<String> {
    let groups = captures.iter();
    groups
        .map(|g| g.map_or_else(String::new, |g| g.as_str().to_owned()))
        .collect()
}

/// What the pattern of a constraint matches in the name of a resource, if anything.
pub(crate) fn pattern_groups(element: Element<'_>, rsc: &str) -> Option<Vec<String>> {
    let regex = regex_lite::Regex::new(element.attr("rsc-pattern")?).ok()?;
    regex.captures(rsc).map(|c| groups_of(&c))
}

impl<'a> Plan<'a> {
    pub(super) fn unpack_location(&mut self, element: Element<'a>) {
        let side = SideOf {
            attribute: "rsc",
            role: element.attr("role"),
            action: None,
        };
        let Ok(sets) = self.sets(element, &[side], false) else {
            return;
        };
        for set in &sets {
            for member in &set.members {
                let Some(rsc) = self.constrained(member) else {
                    return;
                };
                let limits = (set.role, set.attr("score"));
                self.locate(element, rsc, limits, None);
            }
        }
        if !sets.is_empty() {
            return;
        }
        if let Some(rsc) = element.attr("rsc").and_then(|r| self.constrained(r)) {
            self.locate(element, rsc, (None, None), None);
        }
        if let Some(pattern) = element.attr("rsc-pattern") {
            self.locate_by_pattern(element, pattern);
        }
    }

    fn locate_by_pattern(&mut self, element: Element<'a>, pattern: &str) {
        let (pattern, invert) = match pattern.strip_prefix('!') {
            Some(rest) => (rest, true),
            None => (pattern, false),
        };
        let Ok(regex) = regex_lite::Regex::new(pattern) else {
            return;
        };
        for rsc in self.top.clone() {
            let id = self.rsc[rsc].id.clone();
            match regex.captures(&id) {
                Some(captures) if !invert => {
                    let groups = groups_of(&captures);
                    self.locate(element, rsc, (None, None), Some(&groups));
                }
                None if invert => self.locate(element, rsc, (None, None), None),
                _ => {}
            }
        }
    }

    fn locate(
        &mut self,
        element: Element<'a>,
        rsc: RscId,
        (role, score): (Option<&str>, Option<&str>),
        groups: Option<&[String]>,
    ) {
        let score = score.or_else(|| element.attr("score"));
        let (Some(node), Some(score)) = (element.attr("node"), score) else {
            self.locate_by_rule(element, rsc, groups);
            return;
        };
        let Some(node) = self.find_node(node) else {
            return;
        };
        if let Some(role) = location_role(role.or_else(|| element.attr("role"))) {
            let nodes = vec![(node, text::parse_score(score))];
            self.new_location(rsc, element, role, nodes);
        }
    }

    fn locate_by_rule(&mut self, element: Element<'a>, rsc: RscId, groups: Option<&[String]>) {
        let rule = element
            .child("rule")
            .and_then(|r| self.references.resolve(r));
        let Some(rule) = rule.filter(|r| r.attr("id").is_some()) else {
            return;
        };
        let Some(role) = location_role(rule.attr("role")) else {
            return;
        };
        let attribute = rule.attr("score-attribute");
        if attribute.is_none() && rule.attr("score").is_none() {
            return;
        }
        let score = rule.attr("score").map_or(0, text::parse_score);
        let mut nodes = Vec::new();
        for i in 0..self.order.len() {
            let node = self.order[i];
            let params = self.params(rsc, Some(node));
            let facts = Facts {
                node: Some(&self.node[node].attrs),
                params: Some(&params),
                meta: Some(&self.rsc[rsc].meta),
                groups,
                ..self.facts()
            };
            if !rules::holds(&self.references, rule, &facts) {
                continue;
            }
            let score = match attribute {
                None => score,
                Some(name) => {
                    let name = rules::substitute(name, groups);
                    match self.score_attribute(rsc, node, &name) {
                        Some(score) => score,
                        None => continue,
                    }
                }
            };
            nodes.insert(0, (node, score));
        }
        self.new_location(rsc, element, role, nodes);
    }

    fn score_attribute(&self, rsc: RscId, node: NodeId, name: &str) -> Option<i32> {
        let target = self.rsc[rsc].meta("container-attribute-target");
        let value = self.attr_via_target(node, name, target, true)?;
        let numeric =
            text::leading_int(value).is_some() || value.to_ascii_uppercase().contains("INFINITY");
        (!value.is_empty() && numeric).then(|| text::parse_score(value))
    }

    fn new_location(
        &mut self,
        rsc: RscId,
        element: Element<'a>,
        role: Role,
        nodes: Vec<(NodeId, i32)>,
    ) {
        let probe_mode = match element.attr("resource-discovery") {
            Some("never") => ProbeMode::Never,
            Some("exclusive") => ProbeMode::Exclusive,
            _ => ProbeMode::Always,
        };
        if probe_mode == ProbeMode::Exclusive {
            self.rsc[rsc].flags.set(RscFlags::EXCLUSIVE_PROBES);
        }
        let location = self.loc.push(Location {
            rsc,
            role,
            probe_mode,
            nodes,
        });
        self.rsc[rsc].locations.insert(0, location);
    }
}
