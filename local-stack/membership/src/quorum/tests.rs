use super::*;

fn nodes(ids: &[u32]) -> NodeSet {
    ids.iter().map(|id| NodeId(*id)).collect()
}

fn config(count: u32) -> QuorumConfig {
    QuorumConfig::majority(&(1..=count).map(NodeId).collect())
}

/// Of any way to cut the nodes in two, at most one side may act.
#[test]
fn at_most_one_side_in_every_mode_that_promises_it() {
    let tie = |count| QuorumConfig {
        auto_tie_breaker: true,
        ..config(count)
    };
    let all = |count| QuorumConfig {
        wait_for_all: true,
        ..config(count)
    };
    for count in 1..=7_u32 {
        for mode in [config(count), tie(count), all(count)] {
            for cut in 0..1_u32 << count {
                let side = |bit: u32| {
                    let mut quorum = Quorum::new(mode.clone());
                    quorum.update(Time(0), &(1..=count).map(NodeId).collect(), false);
                    let members = (1..=count)
                        .filter(|node| cut >> (node - 1) & 1 == bit)
                        .map(NodeId)
                        .collect();
                    quorum.update(Time(1), &members, false).quorate
                };
                assert!(!(side(0) && side(1)), "{mode:?} cut {cut:b}");
            }
        }
    }
}

#[test]
fn two_nodes_wait_for_each_other_once() {
    let mut quorum = Quorum::new(QuorumConfig {
        two_node: true,
        ..config(2)
    });
    assert!(!quorum.update(Time(0), &nodes(&[1]), false).quorate);
    assert!(quorum.update(Time(1), &nodes(&[1, 2]), false).quorate);
    assert!(quorum.update(Time(2), &nodes(&[2]), false).quorate);
}

#[test]
fn the_last_men_stand_one_step_at_a_time() {
    let window = Duration::from_secs(10);
    let mut quorum = Quorum::new(QuorumConfig {
        last_man_standing: Some(window),
        ..config(5)
    });
    quorum.update(Time(0), &nodes(&[1, 2, 3, 4, 5]), false);
    assert!(quorum.update(Time(1), &nodes(&[1, 2, 3]), false).quorate);
    let due = quorum.next_timeout().expect("it waits for the window");
    assert!(
        !quorum
            .clone()
            .update(Time(2), &nodes(&[1, 2]), false)
            .quorate,
        "not yet"
    );
    quorum.handle_timeout(due);
    assert!(
        quorum
            .update(Time(due.0 + 1), &nodes(&[1, 2]), false)
            .quorate
    );
    assert!(
        !quorum.update(Time(due.0 + 2), &nodes(&[1]), false).quorate,
        "never one of two"
    );
}

#[test]
fn a_tie_is_broken_only_among_those_who_last_acted() {
    let mut quorum = Quorum::new(QuorumConfig {
        auto_tie_breaker: true,
        ..config(4)
    });
    quorum.update(Time(0), &nodes(&[1, 2, 3, 4]), false);
    assert!(quorum.update(Time(1), &nodes(&[1, 2]), false).quorate);
    let mut other = Quorum::new(QuorumConfig {
        auto_tie_breaker: true,
        ..config(4)
    });
    other.update(Time(0), &nodes(&[1, 2, 3, 4]), false);
    assert!(!other.update(Time(1), &nodes(&[3, 4]), false).quorate);
}

#[test]
fn contradictions_are_named() {
    let both = QuorumConfig {
        two_node: true,
        auto_tie_breaker: true,
        ..config(3)
    };
    assert_eq!(both.faults().len(), 2);
    assert!(config(3).faults().is_empty());
}
