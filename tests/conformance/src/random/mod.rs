//! Random clusters, each determined by a seed.
//!
//! A [`Sketch`] is built cold. A program that plays transitions may then take it further: its result
//! is adopted ([`Sketch::adopt`]), and more happens to it ([`Sketch::trouble`]).

mod bundle;
mod constraints;
mod dice;
mod failure;
mod nodes;
mod resources;
mod rules;
mod sketch;
mod trouble;

use cib::Cib;

pub use dice::Dice;
pub use sketch::{FEATURES, Feature, Kind, NOW, Resource, Sketch};

impl Sketch {
    /// A cluster that has not started anything.
    pub fn cold(seed: u64) -> Self {
        let mut sketch = Self::new(seed);
        nodes::nodes(&mut sketch);
        nodes::options(&mut sketch);
        nodes::defaults(&mut sketch);
        resources::resources(&mut sketch);
        constraints::constraints(&mut sketch);
        nodes::first_status(&mut sketch);
        sketch
    }

    /// Goes on from what a program made of the cluster.
    pub fn adopt(&mut self, cib: Cib) {
        self.cib = cib;
        let stamp = (NOW - 3600).to_string();
        let times: Vec<_> = (self.cib.root().descendants())
            .filter(|e| e.attr("last-rc-change").is_some())
            .map(cib::Element::key)
            .collect();
        for element in times {
            self.set(element, "last-rc-change", &stamp);
            self.cib.document_mut().remove_attr(element, "last-run");
        }
        let mut resources = std::mem::take(&mut self.resources);
        resources.retain_mut(|r| match trouble::element(self, &r.id) {
            Some(element) => {
                r.element = element;
                true
            }
            None => false,
        });
        self.resources = resources;
    }

    /// Lets some things happen to a running cluster.
    pub fn trouble(&mut self) {
        for _ in 0..self.dice.range(0, 4) {
            trouble::trouble(self);
        }
    }
}
