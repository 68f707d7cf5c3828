//! Who may see and change what: the `acls` section.
//!
//! Each permission names elements by an XPath. Of an element and all it is in, the nearest that a
//! permission names decides: a refusal ends the matter, a permission to write allows everything, one to
//! read allows looking. What nothing names is refused.

use std::collections::HashMap;

use crate::arrange::Child;
use crate::cib::{Cib, Section};
use crate::patch;
use crate::xml::{Document, Element, ElementId, Kind};
use crate::xpath::{XPath, path_of};

/// Users who are not restricted: the administrator, and the cluster's own.
const UNRESTRICTED: [&str; 2] = ["root", "hacluster"];

/// What a permission allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    Read,
    Write,
    Deny,
}

/// A change that its author may not make. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{user} may not change {path}: the acls section gives no permission to write there")]
pub struct Refused {
    /// Who.
    pub user: String,
    /// What was to be changed.
    pub path: String,
}

/// What one user may do.
#[derive(Debug, Clone)]
pub struct Acl {
    user: String,
    permissions: Vec<(Grant, XPath)>,
    /// Permissions that cannot be read count for nothing; why.
    pub unreadable: Vec<String>,
}

/// What permissions say about elements of one document.
#[derive(Default)]
struct Marks {
    read: HashMap<ElementId, ()>,
    write: HashMap<ElementId, ()>,
    deny: HashMap<ElementId, ()>,
}

impl Acl {
    /// What a user in some groups may do; none if everything is allowed, because ACLs are off or the
    /// user is not restricted.
    pub fn of(cib: &Cib, user: &str, groups: &[String]) -> Option<Self> {
        if UNRESTRICTED.contains(&user) || !is_enabled(cib) {
            return None;
        }
        let mut acl = Self {
            user: user.to_owned(),
            permissions: Vec::new(),
            unreadable: Vec::new(),
        };
        let Some(section) = cib.section(Section::Acls) else {
            return Some(acl);
        };
        for entry in section.children() {
            let name = entry.attr("name").unwrap_or_else(|| entry.id());
            let mine = match entry.name() {
                "acl_target" | "acl_user" => name == user,
                "acl_group" => groups.iter().any(|g| g == name),
                _ => false,
            };
            if !mine {
                continue;
            }
            acl.collect(entry);
            for child in entry.children() {
                if matches!(child.name(), "role" | "role_ref") {
                    let mut roles = section.children_named("acl_role");
                    if let Some(role) = roles.find(|r| r.id() == child.id()) {
                        acl.collect(role);
                    }
                }
            }
        }
        Some(acl)
    }

    fn collect(&mut self, role: Element<'_>) {
        for permission in role.children() {
            let kind = match permission.name() {
                "acl_permission" => permission.attr("kind").unwrap_or(""),
                other => other,
            };
            let grant = match kind {
                "read" => Grant::Read,
                "write" => Grant::Write,
                "deny" => Grant::Deny,
                _ => continue,
            };
            let Some(text) = xpath_text(permission) else {
                continue;
            };
            match XPath::parse(&text) {
                Ok(xpath) => self.permissions.push((grant, xpath)),
                Err(e) => self.unreadable.push(format!("{}: {e}", permission.id())),
            }
        }
    }

    fn marks(&self, document: &Document) -> Marks {
        let mut marks = Marks::default();
        for (grant, xpath) in &self.permissions {
            let list = match grant {
                Grant::Read => &mut marks.read,
                Grant::Write => &mut marks.write,
                Grant::Deny => &mut marks.deny,
            };
            for element in xpath.elements(document).unwrap_or_default() {
                list.insert(element, ());
            }
        }
        marks
    }

    /// The CIB as the user may see it; none if there is nothing to see. Of an element that only leads
    /// to a visible one, the name and id are left.
    pub fn visible(&self, cib: &Cib) -> Option<Cib> {
        let source = cib.document();
        let marks = self.marks(source);
        let mut document = Document::new(source.root().name());
        let root = document.root().key();
        let from = source.root();
        let seen = copy_visible(&marks, source, from, (&mut document, root), false);
        seen.then_some(Cib { document })
    }

    /// Whether the user may make `new` out of `old`.
    ///
    /// # Errors
    /// The first change that is not allowed.
    pub fn permits(&self, old: &Cib, new: &Cib) -> Result<(), Refused> {
        let options = patch::Options::default();
        let Some(patch) = patch::diff(old.document(), new.document(), options) else {
            return Ok(());
        };
        let before = self.marks(old.document());
        let after = self.marks(new.document());
        let refuse = |path: String| {
            let user = self.user.clone();
            Err(Refused { user, path })
        };
        for change in patch.root().children_named("change") {
            let path = change.attr("path").unwrap_or("");
            match change.attr("operation") {
                Some("delete" | "move" | "modify") => {
                    let element = patch::path_element(old.document(), path);
                    let allowed = match element {
                        Some(e) => before.may_write(old.document(), e),
                        // A comment: as what it is in.
                        None => path.strip_suffix("/comment").is_some_and(|parent| {
                            patch::path_element(old.document(), parent)
                                .is_some_and(|e| before.may_write(old.document(), e))
                        }),
                    };
                    if !allowed {
                        return refuse(path.to_owned());
                    }
                }
                _ => {
                    let position = change
                        .attr("position")
                        .and_then(|p| p.parse::<usize>().ok());
                    let parent = patch::path_element(new.document(), path);
                    let created = parent.zip(position).and_then(|(parent, position)| {
                        new.document().counted(parent).get(position).copied()
                    });
                    let allowed = match (created, parent) {
                        (Some(child), _) if child.kind == Kind::Element => {
                            after.may_create(new.document(), ElementId(child.id))
                        }
                        (_, Some(parent)) => after.may_write(new.document(), parent),
                        _ => false,
                    };
                    if !allowed {
                        let element = change.children().next().map_or("", Element::id);
                        return refuse(format!("{path} (new: {element})"));
                    }
                }
            }
        }
        Ok(())
    }

    /// The path of every element with what the user may do there, for display.
    pub fn annotated(&self, cib: &Cib) -> Vec<(String, &'static str)> {
        let marks = self.marks(cib.document());
        let all = cib.root().descendants();
        all.map(|e| {
            let key = e.key();
            let what = if marks.may_write(cib.document(), key) {
                "writable"
            } else if marks.may_read(cib.document(), key) {
                "readable"
            } else {
                "denied"
            };
            (path_of(cib.document(), key), what)
        })
        .collect()
    }
}

fn is_enabled(cib: &Cib) -> bool {
    let options = cib.section(Section::Options);
    let mut pairs = options.into_iter().flat_map(|o| o.descendants());
    let pair = pairs.find(|p| p.name() == "nvpair" && p.attr("name") == Some("enable-acl"));
    let value = pair.and_then(|p| p.attr("value")).unwrap_or("");
    let truths = ["true", "yes", "on", "y", "1"];
    truths.iter().any(|t| value.eq_ignore_ascii_case(t))
}

/// The XPath that a permission amounts to.
fn xpath_text(permission: Element<'_>) -> Option<String> {
    if let Some(xpath) = permission.attr("xpath") {
        return Some(xpath.to_owned());
    }
    let kind = permission
        .attr("object-type")
        .or_else(|| permission.attr("tag"));
    let reference = permission
        .attr("reference")
        .or_else(|| permission.attr("ref"));
    if kind.is_none() && reference.is_none() {
        return None;
    }
    let mut text = format!("//{}", kind.unwrap_or("*"));
    if let Some(reference) = reference {
        text.push_str(&format!("[@id='{reference}']"));
    }
    if let Some(attribute) = permission.attr("attribute") {
        text.push_str(&format!("[@{attribute}]"));
    }
    Some(text)
}

impl Marks {
    /// Walks from an element outwards until something decides.
    fn decide(&self, document: &Document, element: ElementId, write: bool) -> bool {
        let mut at = Some(document.element(element));
        while let Some(e) = at {
            let key = e.key();
            if self.deny.contains_key(&key) {
                return false;
            }
            if self.write.contains_key(&key) || (!write && self.read.contains_key(&key)) {
                return true;
            }
            at = e.parent();
        }
        false
    }

    fn may_read(&self, document: &Document, element: ElementId) -> bool {
        self.decide(document, element, false)
    }

    fn may_write(&self, document: &Document, element: ElementId) -> bool {
        self.decide(document, element, true)
    }

    /// Whether a new element, with all in it, may be there: what only leads to something that may be
    /// written, and says nothing but its name and id, may be too.
    fn may_create(&self, document: &Document, element: ElementId) -> bool {
        let view = document.element(element);
        let scaffolding = view.attributes().all(|(name, _)| name == "id");
        if !scaffolding && !self.may_write(document, element) {
            return false;
        }
        let bare = view.children().next().is_none();
        if scaffolding && bare && !self.may_write(document, element) {
            return false;
        }
        view.children().all(|c| self.may_create(document, c.key()))
    }
}

/// Copies what is visible below `from`; tells whether anything is.
fn copy_visible(
    marks: &Marks,
    source: &Document,
    from: Element<'_>,
    (document, to): (&mut Document, ElementId),
    inherited: bool,
) -> bool {
    let key = from.key();
    let readable = if marks.deny.contains_key(&key) {
        false
    } else {
        inherited || marks.read.contains_key(&key) || marks.write.contains_key(&key)
    };
    for (name, value) in from.attributes() {
        if readable || name == "id" {
            document.set_attr(to, name, value);
        }
    }
    let mut seen = readable;
    for child in source.counted(key) {
        let Child { id, kind } = child;
        if kind != Kind::Element {
            if readable {
                document.append_any(to, source, child);
            }
            continue;
        }
        let element = source.element(ElementId(id));
        let copy = document.append(to, element.name());
        if copy_visible(marks, source, element, (document, copy), readable) {
            seen = true;
        } else {
            document.remove(copy);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"<cib admin_epoch="0" epoch="1" num_updates="0"><configuration><crm_config>
<cluster_property_set id="o"><nvpair id="e" name="enable-acl" value="true"/><nvpair id="s" name="secret" value="1"/></cluster_property_set></crm_config>
<nodes/><resources><primitive id="A" class="lsb" type="t"><meta_attributes id="A-m"><nvpair id="A-t" name="target-role" value="Stopped"/></meta_attributes></primitive>
<primitive id="B" class="lsb" type="t"/></resources><constraints/>
<acls><acl_target id="joe"><role id="r"/></acl_target><acl_group id="ops"><role id="w"/></acl_group>
<acl_role id="r"><acl_permission id="r1" kind="read" xpath="/cib"/><acl_permission id="r2" kind="deny" reference="s"/>
<acl_permission id="r3" kind="write" xpath="//nvpair[@name='target-role']"/></acl_role>
<acl_role id="w"><acl_permission id="w1" kind="write" object-type="resources"/><acl_permission id="w2" kind="deny" reference="B"/></acl_role>
</acls></configuration><status/></cib>"#;

    fn cib() -> Cib {
        Cib::parse(TEXT, None).expect("a CIB")
    }

    fn changed(from: &str, to: &str) -> Cib {
        assert!(TEXT.contains(from), "{from}");
        Cib::parse(&TEXT.replace(from, to), None).expect("a CIB")
    }

    #[test]
    fn some_are_not_restricted() {
        assert!(Acl::of(&cib(), "root", &[]).is_none());
        assert!(Acl::of(&cib(), "hacluster", &[]).is_none());
        let off = changed(
            "name=\"enable-acl\" value=\"true\"",
            "name=\"enable-acl\" value=\"false\"",
        );
        assert!(Acl::of(&off, "joe", &[]).is_none());
    }

    #[test]
    fn a_reader_sees_what_is_not_denied() {
        let joe = Acl::of(&cib(), "joe", &[]).expect("restricted");
        let seen = joe.visible(&cib()).expect("something").to_text();
        assert!(
            seen.contains("enable-acl") && !seen.contains("secret"),
            "{seen}"
        );
        let nobody = Acl::of(&cib(), "eve", &[]).expect("restricted");
        assert!(nobody.visible(&cib()).is_none());
        let ops = Acl::of(&cib(), "eve", &["ops".to_owned()]).expect("restricted");
        let seen = ops.visible(&cib()).expect("something").to_text();
        assert!(
            seen.contains("\"A\" class") && !seen.contains("\"B\""),
            "{seen}"
        );
        // What only leads there says nothing of itself.
        assert!(seen.starts_with("<cib>"), "{seen}");
    }

    #[test]
    fn changes_need_a_permission_to_write() {
        let joe = Acl::of(&cib(), "joe", &[]).expect("restricted");
        let ops = Acl::of(&cib(), "eve", &["ops".to_owned()]).expect("restricted");
        let start = changed("value=\"Stopped\"", "value=\"Started\"");
        let other = changed("id=\"A\" class=\"lsb\"", "id=\"A\" class=\"ocf\"");
        let denied = changed("id=\"B\" class=\"lsb\"", "id=\"B\" class=\"ocf\"");
        let removed = changed("<primitive id=\"B\" class=\"lsb\" type=\"t\"/>", "");
        let added = changed(
            "</resources>",
            "<primitive id=\"C\" class=\"lsb\" type=\"t\"/></resources>",
        );
        let elsewhere = changed("<nodes/>", "<nodes><node id=\"1\" uname=\"n\"/></nodes>");
        for (new, may_joe, may_ops) in [
            (&start, true, true),
            (&other, false, true),
            (&denied, false, false),
            (&removed, false, false),
            (&added, false, true),
            (&elsewhere, false, false),
            (&cib(), true, true),
        ] {
            assert_eq!(
                joe.permits(&cib(), new).is_ok(),
                may_joe,
                "{}",
                new.to_text()
            );
            assert_eq!(
                ops.permits(&cib(), new).is_ok(),
                may_ops,
                "{}",
                new.to_text()
            );
        }
        let refused = joe
            .permits(&cib(), &other)
            .expect_err("not allowed")
            .to_string();
        assert!(
            refused.contains("joe") && refused.contains("primitive[@id='A']"),
            "{refused}"
        );
    }
}
