//! Older vocabularies: what `pacemaker-1.x` and `2.x` say, in the words of `3.x`.
//!
//! Only done when asked for. The target is the newest schema that Debian 12's Pacemaker reads, unless
//! the operator names a newer one.

use crate::cib::{Cib, Section};
use crate::xml::{Document, Element, ElementId};

/// What an upgrade leads to unless something else is asked for.
pub const TARGET: &str = "pacemaker-3.9";

/// Why there was no upgrade. The CIB is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// The present schema is not known.
    #[error("validate-with=\"{0}\" is no schema that can be upgraded; it is pacemaker-X.Y")]
    Unknown(String),
    /// The target is older.
    #[error("{present} is newer than {target} already")]
    Newer {
        /// What the CIB has.
        present: String,
        /// What was asked for.
        target: String,
    },
}

/// Cluster options that were renamed.
const OPTIONS: [(&str, &str); 19] = [
    ("cluster_recheck_interval", "cluster-recheck-interval"),
    ("dc_deadtime", "dc-deadtime"),
    ("default-action-timeout", ""),
    ("default-migration-threshold", ""),
    ("default-resource-failure-stickiness", ""),
    ("default-resource-stickiness", ""),
    ("default_resource_stickiness", ""),
    ("election_timeout", "election-timeout"),
    ("expected-quorum-votes", ""),
    ("is-managed-default", ""),
    ("is_managed_default", ""),
    ("no_quorum_policy", "no-quorum-policy"),
    ("notification-agent", ""),
    ("notification-recipient", ""),
    ("crmd-finalization-timeout", "join-finalization-timeout"),
    ("crmd-integration-timeout", "join-integration-timeout"),
    ("crmd-transition-delay", "transition-delay"),
    ("shutdown_escalation", "shutdown-escalation"),
    ("stonith_enabled", "stonith-enabled"),
];

/// Cluster options that became defaults of resources or operations.
const DEFAULTS: [(&str, Section, &str); 7] = [
    (
        "default-resource-stickiness",
        Section::ResourceDefaults,
        "resource-stickiness",
    ),
    (
        "default_resource_stickiness",
        Section::ResourceDefaults,
        "resource-stickiness",
    ),
    (
        "default-migration-threshold",
        Section::ResourceDefaults,
        "migration-threshold",
    ),
    (
        "is-managed-default",
        Section::ResourceDefaults,
        "is-managed",
    ),
    (
        "is_managed_default",
        Section::ResourceDefaults,
        "is-managed",
    ),
    (
        "default-action-timeout",
        Section::OperationDefaults,
        "timeout",
    ),
    (
        "default_action_timeout",
        Section::OperationDefaults,
        "timeout",
    ),
];

/// Meta-attributes and parameters of resources that were renamed; an empty name means removed.
const NAMES: [(&str, &str); 9] = [
    ("resource_stickiness", "resource-stickiness"),
    ("is_managed", "is-managed"),
    ("target_role", "target-role"),
    ("resource-failure-stickiness", ""),
    ("resource_failure_stickiness", ""),
    ("pcmk_arg_map", "pcmk_host_argument"),
    ("pcmk_list_cmd", "pcmk_list_action"),
    ("pcmk_monitor_cmd", "pcmk_monitor_action"),
    ("pcmk_status_cmd", "pcmk_status_action"),
];

/// Major and minor version of a schema.
fn version_of(schema: &str) -> Option<(u32, u32)> {
    let (major, minor) = schema.strip_prefix("pacemaker-")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Rewrites a CIB for a newer schema. Returns whether anything but the schema's name changed.
///
/// # Errors
/// The schema is not known, or newer than the target already.
pub fn upgrade(cib: &mut Cib, target: &str) -> Result<bool, UpgradeError> {
    let present = cib
        .root()
        .attr("validate-with")
        .unwrap_or("pacemaker-1.0")
        .to_owned();
    let from = version_of(&present).ok_or_else(|| UpgradeError::Unknown(present.clone()))?;
    let to = version_of(target).ok_or_else(|| UpgradeError::Unknown(target.to_owned()))?;
    if from > to {
        let target = target.to_owned();
        return Err(UpgradeError::Newer { present, target });
    }
    let before = cib.to_text();
    if from < (2, 0) && to >= (2, 0) {
        acls(cib);
        for node in below(cib, Section::Nodes, |e| e.attr("type") == Some("normal")) {
            cib.document_mut().set_attr(node, "type", "member");
        }
    }
    if from < (3, 0) && to >= (3, 0) {
        options(cib);
        resources(cib);
        masters(cib);
    }
    let changed = cib.to_text() != before;
    let root = cib.root().key();
    cib.document_mut().set_attr(root, "validate-with", target);
    Ok(changed)
}

fn below(cib: &Cib, section: Section, fits: impl Fn(&Element<'_>) -> bool) -> Vec<ElementId> {
    let section = cib.section(section).into_iter();
    let all = section.flat_map(Element::descendants);
    all.filter(fits).map(Element::key).collect()
}

/// Permissions and users have other names since 2.0.
fn acls(cib: &mut Cib) {
    for user in below(cib, Section::Acls, |e| e.name() == "acl_user") {
        let element = cib.document().element(user);
        let own: Vec<ElementId> = element
            .children()
            .filter(|c| matches!(c.name(), "read" | "write" | "deny"))
            .map(Element::key)
            .collect();
        let id = element.id().to_owned();
        // What stood in the user becomes a role of its own.
        if !own.is_empty() {
            let section = cib.section_or_append(Section::Acls);
            let role = cib.document_mut().append(section, "acl_role");
            let name = format!("auto-{id}");
            cib.document_mut().set_attr(role, "id", &name);
            for permission in own {
                let copy = cib.document().extract(permission);
                cib.document_mut()
                    .append_copy(role, &copy, copy.root().key());
                cib.document_mut().remove(permission);
            }
            let reference = cib.document_mut().append(user, "role_ref");
            cib.document_mut().set_attr(reference, "id", &name);
        }
        rename(cib.document_mut(), user, "acl_target");
    }
    for reference in below(cib, Section::Acls, |e| e.name() == "role_ref") {
        rename(cib.document_mut(), reference, "role");
    }
    let old = |e: &Element<'_>| matches!(e.name(), "read" | "write" | "deny");
    for permission in below(cib, Section::Acls, old) {
        let kind = cib.document().element(permission).name().to_owned();
        let document = cib.document_mut();
        document.set_attr(permission, "kind", &kind);
        for (old, new) in [("tag", "object-type"), ("ref", "reference")] {
            rename_attribute(document, permission, old, new);
        }
        rename(document, permission, "acl_permission");
    }
}

fn rename(document: &mut Document, element: ElementId, name: &str) {
    document.rename(element, name);
}

fn rename_attribute(document: &mut Document, element: ElementId, old: &str, new: &str) {
    if let Some(value) = document.element(element).attr(old).map(str::to_owned) {
        document.remove_attr(element, old);
        document.set_attr(element, new, &value);
    }
}

fn options(cib: &mut Cib) {
    for pair in below(cib, Section::Options, |e| e.name() == "nvpair") {
        let element = cib.document().element(pair);
        let name = element.attr("name").unwrap_or("").to_owned();
        let value = element.attr("value").unwrap_or("").to_owned();
        if let Some((_, section, new)) = DEFAULTS.iter().find(|(old, ..)| *old == name) {
            add_default(cib, *section, new, &value);
            cib.document_mut().remove(pair);
            continue;
        }
        match OPTIONS.iter().find(|(old, _)| *old == name) {
            Some((_, "")) => cib.document_mut().remove(pair),
            Some((_, new)) => cib.document_mut().set_attr(pair, "name", new),
            None => {}
        }
    }
}

fn add_default(cib: &mut Cib, section: Section, name: &str, value: &str) {
    let prefix = match section {
        Section::OperationDefaults => "op-options-upgraded",
        _ => "rsc-options-upgraded",
    };
    let parent = cib.section_or_append(section);
    let document = cib.document_mut();
    let set = document.child_or_append(parent, "meta_attributes");
    if document.element(set).attr("id").is_none() {
        document.set_attr(set, "id", prefix);
    }
    // What is set there already goes first.
    let known = document
        .element(set)
        .children()
        .any(|p| p.attr("name") == Some(name));
    if !known {
        let pair = document.append(set, "nvpair");
        document.set_attr(pair, "id", &format!("{prefix}-{name}"));
        document.set_attr(pair, "name", name);
        document.set_attr(pair, "value", value);
    }
}

fn resources(cib: &mut Cib) {
    for pair in below(cib, Section::Resources, |e| e.name() == "nvpair") {
        let name = cib
            .document()
            .element(pair)
            .attr("name")
            .unwrap_or("")
            .to_owned();
        let document = cib.document_mut();
        match NAMES.iter().find(|(old, _)| *old == name) {
            Some((_, "")) => document.remove(pair),
            Some((_, new)) => document.set_attr(pair, "name", new),
            None => {}
        }
    }
    for op in below(cib, Section::Resources, |e| e.name() == "op") {
        let document = cib.document_mut();
        rename_attribute(document, op, "start_delay", "start-delay");
        rename_attribute(document, op, "on_fail", "on-fail");
        // That a start needs something is said by the resource since then.
        if let Some(value) = document.element(op).attr("requires").map(str::to_owned) {
            let is_start = document.element(op).attr("name") == Some("start");
            document.remove_attr(op, "requires");
            if is_start {
                let resource = document.element(op).parent().and_then(Element::parent);
                if let Some(resource) = resource.map(Element::key) {
                    require(document, resource, &value);
                }
            }
        }
    }
}

fn require(document: &mut Document, resource: ElementId, value: &str) {
    let id = document.element(resource).id().to_owned();
    let known = document
        .element(resource)
        .child("meta_attributes")
        .map(Element::key);
    let set = known.unwrap_or_else(|| {
        let set = document.append(resource, "meta_attributes");
        document.set_attr(set, "id", &format!("{id}-upgraded-meta"));
        set
    });
    let pair = document.append(set, "nvpair");
    document.set_attr(pair, "id", &format!("{id}-upgraded-requires"));
    document.set_attr(pair, "name", "requires");
    document.set_attr(pair, "value", value);
}

/// `<master>` is a clone that can be promoted.
fn masters(cib: &mut Cib) {
    for master in below(cib, Section::Resources, |e| e.name() == "master") {
        let id = cib.document().element(master).id().to_owned();
        let document = cib.document_mut();
        rename(document, master, "clone");
        let known = document
            .element(master)
            .child("meta_attributes")
            .map(Element::key);
        let set = known.unwrap_or_else(|| {
            let set = document.append(master, "meta_attributes");
            let at = set.0;
            document.detach(at);
            document.insert_at(master, 0, at);
            document.set_attr(set, "id", &format!("{id}-upgraded-meta"));
            set
        });
        let pair = document.append(set, "nvpair");
        document.set_attr(pair, "id", &format!("{id}-upgraded-promotable"));
        document.set_attr(pair, "name", "promotable");
        document.set_attr(pair, "value", "true");
        let names: Vec<ElementId> = document
            .element(set)
            .children()
            .filter(|p| p.name() == "nvpair")
            .map(Element::key)
            .collect();
        for pair in names {
            let new = match document.element(pair).attr("name") {
                Some("master-max" | "master_max") => "promoted-max",
                Some("master-node-max" | "master_node_max") => "promoted-node-max",
                _ => continue,
            };
            document.set_attr(pair, "name", new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgraded(schema: &str, inside: &str) -> String {
        let text = format!(
            "<cib validate-with=\"{schema}\" admin_epoch=\"0\" epoch=\"0\" num_updates=\"0\"><configuration>{inside}\
             </configuration><status/></cib>"
        );
        let mut cib = Cib::parse(&text, None).expect("a CIB");
        upgrade(&mut cib, TARGET).expect("upgraded");
        cib.to_text()
    }

    #[test]
    fn old_words_become_new_ones() {
        let options = "<crm_config><cluster_property_set id=\"o\"><nvpair id=\"a\" name=\"default-resource-stickiness\" \
                       value=\"7\"/><nvpair id=\"b\" name=\"dc_deadtime\" value=\"9\"/></cluster_property_set></crm_config>";
        let text = upgraded("pacemaker-2.6", options);
        assert!(
            text.contains("name=\"resource-stickiness\" value=\"7\""),
            "{text}"
        );
        assert!(text.contains("name=\"dc-deadtime\""), "{text}");
        let master = "<resources><master id=\"m\"><meta_attributes id=\"x\"><nvpair id=\"y\" name=\"master-max\" value=\"2\"/>\
                      </meta_attributes><primitive id=\"p\" class=\"lsb\" type=\"t\"><operations><op id=\"s\" name=\"start\" \
                      interval=\"0\" requires=\"nothing\"/></operations></primitive></master></resources>";
        let text = upgraded("pacemaker-2.6", master);
        assert!(
            text.contains("<clone id=\"m\">") && text.contains("promoted-max"),
            "{text}"
        );
        assert!(
            text.contains("name=\"promotable\" value=\"true\""),
            "{text}"
        );
        assert!(
            text.contains("name=\"requires\" value=\"nothing\""),
            "{text}"
        );
        let acls = "<acls><acl_user id=\"joe\"><read id=\"r\" tag=\"nodes\"/><role_ref id=\"q\"/></acl_user></acls>";
        let text = upgraded("pacemaker-1.2", acls);
        assert!(
            text.contains("<acl_target id=\"joe\">") && text.contains("<role id=\"q\"/>"),
            "{text}"
        );
        assert!(
            text.contains("kind=\"read\" object-type=\"nodes\"")
                || text.contains("object-type=\"nodes\""),
            "{text}"
        );
    }

    #[test]
    fn what_is_new_stays_and_what_is_newer_is_refused() {
        let mut cib = Cib::empty();
        let before = cib.to_text();
        assert_eq!(upgrade(&mut cib, TARGET), Ok(false));
        assert_eq!(cib.to_text(), before);
        let root = cib.root().key();
        cib.document_mut()
            .set_attr(root, "validate-with", "pacemaker-4.0");
        assert!(matches!(
            upgrade(&mut cib, TARGET),
            Err(UpgradeError::Newer { .. })
        ));
        cib.document_mut()
            .set_attr(root, "validate-with", "transitional");
        assert!(matches!(
            upgrade(&mut cib, TARGET),
            Err(UpgradeError::Unknown(_))
        ));
    }
}
