//! Clones and their instances.

use std::borrow::Cow;

use cib::Element;

use crate::expand_bundle::INSTANCES_MAX;
use crate::ids::RscId;
use crate::model::{CloneData, RscFlags};
use crate::plan::Plan;
use crate::text;

impl<'a> Plan<'a> {
    fn count_of(&self, rsc: RscId, name: &str, former: &str, default: i32) -> i32 {
        let r = &self.rsc[rsc];
        let value = r.meta(name).or_else(|| r.meta(former));
        value.map_or(default, |v| {
            let number = text::leading_int(v).unwrap_or(0).max(0);
            i32::try_from(number).unwrap_or(i32::MAX)
        })
    }

    pub(crate) fn unpack_clone(&mut self, rsc: RscId) -> bool {
        let nodes = i32::try_from(self.node.len()).unwrap_or(i32::MAX).max(1);
        let promotable = self.rsc[rsc].is(RscFlags::PROMOTABLE);
        let mut data = CloneData {
            max: self.count_of(rsc, "clone-max", "", nodes),
            node_max: self.count_of(rsc, "clone-node-max", "", 1),
            ordered: self.rsc[rsc].meta_true("ordered"),
            ..CloneData::default()
        };
        if promotable {
            data.promoted_max = self.count_of(rsc, "promoted-max", "master-max", 1);
            data.promoted_node_max = self.count_of(rsc, "promoted-node-max", "master-node-max", 1);
        }
        let unique = self.rsc[rsc].is(RscFlags::UNIQUE);
        if !unique && data.node_max > 1 {
            data.node_max = 1;
        }
        let Some(child) = self.cloned_element(rsc) else {
            return false;
        };
        if data.max > INSTANCES_MAX {
            let id = &self.rsc[rsc].id;
            self.diagnostics.push(format!(
                "clone {id}: clone-max is {}, and {INSTANCES_MAX} is the most; take a smaller one",
                data.max
            ));
            data.max = INSTANCES_MAX;
        }
        let count = data.max.max(1);
        self.rsc[rsc].clone = Some(Box::new(data));
        let meta = &mut self.rsc[rsc].meta;
        // A little stickiness keeps instances from moving for nothing.
        meta.entry(Cow::Borrowed("resource-stickiness"))
            .or_insert(Cow::Borrowed("1"));
        let unique = if unique { "true" } else { "false" };
        meta.insert(Cow::Borrowed("globally-unique"), Cow::Borrowed(unique));
        for _ in 0..count {
            if self.create_instance(rsc, child).is_none() {
                return false;
            }
        }
        true
    }

    pub(crate) fn cloned_element(&self, rsc: RscId) -> Option<Element<'a>> {
        self.rsc[rsc]
            .xml
            .children()
            .find(|c| matches!(c.name(), "primitive" | "group"))
    }

    /// Makes one more instance; one too many is a removed one.
    pub(crate) fn create_instance(&mut self, clone: RscId, child: Element<'a>) -> Option<RscId> {
        let data = self.rsc[clone].clone.as_ref()?;
        let (number, max) = (data.total, data.max);
        let instance = self.unpack_resource(child, Some(clone), Some(number))?;
        if let Some(data) = self.rsc[clone].clone.as_mut() {
            data.total += 1;
        }
        self.rsc[clone].children.push(instance);
        if number >= max {
            self.set_recursive(instance, RscFlags::REMOVED);
        }
        let max = Cow::Owned(max.to_string());
        self.rsc[instance]
            .meta
            .insert(Cow::Borrowed("clone-max"), max);
        Some(instance)
    }
}
