//! Ordering constraints.

use cib::Element;

use super::sets::{Set, SideOf};
use crate::action::{ActFlags, Relation, Side};
use crate::ids::RscId;
use crate::plan::Plan;
use crate::text;
use crate::words::Word;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Optional,
    Mandatory,
    Serialize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symmetry {
    Asymmetric,
    Symmetric,
    Inverse,
}

fn kind_of(kind: Option<&str>, score: Option<&str>) -> Kind {
    match kind {
        None if score.is_some_and(|s| text::parse_score(s) == 0) => Kind::Optional,
        Some("Optional") => Kind::Optional,
        Some("Serialize") => Kind::Serialize,
        _ => Kind::Mandatory,
    }
}

fn symmetry_of(explicit: Option<bool>, kind: Kind) -> Symmetry {
    let default = kind != Kind::Serialize;
    if explicit.unwrap_or(default) && kind != Kind::Serialize {
        Symmetry::Symmetric
    } else {
        Symmetry::Asymmetric
    }
}

fn flags_for(kind: Kind, first: Word, symmetry: Symmetry) -> Relation {
    match (kind, symmetry) {
        (Kind::Optional, _) => Relation::ORDERED,
        (Kind::Serialize, _) => Relation::SERIALIZE,
        (Kind::Mandatory, Symmetry::Asymmetric) => Relation::ORDERED | Relation::ASYMMETRIC,
        (Kind::Mandatory, Symmetry::Symmetric) => {
            let flags = Relation::ORDERED | Relation::FIRST_IMPLIES_THEN;
            if matches!(first, Word::START | Word::PROMOTE) {
                flags | Relation::UNRUNNABLE_BLOCKS
            } else {
                flags
            }
        }
        (Kind::Mandatory, Symmetry::Inverse) => Relation::ORDERED | Relation::THEN_IMPLIES_FIRST,
    }
}

fn inverse(action: Word) -> Option<Word> {
    Some(match action {
        Word::START => Word::STOP,
        Word::STOP => Word::START,
        Word::PROMOTE => Word::DEMOTE,
        Word::DEMOTE => Word::PROMOTE,
        Word::PROMOTED => Word::DEMOTED,
        Word::DEMOTED => Word::PROMOTED,
        Word::RUNNING => Word::STOPPED,
        Word::STOPPED => Word::RUNNING,
        _ => return None,
    })
}

impl<'a> Plan<'a> {
    fn word_or_start(&mut self, action: Option<&str>) -> Word {
        action.map_or(Word::START, |a| self.words.get(a))
    }

    pub(super) fn unpack_order(&mut self, element: Element<'a>) {
        let sides = [
            SideOf {
                attribute: "first",
                role: None,
                action: element.attr("first-action"),
            },
            SideOf {
                attribute: "then",
                role: None,
                action: element.attr("then-action"),
            },
        ];
        let Ok(sets) = self.sets(element, &sides, true) else {
            return;
        };
        let kind = kind_of(element.attr("kind"), element.attr("score"));
        let explicit = element.attr("symmetrical").and_then(text::parse_bool);
        let symmetry = symmetry_of(explicit, kind);
        let mut last: Option<&Set<'a>> = None;
        for set in &sets {
            if self.order_within(set, kind, explicit).is_none() {
                return;
            }
            if let Some(last) = last {
                if self.order_sets((last, set), kind, symmetry).is_none() {
                    return;
                }
                if symmetry == Symmetry::Symmetric
                    && self
                        .order_sets((set, last), kind, Symmetry::Inverse)
                        .is_none()
                {
                    return;
                }
            }
            last = Some(set);
        }
        if last.is_none() {
            self.order_simply(element, kind, symmetry);
        }
    }

    fn order_simply(&mut self, element: Element<'a>, kind: Kind, symmetry: Symmetry) {
        let find = |p: &Self, name: &str| element.attr(name).and_then(|id| p.constrained(id));
        let (Some(first), Some(then)) = (find(self, "first"), find(self, "then")) else {
            return;
        };
        let first_action = self.word_or_start(element.attr("first-action"));
        let then_action = match element.attr("then-action") {
            Some(action) => self.words.get(action),
            None => first_action,
        };
        let flags = flags_for(kind, first_action, symmetry);
        let minimum = self.minimum_instances(first, element);
        if minimum > 0 {
            let name = format!("clone-one-or-more:{}", element.id());
            let gate = self.pseudo(&name);
            self.act[gate].required_before = minimum;
            self.act[gate].flags.set(ActFlags::MIN_RUNNABLE);
            let each = Relation::MIN_RUNNABLE | Relation::FIRST_IMPLIES_THEN_GRAPHED;
            for child in self.rsc[first].children.clone() {
                self.order(Side::op(child, first_action), Self::side(gate), each);
            }
            let flags = flags | Relation::UNRUNNABLE_BLOCKS;
            self.order(Self::side(gate), Side::op(then, then_action), flags);
        } else {
            self.order_ops((first, first_action), (then, then_action), flags);
        }
        if symmetry == Symmetry::Symmetric
            && let (Some(then_action), Some(first_action)) =
                (inverse(then_action), inverse(first_action))
        {
            let flags = flags_for(kind, first_action, Symmetry::Inverse);
            self.order_ops((then, then_action), (first, first_action), flags);
        }
    }

    fn minimum_instances(&self, rsc: RscId, element: Element<'a>) -> i32 {
        if !self.is_clone(rsc) {
            return 0;
        }
        if let Some(minimum) = self.rsc[rsc].meta("clone-min") {
            return text::parse_score(minimum).max(0);
        }
        let all = element.attr("require-all").and_then(text::parse_bool);
        i32::from(all == Some(false))
    }

    fn members(&self, set: &Set<'a>) -> Option<Vec<RscId>> {
        set.members.iter().map(|id| self.constrained(id)).collect()
    }

    fn order_within(&mut self, set: &Set<'a>, parent: Kind, explicit: Option<bool>) -> Option<()> {
        let kind = match set.attr("kind") {
            Some(kind) => kind_of(Some(kind), None),
            None => parent,
        };
        let own = set.attr("kind").is_some() || set.attr("score").is_some();
        let symmetry_kind = if own {
            kind_of(set.attr("kind"), set.attr("score"))
        } else {
            parent
        };
        let own_symmetry = set
            .attr("symmetrical")
            .and_then(text::parse_bool)
            .or(explicit);
        let symmetry = symmetry_of(own_symmetry, symmetry_kind);
        let sequential = set.sequential.unwrap_or(true);
        let action = self.word_or_start(set.action);
        let flags = flags_for(kind, action, symmetry);
        let members = self.members(set)?;
        if members.len() == 1 {
            return Some(());
        }
        if kind == Kind::Serialize {
            for (place, &first) in members.iter().enumerate() {
                for &then in &members[place + 1..] {
                    self.order_ops((first, action), (then, action), flags);
                }
            }
        } else if sequential {
            for pair in members.windows(2) {
                self.order_ops((pair[0], action), (pair[1], action), flags);
            }
        }
        if symmetry == Symmetry::Symmetric
            && sequential
            && let Some(action) = inverse(action)
        {
            let flags = flags_for(kind, action, Symmetry::Inverse);
            for pair in members.windows(2) {
                self.order_ops((pair[1], action), (pair[0], action), flags);
            }
        }
        Some(())
    }

    fn order_sets(
        &mut self,
        (first, then): (&Set<'a>, &Set<'a>),
        kind: Kind,
        symmetry: Symmetry,
    ) -> Option<()> {
        let mut first_action = self.word_or_start(first.action);
        let mut then_action = self.word_or_start(then.action);
        let backwards = symmetry == Symmetry::Inverse;
        if backwards {
            first_action = inverse(first_action)?;
            then_action = inverse(then_action)?;
        }
        // One of several is enough to start, but never to stop.
        let require_all =
            matches!(first_action, Word::STOP | Word::DEMOTE) || first.flag("require-all", true);
        let flags = flags_for(kind, first_action, symmetry);
        let from = self.members(first)?;
        let to = self.members(then)?;
        if !require_all {
            let gate = self.pseudo(&format!("one-or-more:{}", first.id));
            self.act[gate].flags.set(ActFlags::MIN_RUNNABLE);
            let each = Relation::MIN_RUNNABLE | Relation::FIRST_IMPLIES_THEN_GRAPHED;
            for rsc in from {
                self.order(Side::op(rsc, first_action), Self::side(gate), each);
            }
            for rsc in to {
                let flags = flags | Relation::UNRUNNABLE_BLOCKS;
                self.order(Self::side(gate), Side::op(rsc, then_action), flags);
            }
            return Some(());
        }
        let end = |list: &[RscId], sequential: bool, last: bool| -> Vec<RscId> {
            if !sequential {
                return list.to_vec();
            }
            let one = if last { list.last() } else { list.first() };
            one.copied().into_iter().collect()
        };
        let from = end(&from, first.sequential == Some(true), !backwards);
        let to = end(&to, then.sequential == Some(true), backwards);
        for &a in &from {
            for &b in &to {
                self.order_ops((a, first_action), (b, then_action), flags);
            }
        }
        Some(())
    }
}
