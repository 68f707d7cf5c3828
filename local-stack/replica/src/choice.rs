//! Which copy a round goes on with. A pure function of what everybody said.

use std::collections::BTreeMap;

use crate::words::Hello;

/// What a round goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Who holds the chosen copy; the first of them hands it out.
    pub(crate) holders: Vec<u32>,
    /// Who does not.
    pub(crate) others: Vec<u32>,
    /// Who coordinates.
    pub(crate) coordinator: u32,
    /// The greatest era that anybody knows.
    pub(crate) era: u64,
    /// The round is quorate.
    pub(crate) quorate: bool,
}

/// Nodes with one copy. A copy that was not made by changes in one order (a daemon that has just
/// started) is like no other.
fn groups(hellos: &BTreeMap<u32, Hello>) -> Vec<Vec<u32>> {
    let mut groups: Vec<Vec<u32>> = Vec::new();
    for (node, hello) in hellos {
        let standing = &hello.standing;
        let same = |other: &u32| {
            let known = &hellos[other].standing;
            standing.line.is_some()
                && standing.line == known.line
                && standing.digest == known.digest
        };
        match groups
            .iter_mut()
            .find(|group| group.first().is_some_and(same))
        {
            Some(group) => group.push(*node),
            None => groups.push(vec![*node]),
        }
    }
    groups
}

/// Chooses. The last quorate round first, then the later configuration, then a copy that knows what
/// runs, then the coordinator's, the one that most hold, the lowest node's.
pub(crate) fn choose(hellos: &BTreeMap<u32, Hello>) -> Option<Choice> {
    let rank = |group: &Vec<u32>| {
        let first = group.first()?;
        let standing = &hellos.get(first)?.standing;
        let (admin, epoch, _) = standing.version;
        let leads = standing
            .coordinator
            .is_some_and(|node| group.contains(&node));
        let rank = (
            standing.era,
            admin,
            epoch,
            standing.line.is_some(),
            leads,
            group.len(),
            std::cmp::Reverse(*first),
        );
        Some(rank)
    };
    let groups = groups(hellos);
    let holders = groups.iter().max_by_key(|group| rank(group))?.clone();
    let first = *holders.first()?;
    let known = hellos.get(&first)?.standing.coordinator;
    let others = hellos.keys().copied();
    let others = others.filter(|node| !holders.contains(node)).collect();
    Some(Choice {
        coordinator: known
            .filter(|node| hellos.contains_key(node))
            .unwrap_or(first),
        holders,
        others,
        era: hellos.values().map(|h| h.standing.era).max().unwrap_or(0),
        quorate: hellos.values().any(|hello| hello.quorate),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Round, Standing};

    fn hello(era: u64, epoch: u64, line: Option<u64>, coordinator: Option<u32>) -> Hello {
        Hello {
            standing: Standing {
                era,
                version: (0, epoch, 0),
                line: line.map(|count| (Round::default(), count)),
                digest: "d".to_owned(),
                coordinator,
            },
            quorate: true,
            ..Hello::default()
        }
    }

    fn chosen(hellos: Vec<Hello>) -> Choice {
        choose(&(1..).zip(hellos).collect()).expect("somebody is there")
    }

    #[test]
    fn the_last_quorate_round_wins_whatever_the_version_says() {
        let choice = chosen(vec![
            hello(3, 90, Some(9), Some(1)),
            hello(4, 2, None, None),
        ]);
        assert_eq!((choice.holders, choice.era), (vec![2], 4));
        assert_eq!(choice.others, [1]);
        assert_eq!(choice.coordinator, 2);
    }

    #[test]
    fn within_one_era_the_later_configuration_wins_then_who_knows_what_runs() {
        let choice = chosen(vec![hello(3, 7, Some(9), Some(1)), hello(3, 8, None, None)]);
        assert_eq!(choice.holders, [2]);
        let choice = chosen(vec![hello(3, 8, None, None), hello(3, 8, Some(2), Some(2))]);
        assert_eq!((choice.holders, choice.coordinator), (vec![2], 2));
    }

    #[test]
    fn who_went_along_holds_one_copy_and_the_coordinator_stays() {
        let choice = chosen(vec![
            hello(3, 8, None, None),
            hello(3, 8, Some(2), Some(3)),
            hello(3, 8, Some(2), Some(3)),
        ]);
        assert_eq!((choice.holders, choice.coordinator), (vec![2, 3], 3));
        let gone = chosen(vec![
            hello(3, 8, Some(2), Some(9)),
            hello(3, 8, Some(2), Some(9)),
        ]);
        assert_eq!((gone.coordinator, gone.others), (1, vec![]));
    }

    #[test]
    fn copies_that_differ_are_not_one() {
        let mut other = hello(3, 8, Some(2), Some(1));
        other.standing.digest = "e".to_owned();
        let choice = chosen(vec![hello(3, 8, Some(2), Some(1)), other]);
        assert_eq!((choice.holders, choice.others), (vec![1], vec![2]));
    }
}
