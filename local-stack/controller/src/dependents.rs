//! What the configuration says about tickets: which resources depend on them, how long stopping them
//! may take, and what keeps the cluster from stopping them.

use std::collections::BTreeMap;

use cib::{Cib, Element, Section};

/// A stop without a configured timeout may take this long, as everywhere in the field.
const DEFAULT_TIMEOUT_MS: u64 = 20_000;

/// What happens to a dependent when its ticket is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossPolicy {
    /// It stops.
    Stop,
    /// It is demoted.
    Demote,
    /// It stays as it is and is not touched.
    Freeze,
    /// Its node is fenced.
    Fence,
}

impl LossPolicy {
    /// The word in the CIB.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Demote => "demote",
            Self::Freeze => "freeze",
            Self::Fence => "fence",
        }
    }
}

/// A primitive that depends on a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependent {
    /// The primitive's id.
    pub resource: String,
    /// The constraint is about the promoted role only.
    pub promoted: bool,
    /// What happens when the ticket is lost.
    pub policy: LossPolicy,
}

impl Dependent {
    /// Losing the ticket only ends the promoted role.
    pub fn only_demoted(&self) -> bool {
        self.promoted && self.policy == LossPolicy::Demote
    }
}

/// All tickets of a configuration.
pub(crate) fn by_ticket(cib: &Cib) -> BTreeMap<String, Vec<Dependent>> {
    let mut tickets: BTreeMap<String, Vec<Dependent>> = BTreeMap::new();
    let Some(constraints) = cib.section(Section::Constraints) else {
        return tickets;
    };
    for constraint in constraints.children_named("rsc_ticket") {
        let Some(ticket) = constraint.attr("ticket") else {
            continue;
        };
        let list = tickets.entry(ticket.to_owned()).or_default();
        let mut add = |resource: &str, role: Option<&str>| {
            let promoted = role.is_some_and(is_promoted);
            let policy = policy(constraint.attr("loss-policy"), promoted);
            for resource in primitives(cib, resource) {
                let dependent = Dependent {
                    resource,
                    promoted,
                    policy,
                };
                if !list.contains(&dependent) {
                    list.push(dependent);
                }
            }
        };
        if let Some(resource) = constraint.attr("rsc") {
            add(resource, constraint.attr("rsc-role"));
        }
        for set in constraint.children_named("resource_set") {
            for reference in set.children_named("resource_ref") {
                add(reference.id(), set.attr("role"));
            }
        }
    }
    tickets
}

fn is_promoted(role: &str) -> bool {
    role.eq_ignore_ascii_case("promoted") || role.eq_ignore_ascii_case("master")
}

fn policy(word: Option<&str>, promoted: bool) -> LossPolicy {
    match word {
        Some("stop") => LossPolicy::Stop,
        Some("freeze") => LossPolicy::Freeze,
        Some("fence") => LossPolicy::Fence,
        Some("demote") => LossPolicy::Demote,
        _ if promoted => LossPolicy::Demote,
        _ => LossPolicy::Stop,
    }
}

/// The primitives that an id stands for: itself, the members of a collective, of a tag, or those made
/// from a template.
fn primitives(cib: &Cib, id: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(tag) = cib
        .section(Section::Tags)
        .and_then(|tags| tags.children().find(|tag| tag.id() == id))
    {
        for reference in tag.children_named("obj_ref") {
            // A tag names resources, not tags: one level is all there is.
            if reference.id() != id {
                found.extend(below(cib, reference.id()));
            }
        }
        return found;
    }
    below(cib, id)
}

fn below(cib: &Cib, id: &str) -> Vec<String> {
    let Some(resources) = cib.section(Section::Resources) else {
        return Vec::new();
    };
    let is_primitive = |element: &Element<'_>| element.name() == "primitive";
    let own = resources
        .descendants()
        .filter(is_primitive)
        .filter(|primitive| {
            let mut above = Some(*primitive);
            while let Some(element) = above {
                if element.id() == id || element.attr("template") == Some(id) {
                    return true;
                }
                above = element.parent();
            }
            false
        });
    own.map(|primitive| primitive.id().to_owned()).collect()
}

/// The primitive with this id (an instance's number is cut off).
pub(crate) fn primitive<'a>(cib: &'a Cib, resource: &str) -> Option<Element<'a>> {
    let plain = plain_id(resource);
    cib.section(Section::Resources)?
        .descendants()
        .find(|element| element.name() == "primitive" && element.id() == plain)
}

/// The id without an instance's number.
pub(crate) fn plain_id(resource: &str) -> &str {
    match resource.rsplit_once(':') {
        Some((id, number)) if number.bytes().all(|b| b.is_ascii_digit()) => id,
        _ => resource,
    }
}

/// Milliseconds that stopping (or demoting and stopping) may take, from the operation's timeout.
pub(crate) fn stop_ms(cib: &Cib, dependent: &Dependent) -> u64 {
    let Some(primitive) = primitive(cib, &dependent.resource) else {
        return DEFAULT_TIMEOUT_MS;
    };
    let demote = if dependent.promoted {
        operation_ms(cib, primitive, "demote")
    } else {
        0
    };
    let stop = if dependent.only_demoted() {
        0
    } else {
        operation_ms(cib, primitive, "stop")
    };
    demote + stop
}

fn operation_ms(cib: &Cib, primitive: Element<'_>, name: &str) -> u64 {
    let template = primitive
        .attr("template")
        .and_then(|id| cib.document().find_by_id(id));
    let own = [Some(primitive), template]
        .into_iter()
        .flatten()
        .find_map(|element| {
            let operations = element.child("operations")?;
            let wanted = |op: &Element<'_>| op.attr("name") == Some(name);
            operations
                .children_named("op")
                .find(wanted)?
                .attr("timeout")
        });
    let default = || {
        let defaults = cib.section(Section::OperationDefaults)?;
        nvpair(defaults, "meta_attributes", "timeout")
    };
    own.or_else(default)
        .and_then(milliseconds)
        .unwrap_or(DEFAULT_TIMEOUT_MS)
}

/// `N`, `Ns`, `Nms`, `Nm`, `Nmin`, `Nh`, `Nhr`; a bare number is seconds.
fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..split].parse().ok()?;
    let factor = match text[split..].trim() {
        "" | "s" | "sec" => 1000,
        "ms" | "msec" => 1,
        "us" | "usec" => return Some(number / 1000),
        "m" | "min" => 60_000,
        "h" | "hr" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// The first value of this name in blocks of this kind below `parent`.
fn nvpair<'a>(parent: Element<'a>, block: &str, name: &str) -> Option<&'a str> {
    parent
        .children()
        .filter(|child| child.name() == block)
        .flat_map(Element::children)
        .find(|pair| pair.attr("name") == Some(name))
        .and_then(|pair| pair.attr("value"))
}

fn is_true(text: &str) -> bool {
    ["1", "y", "yes", "on", "true"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}

/// Why the cluster would not stop this resource, if it would not: unmanaged or in maintenance.
pub(crate) fn not_managed(cib: &Cib, resource: &str, node: &str) -> Option<String> {
    let options = cib.section(Section::Options);
    let option = |name| options.and_then(|o| nvpair(o, "cluster_property_set", name));
    if option("maintenance-mode").is_some_and(is_true) {
        return Some("the cluster is in maintenance".to_owned());
    }
    let own_node = cib
        .section(Section::Nodes)
        .and_then(|nodes| nodes.children().find(|n| n.attr("uname") == Some(node)));
    let in_maintenance = own_node
        .and_then(|n| nvpair(n, "instance_attributes", "maintenance"))
        .is_some_and(is_true);
    if in_maintenance {
        return Some(format!("node {node} is in maintenance"));
    }
    let mut element = primitive(cib, resource);
    let (mut maintenance, mut managed) = (None, None);
    while let Some(current) = element {
        let meta = |name| nvpair(current, "meta_attributes", name);
        maintenance = maintenance.or_else(|| meta("maintenance"));
        managed = managed.or_else(|| meta("is-managed"));
        element = current.parent();
    }
    let defaults = cib.section(Section::ResourceDefaults);
    let default = |name| defaults.and_then(|d| nvpair(d, "meta_attributes", name));
    if maintenance
        .or_else(|| default("maintenance"))
        .is_some_and(is_true)
    {
        return Some(format!("{resource} is in maintenance"));
    }
    if managed
        .or_else(|| default("is-managed"))
        .is_some_and(|word| !is_true(word))
    {
        return Some(format!("{resource} is unmanaged"));
    }
    None
}

/// Every primitive, in the order of the CIB, with its agent's name.
pub(crate) fn all(cib: &Cib) -> Vec<(String, String)> {
    let Some(resources) = cib.section(Section::Resources) else {
        return Vec::new();
    };
    resources
        .descendants()
        .filter(|element| element.name() == "primitive")
        .map(|primitive| {
            let template = primitive
                .attr("template")
                .and_then(|id| cib.document().find_by_id(id));
            let source = template.unwrap_or(primitive);
            let parts = ["class", "provider", "type"].map(|name| source.attr(name));
            let agent: Vec<&str> = parts.into_iter().flatten().collect();
            (primitive.id().to_owned(), agent.join(":"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CIB: &str = r#"<cib><configuration><crm_config/><nodes/>
      <resources>
        <group id="g"><primitive id="a" class="ocf" provider="p" type="t"><operations>
            <op id="a-stop" name="stop" interval="0" timeout="5s"/></operations></primitive>
          <primitive id="b" class="ocf" provider="p" type="t"/>
          <meta_attributes id="g-m"><nvpair id="g-m-1" name="is-managed" value="false"/></meta_attributes>
        </group>
        <clone id="c"><primitive id="d" class="ocf" provider="p" type="t"><operations>
            <op id="d-demote" name="demote" interval="0" timeout="1500ms"/></operations></primitive></clone>
      </resources>
      <constraints>
        <rsc_ticket id="t1" rsc="g" ticket="db" loss-policy="freeze"/>
        <rsc_ticket id="t2" rsc="c" rsc-role="Master" ticket="db"/>
        <rsc_ticket id="t3" ticket="web"><resource_set id="s"><resource_ref id="b"/></resource_set></rsc_ticket>
      </constraints></configuration><status/></cib>"#;

    #[test]
    fn collectives_sets_and_roles_are_expanded() {
        let cib = Cib::parse(CIB, None).unwrap();
        let tickets = by_ticket(&cib);
        let names: Vec<&str> = tickets["db"].iter().map(|d| d.resource.as_str()).collect();
        assert_eq!(names, ["a", "b", "d"]);
        assert_eq!(tickets["db"][0].policy, LossPolicy::Freeze);
        assert!(tickets["db"][2].only_demoted());
        assert_eq!(tickets["web"][0].resource, "b");
        let budget: u64 = tickets["db"].iter().map(|d| stop_ms(&cib, d)).sum();
        assert_eq!(budget, 5_000 + DEFAULT_TIMEOUT_MS + 1_500);
    }

    #[test]
    fn what_the_cluster_would_not_stop() {
        let cib = Cib::parse(CIB, None).unwrap();
        assert_eq!(not_managed(&cib, "a", "n").unwrap(), "a is unmanaged");
        assert_eq!(not_managed(&cib, "d:0", "n"), None);
    }

    #[test]
    fn durations() {
        for (text, ms) in [
            ("20", 20_000),
            ("1500ms", 1500),
            ("2min", 120_000),
            ("1 h", 3_600_000),
        ] {
            assert_eq!(milliseconds(text), Some(ms), "{text}");
        }
        assert_eq!(milliseconds("soon"), None);
    }
}
