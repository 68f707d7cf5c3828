//! The vocabulary of a configuration.
//!
//! One line per element: its name, its attributes, its children. An attribute is `name`, `name!` if it
//! must be there, `name=type` or `name!=type`; the types are those of [`Type`].

use std::collections::HashMap;
use std::sync::LazyLock;

/// What an attribute's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// Anything.
    Text,
    /// A name that nothing else in the configuration has.
    New,
    /// The name of something in the configuration.
    Reference,
    /// A whole number, or INFINITY with or without a sign.
    Score,
    /// A whole number.
    Integer,
    /// A whole number from 0 on.
    Count,
    /// true, false, 1, 0.
    Boolean,
    /// A date of ISO 8601.
    Date,
    /// One of the words of a line of [`CHOICES`].
    Choice(&'static str),
}

/// An attribute.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) kind: Type,
}

/// An element.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) attributes: Vec<Attribute>,
    pub(super) children: Vec<&'static str>,
}

const CHOICES: [&str; 15] = [
    "role: Stopped Started Promoted Unpromoted Master Slave",
    "kind: Optional Mandatory Serialize",
    "action: start promote demote stop",
    "loss: stop demote fence freeze",
    "discovery: always never exclusive",
    "fail: ignore block demote stop restart standby fence restart-container",
    "requires: nothing quorum fencing unfencing",
    "boolean-op: or and",
    "compare: lt gt lte gte eq ne defined not_defined",
    "type: string integer number version",
    "source: literal param meta",
    "date: in_range date_spec gt lt eq neq",
    "acl: read write deny",
    "node: member ping remote normal",
    "ordering: group listed",
];

const GRAMMAR: &str = "\
cib|admin_epoch!=count epoch!=count num_updates!=count validate-with! *|configuration status
configuration||crm_config rsc_defaults op_defaults nodes resources constraints acls fencing-topology tags alerts
crm_config||cluster_property_set
rsc_defaults||meta_attributes
op_defaults||meta_attributes
cluster_property_set|id=new id-ref=ref score=score|nvpair rule
meta_attributes|id=new id-ref=ref score=score|nvpair rule
instance_attributes|id=new id-ref=ref score=score|nvpair rule
utilization|id=new id-ref=ref score=score|nvpair rule
nvpair|id=new id-ref=ref name value|
nodes||node
node|id! uname! type=node description score=score|instance_attributes utilization
resources||primitive template group clone master bundle
primitive|id!=new class provider type template=ref description|meta_attributes instance_attributes operations utilization
template|id!=new class! provider type! description|meta_attributes instance_attributes operations utilization
group|id!=new description|meta_attributes instance_attributes primitive
clone|id!=new description|meta_attributes instance_attributes primitive group
master|id!=new description|meta_attributes instance_attributes primitive group
bundle|id!=new description|meta_attributes instance_attributes docker podman rkt network storage primitive
docker|image! replicas=int replicas-per-host=int masters=int promoted-max=int run-command network options|
podman|image! replicas=int replicas-per-host=int masters=int promoted-max=int run-command network options|
rkt|image! replicas=int replicas-per-host=int masters=int promoted-max=int run-command network options|
network|ip-range-start control-port=count host-interface host-netmask add-host=bool|port-mapping
port-mapping|id!=new port=count internal-port=count range|
storage||storage-mapping
storage-mapping|id!=new source-dir source-dir-root target-dir! options|
operations|id=new id-ref=ref|op
op|id=new id-ref=ref name interval description start-delay interval-origin timeout enabled=bool record-pending=bool role=role requires=requires on-fail=fail|meta_attributes instance_attributes
constraints||rsc_location rsc_colocation rsc_order rsc_ticket
rsc_location|id!=new rsc=ref rsc-pattern role=role node score=score resource-discovery=discovery|resource_set rule lifetime
rsc_colocation|id!=new rsc=ref with-rsc=ref rsc-role=role with-rsc-role=role score=score score-attribute score-attribute-mangle node-attribute influence=bool rsc-instance=count with-rsc-instance=count|resource_set lifetime
rsc_order|id!=new first=ref then=ref first-action=action then-action=action first-instance=count then-instance=count kind=kind score=score symmetrical=bool require-all=bool|resource_set lifetime
rsc_ticket|id!=new ticket! rsc=ref rsc-role=role loss-policy=loss|resource_set
resource_set|id=new id-ref=ref sequential=bool require-all=bool ordering=ordering action=action role=role score=score kind=kind|resource_ref
resource_ref|id!=ref|
lifetime||rule
rule|id=new id-ref=ref score=score score-attribute boolean-op=boolean-op role=role|expression date_expression rsc_expression op_expression rule
expression|id!=new attribute! operation!=compare value type=type value-source=source|
date_expression|id!=new operation=date start=date end=date|duration date_spec
duration|id=new seconds minutes hours monthdays weekdays yearsdays months weeks years weekyears moon|
date_spec|id=new seconds minutes hours monthdays weekdays yearsdays yeardays months weeks years weekyears moon|
rsc_expression|id!=new class provider type|
op_expression|id!=new name! interval|
fencing-topology||fencing-level
fencing-level|id!=new target target-pattern target-attribute target-value index!=count devices!|
tags||tag
tag|id!=new|obj_ref
obj_ref|id!=ref|
alerts||alert
alert|id!=new path! description|meta_attributes instance_attributes select recipient
recipient|id!=new value! description|meta_attributes instance_attributes
select||select_nodes select_fencing select_resources select_attributes
select_nodes||
select_fencing||
select_resources||
select_attributes||attribute
acls||acl_target acl_group acl_role acl_user
acl_target|id! name|role
acl_group|id! name|role
acl_user|id!|role_ref read write deny
role|id!=ref|
role_ref|id!=ref|
acl_role|id!=new description|acl_permission read write deny
acl_permission|id!=new kind!=acl xpath reference=ref object-type attribute description|
read|id!=new tag ref=ref xpath attribute|
write|id!=new tag ref=ref xpath attribute|
deny|id!=new tag ref=ref xpath attribute|
attribute|*|";

static ENTRIES: LazyLock<HashMap<&'static str, Entry>> = LazyLock::new(|| {
    let line = |line: &'static str| {
        let mut parts = line.split('|');
        let mut next = || parts.next().unwrap_or("");
        let (name, attributes, children) = (next(), next(), next());
        let entry = Entry {
            attributes: attributes.split_whitespace().map(attribute).collect(),
            children: children.split_whitespace().collect(),
        };
        (name, entry)
    };
    GRAMMAR.lines().map(line).collect()
});

fn attribute(text: &'static str) -> Attribute {
    let (name, kind) = text.split_once('=').unwrap_or((text, ""));
    Attribute {
        name: name.trim_end_matches('!'),
        required: name.ends_with('!'),
        kind: match kind {
            "" => Type::Text,
            "new" => Type::New,
            "ref" => Type::Reference,
            "score" => Type::Score,
            "int" => Type::Integer,
            "count" => Type::Count,
            "bool" => Type::Boolean,
            // `date` as a name of choices belongs to `operation` alone.
            "date" if !name.starts_with("operation") => Type::Date,
            other => Type::Choice(choices(other)),
        },
    }
}

fn choices(name: &str) -> &'static str {
    let words = CHOICES.iter().find_map(|line| {
        let (key, words) = line.split_once(": ")?;
        (key == name).then_some(words)
    });
    words.unwrap_or("")
}

/// What is known of an element; none if there is no such element.
pub(super) fn entry(name: &str) -> Option<&'static Entry> {
    ENTRIES.get(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        for (name, entry) in ENTRIES.iter() {
            for child in &entry.children {
                // The status is free.
                assert!(
                    *child == "status" || ENTRIES.contains_key(child),
                    "{child} in {name}"
                );
            }
            for attribute in &entry.attributes {
                let empty = matches!(attribute.kind, Type::Choice(""));
                assert!(!empty, "{} of {name}", attribute.name);
            }
        }
    }
}
