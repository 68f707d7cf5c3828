//! Sets of resources in constraints; templates and tags stand for sets, too.

use cib::Element;

use crate::plan::Plan;
use crate::text;

/// A set of resources.
#[derive(Debug, Clone)]
pub(super) struct Set<'a> {
    pub(super) id: &'a str,
    /// The set as written, unless a template or tag stands for it.
    pub(super) element: Option<Element<'a>>,
    pub(super) members: Vec<&'a str>,
    pub(super) sequential: Option<bool>,
    pub(super) role: Option<&'a str>,
    pub(super) action: Option<&'a str>,
}

impl<'a> Set<'a> {
    pub(super) fn attr(&self, name: &str) -> Option<&'a str> {
        self.element.and_then(|e| e.attr(name))
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        self.attr(name)
            .and_then(text::parse_bool)
            .unwrap_or(default)
    }
}

/// One side of a constraint: the attribute that names it, and its role and action.
pub(super) struct SideOf<'a> {
    pub(super) attribute: &'static str,
    pub(super) role: Option<&'a str>,
    pub(super) action: Option<&'a str>,
}

impl<'a> Plan<'a> {
    fn members_of_tag(&self, id: &str) -> Option<&Vec<&'a str>> {
        let found = self.templates.get(id).or_else(|| self.tags.get(id));
        found.filter(|members| !members.is_empty())
    }

    /// The sets of a constraint. An error: it is void. An empty list: it has none.
    pub(super) fn sets(
        &self,
        constraint: Element<'a>,
        sides: &[SideOf<'a>],
        convert_all: bool,
    ) -> Result<Vec<Set<'a>>, ()> {
        if constraint.child("resource_set").is_some() {
            return constraint
                .children_named("resource_set")
                .map(|written| self.written_set(written))
                .collect();
        }
        self.sets_for_tags(constraint, sides, convert_all)
    }

    fn written_set(&self, written: Element<'a>) -> Result<Set<'a>, ()> {
        let element = self.references.resolve(written).ok_or(())?;
        let mut members = Vec::new();
        for reference in element.children_named("resource_ref") {
            let id = reference.id();
            match self.members_of_tag(id) {
                Some(tagged) if self.constrained(id).is_none() => members.extend(tagged),
                _ => members.push(id),
            }
        }
        Ok(Set {
            id: element.attr("id").ok_or(())?,
            element: Some(element),
            members,
            sequential: element.attr("sequential").and_then(text::parse_bool),
            role: element.attr("role"),
            action: element.attr("action"),
        })
    }

    fn sets_for_tags(
        &self,
        constraint: Element<'a>,
        sides: &[SideOf<'a>],
        convert_all: bool,
    ) -> Result<Vec<Set<'a>>, ()> {
        let mut named = Vec::new();
        for side in sides {
            let Some(id) = constraint.attr(side.attribute) else {
                return Ok(Vec::new());
            };
            named.push((side, id));
        }
        let mut any_tag = false;
        let mut sets = Vec::new();
        for (side, id) in named {
            let is_resource = self.constrained(id).is_some();
            let members = if is_resource {
                vec![id]
            } else {
                any_tag = true;
                self.members_of_tag(id).ok_or(())?.clone()
            };
            if !is_resource || convert_all {
                sets.push(Set {
                    id,
                    element: None,
                    members,
                    sequential: (!is_resource).then_some(false),
                    role: side.role,
                    action: side.action,
                });
            }
        }
        if any_tag { Ok(sets) } else { Ok(Vec::new()) }
    }
}
