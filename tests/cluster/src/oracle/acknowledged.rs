//! A change of the CIB that was acknowledged is never lost.

use cib::{Cib, Section};

/// Marks that were acknowledged.
#[derive(Debug, Default)]
pub struct Acknowledged(Vec<String>);

impl Acknowledged {
    /// A change that added this mark was acknowledged.
    pub fn note(&mut self, mark: String) {
        self.0.push(mark);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Judges a CIB that must have them all.
    ///
    /// # Errors
    /// The first that is not there.
    pub fn judge(&self, cib: &Cib) -> Result<(), String> {
        let tags = cib.section(Section::Tags);
        let there = |mark: &String| {
            tags.is_some_and(|tags| tags.children().any(|tag| tag.id() == mark.as_str()))
        };
        match self.0.iter().find(|mark| !there(mark)) {
            Some(mark) => Err(format!("change {mark} was acknowledged and is lost")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_change_is_found() {
        let mut known = Acknowledged::default();
        assert_eq!(known.judge(&Cib::empty()), Ok(()));
        known.note("m1".to_owned());
        assert!(known.judge(&Cib::empty()).is_err());
        let mut cib = Cib::empty();
        let tags = cib.section_or_append(Section::Tags);
        cib.document_mut().child_with_id(tags, "tag", "m1");
        assert_eq!(known.judge(&cib), Ok(()));
    }
}
