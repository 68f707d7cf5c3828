use proptest::prelude::*;

use super::*;

fn live(id: u64, instance: u64, ours: bool, place: u64) -> Live<()> {
    Live {
        id,
        instance,
        ours,
        place: place.to_string(),
        wire: (),
    }
}

#[test]
fn first_connection_is_up_and_its_end_is_down() {
    let mut slot = Slot::new(true);
    let first = live(1, 7, true, 1);
    assert_eq!(slot.admit(first.clone()), [Step::Up(first)]);
    assert_eq!(slot.closed(1, "gone"), [Step::Down("gone".to_owned())]);
    assert!(slot.vacant());
}

#[test]
fn crossing_connections_end_with_the_same_survivor_in_either_order() {
    // At the member that sorts first its own connection is preferred; at the other, the peer's.
    for prefer_ours in [true, false] {
        for ours_first in [true, false] {
            let mut slot = Slot::new(prefer_ours);
            slot.admit(live(1, 7, ours_first, 1));
            let steps = slot.admit(live(2, 7, !ours_first, 1));
            assert!(steps.contains(&Step::Read(live(2, 7, !ours_first, 1))));
            assert!(
                !steps
                    .iter()
                    .any(|s| matches!(s, Step::Down(_) | Step::Close(..)))
            );
            assert_eq!(slot.active().map(|a| a.ours), Some(prefer_ours));
            // Only the dialler of the spare one retires it.
            let retired = steps.iter().any(|s| matches!(s, Step::Retire(_)));
            assert_eq!(retired, !prefer_ours);
        }
    }
}

#[test]
fn spare_takes_over_without_a_gap() {
    let mut slot = Slot::new(true);
    slot.admit(live(1, 7, true, 1));
    slot.admit(live(2, 7, false, 1));
    assert_eq!(slot.closed(1, "lost"), []);
    assert_eq!(slot.active().map(|a| a.id), Some(2));
    assert_eq!(slot.retire(2), None);
}

#[test]
fn same_process_dialling_again_supersedes() {
    let mut slot = Slot::new(false);
    let (old, new) = (live(1, 7, false, 1), live(2, 7, false, 1));
    slot.admit(old.clone());
    assert_eq!(
        slot.admit(new.clone()),
        [Step::Read(new), Step::Close(old, Farewell::Superseded)]
    );
    assert_eq!(slot.closed(1, "closed by us"), []);
}

#[test]
fn restart_at_the_same_address_takes_over_at_once() {
    let mut slot = Slot::new(true);
    let (old, new) = (live(1, 7, true, 1), live(2, 8, false, 1));
    slot.admit(old.clone());
    let steps = slot.admit(new.clone());
    assert!(matches!(steps[0], Step::Down(_)));
    assert_eq!(
        steps[1..],
        [Step::Close(old, Farewell::OtherInstance), Step::Up(new)]
    );
}

#[test]
fn silent_old_process_loses_the_contest() {
    let mut slot = Slot::new(true);
    let (old, new) = (live(1, 7, true, 1), live(2, 8, false, 2));
    slot.admit(old.clone());
    let steps = slot.admit(new.clone());
    assert_eq!(
        steps,
        [Step::Contest {
            known: old,
            contender: 2
        }]
    );
    assert_eq!(slot.active().map(|a| a.id), Some(1));
    assert!(slot.contest_over(2).contains(&Step::Up(new)));
    assert_eq!(
        slot.answered(1),
        [],
        "an answer after the contest changes nothing"
    );
}

#[test]
fn living_old_process_keeps_its_place() {
    let mut slot = Slot::new(true);
    let (known, newcomer) = (live(1, 7, true, 1), live(2, 8, false, 2));
    slot.admit(known.clone());
    slot.admit(newcomer.clone());
    let steps = slot.answered(1);
    assert_eq!(
        steps[0],
        Step::Duplicate {
            known,
            newcomer: newcomer.clone()
        }
    );
    assert_eq!(steps[1], Step::Close(newcomer, Farewell::Duplicate));
    assert_eq!(slot.contest_over(2), []);
    assert_eq!(slot.active().map(|a| a.id), Some(1));
}

proptest! {
    /// Whatever happens in whatever order: a peer is up exactly while it has an active
    /// connection, reports alternate, and no connection is forgotten while still open.
    #[test]
    fn reports_follow_the_active_connection(
        prefer_ours: bool,
        inputs in proptest::collection::vec((0u8..5, 0u64..6, 0u64..3, any::<bool>(), 0u64..2), 1..60)
    ) {
        let mut slot = Slot::new(prefer_ours);
        let mut open = std::collections::BTreeSet::new();
        let mut up = false;
        let mut next = 100;
        for (what, id, instance, ours, place) in inputs {
            let target = open.iter().copied().nth(id as usize).unwrap_or(id);
            let steps = match what {
                0 | 1 => {
                    next += 1;
                    open.insert(next);
                    slot.admit(live(next, instance, ours, place))
                }
                2 => { open.remove(&target); slot.closed(target, "x") }
                3 => slot.answered(target),
                _ => slot.contest_over(target),
            };
            for step in steps {
                match step {
                    Step::Up(_) => { prop_assert!(!up); up = true; }
                    Step::Down(_) => { prop_assert!(up); up = false; }
                    Step::Close(gone, _) => { prop_assert!(open.remove(&gone.id)); }
                    _ => {}
                }
            }
            prop_assert_eq!(up, slot.active().is_some());
            let held: std::collections::BTreeSet<u64> =
                [&slot.active, &slot.spare, &slot.contender].into_iter().flatten().map(|l| l.id).collect();
            prop_assert_eq!(&held, &open);
        }
    }
}
