//! Messaging as extended virtual synchrony promises it.
//!
//! A view has one log. Each member delivers it in order, at its own pace. When the view ends, those who
//! go on together deliver up to the same place, not before what any of them has delivered; what comes
//! behind is lost. Who is between two views delivers nothing; what it says is in the next view's log.

use std::collections::BTreeMap;

use crate::random::Random;

/// Who said it, and what.
pub(crate) type Message = (u32, Vec<u8>);

/// A view.
#[derive(Debug, Default)]
pub(crate) struct WireView {
    pub(crate) members: Vec<u32>,
    log: Vec<Message>,
}

/// Where a node is.
#[derive(Debug, Default)]
struct Place {
    /// Its view, and what it has delivered of it; none between views.
    at: Option<(u64, usize)>,
    /// Said between views.
    held: Vec<Vec<u8>>,
}

/// All views that anybody is in.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    views: BTreeMap<u64, WireView>,
    places: BTreeMap<u32, Place>,
    next: u64,
}

impl Wire {
    /// A node says something.
    pub(crate) fn say(&mut self, node: u32, word: Vec<u8>) {
        let place = self.places.entry(node).or_default();
        match place.at.and_then(|(view, _)| self.views.get_mut(&view)) {
            Some(view) => view.log.push((node, word)),
            None => place.held.push(word),
        }
    }

    /// The next message for a node.
    pub(crate) fn deliver(&mut self, node: u32) -> Option<Message> {
        let (view, place) = self.places.get_mut(&node)?.at.as_mut()?;
        let message = self.views.get(view)?.log.get(*place)?.clone();
        *place += 1;
        Some(message)
    }

    pub(crate) fn has_message(&self, node: u32) -> bool {
        let at = self.places.get(&node).and_then(|place| place.at);
        at.is_some_and(|(view, place)| self.views.get(&view).is_some_and(|v| v.log.len() > place))
    }

    /// A node is gone, with what it had to say.
    pub(crate) fn crash(&mut self, node: u32) {
        self.places.remove(&node);
        self.forget();
    }

    /// The views of these nodes end; they go on together. What each of them has to deliver before.
    pub(crate) fn leave(
        &mut self,
        random: &mut Random,
        together: &[u32],
    ) -> Vec<(u32, Vec<Message>)> {
        let mut due = Vec::new();
        let mut groups: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for node in together {
            if let Some((view, _)) = self.places.get(node).and_then(|place| place.at) {
                groups.entry(view).or_default().push(*node);
            }
        }
        for (view, nodes) in groups {
            let Some(log) = self.views.get(&view).map(|view| &view.log) else {
                continue;
            };
            let done = |node: &u32| self.places[node].at.map_or(0, |(_, place)| place);
            let least = nodes.iter().map(done).max().unwrap_or(0);
            let upto = random.between(least as u64, log.len() as u64) as usize;
            for node in &nodes {
                due.push((*node, log[done(node)..upto].to_vec()));
            }
            for node in nodes {
                if let Some(place) = self.places.get_mut(&node) {
                    place.at = None;
                }
            }
        }
        self.forget();
        due
    }

    /// These nodes are one view from here on.
    pub(crate) fn form(&mut self, members: &[u32]) -> String {
        self.next += 1;
        let name = format!("{}.{}", self.next, members.first().copied().unwrap_or(0));
        let mut log = Vec::new();
        for node in members {
            let place = self.places.entry(*node).or_default();
            log.extend(place.held.drain(..).map(|word| (*node, word)));
            place.at = Some((self.next, 0));
        }
        let view = WireView {
            members: members.to_vec(),
            log,
        };
        self.views.insert(self.next, view);
        name
    }

    /// Who is in one view with a node.
    pub(crate) fn members(&self, node: u32) -> Option<&WireView> {
        let (view, _) = self.places.get(&node)?.at?;
        self.views.get(&view)
    }

    fn forget(&mut self) {
        let used: Vec<u64> = self.places.values().filter_map(|p| Some(p.at?.0)).collect();
        self.views.retain(|number, _| used.contains(number));
    }
}
