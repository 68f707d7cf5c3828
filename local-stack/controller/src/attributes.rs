//! Transient node attributes, as agents and operators set them.

use cib::Section;

use crate::controller::Controller;
use crate::types::Now;

/// Longest name and value that are taken, in bytes: they are kept in every copy of the CIB.
const BYTES_MAX: usize = 4096;

/// Values beyond these are infinite.
const INFINITY: i64 = 1_000_000;

impl Controller {
    /// Sets (or, without a value, deletes) a transient attribute of a node; of this one if none is
    /// named. The value `NAME++` counts up by one, `NAME+=N` by N, from what this node's copy of the CIB
    /// says: of two nodes that count the same attribute up at once, one may be lost. A node alone has
    /// it set when this returns; one of several has proposed it, and it comes with the other changes.
    ///
    /// # Errors
    /// What is wrong with the request; nothing was changed.
    pub fn handle_attribute(
        &mut self,
        now: Now,
        node: Option<&str>,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), String> {
        let length = name.len().max(value.map_or(0, str::len));
        if name.is_empty() || length > BYTES_MAX {
            return Err(format!("a name or value of {length} bytes is not taken"));
        }
        let known = node.is_none_or(|node| self.is_known(node));
        if !known {
            return Err(format!("no node {}", node.unwrap_or_default()));
        }
        let value = value.map(|text| {
            let target = self.named_or_this(node);
            let before = self.transient(&target.id, name);
            counted(name, text, before.as_deref())
        });
        self.set_attribute(now, node, name, value.as_deref());
        Ok(())
    }

    fn is_known(&self, uname: &str) -> bool {
        let nodes = self.replica.cib().section(Section::Nodes);
        let mut names = nodes.into_iter().flat_map(cib::Element::children);
        uname == self.node.uname
            || names.any(|node| node.attr("uname") == Some(uname))
            || self.replica.number_of(uname).is_some()
    }

    fn transient(&self, node: &str, name: &str) -> Option<String> {
        let status = self.replica.cib().section(Section::Status)?;
        let state = status.children().find(|state| state.id() == node)?;
        let set = state
            .child("transient_attributes")?
            .child("instance_attributes")?;
        let pair = set
            .children()
            .find(|pair| pair.attr("name") == Some(name))?;
        pair.attr("value").map(str::to_owned)
    }
}

/// A value that counts up from the one before.
fn counted(name: &str, text: &str, before: Option<&str>) -> String {
    let step = match text.strip_prefix(name) {
        Some("++") => Some(1),
        Some(rest) => rest.strip_prefix("+=").and_then(|n| n.parse().ok()),
        None => None,
    };
    let Some(step) = step else {
        return text.to_owned();
    };
    let base: i64 = match before {
        Some("INFINITY" | "+INFINITY") => INFINITY,
        Some("-INFINITY") => -INFINITY,
        Some(text) => text.parse().unwrap_or(0),
        None => 0,
    };
    match base.saturating_add(step) {
        INFINITY.. => "INFINITY".to_owned(),
        sum if sum <= -INFINITY => "-INFINITY".to_owned(),
        sum => sum.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn values_that_count_up() {
        for (text, before, after) in [
            ("x++", None, "1"),
            ("x++", Some("4"), "5"),
            ("x+=10", Some("-3"), "7"),
            ("x++", Some("999999"), "INFINITY"),
            ("x+=1", Some("-INFINITY"), "-999999"),
            ("5", Some("4"), "5"),
            ("y++", Some("4"), "y++"),
        ] {
            assert_eq!(counted("x", text, before), after, "{text} {before:?}");
        }
    }
}
