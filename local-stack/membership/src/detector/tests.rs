use std::time::Duration;

use super::*;

fn view(members: &[u32]) -> View {
    let id = ViewId {
        counter: 1,
        coordinator: NodeId(members[0]),
        incarnation: 7,
    };
    View {
        id,
        members: members.iter().map(|id| NodeId(*id)).collect(),
    }
}

fn at(ms: u64) -> Time {
    Time(ms * 1_000_000)
}

fn detector(members: &[u32]) -> Detector {
    let nodes = members.iter().map(|id| NodeId(*id)).collect();
    // Round figures, whatever the preset says.
    let config = Config {
        heartbeat_every: Duration::from_millis(50),
        suspect_after: Duration::from_millis(250),
        ..Config::lan(NodeId(1), nodes)
    };
    Detector::new(&config, at(0))
}

fn beat(detector: &mut Detector, now: Time, from: u32, ours: &View, suspects: &NodeSet) {
    detector.hear(now, NodeId(from), u64::from(from));
    let sign = Sign {
        view: ours.id,
        operational: true,
        hears_us: true,
        suspects,
    };
    detector.beat(now, NodeId(from), ours.id, &sign);
}

#[test]
fn one_accuser_of_three_waits_for_a_second() {
    let (mut detector, view) = (detector(&[1, 2, 3]), view(&[1, 2, 3]));
    for ms in (0..=1_000).step_by(50) {
        beat(&mut detector, at(ms), 2, &view, &NodeSet::default());
        if ms <= 500 {
            beat(&mut detector, at(ms), 3, &view, &NodeSet::default());
        }
    }
    beat(&mut detector, at(800), 2, &view, &NodeSet::default());
    assert_eq!(
        detector.failures(at(800), &view),
        vec![],
        "silent for 300 ms, but only we say so"
    );
    beat(
        &mut detector,
        at(810),
        2,
        &view,
        &NodeSet::from_iter([NodeId(3)]),
    );
    let failed = detector.failures(at(820), &view);
    assert_eq!(failed.len(), 1);
    assert!(
        matches!(failed[0].1, Cause::Silent(NodeId(3), _)),
        "{failed:?}"
    );
}

#[test]
fn alone_against_one_it_needs_nobody() {
    let (mut detector, view) = (detector(&[1, 2]), view(&[1, 2]));
    beat(&mut detector, at(0), 2, &view, &NodeSet::default());
    assert!(detector.failures(at(200), &view).is_empty());
    assert_eq!(detector.failures(at(300), &view).len(), 1);
}

#[test]
fn a_starved_node_accuses_nobody() {
    let (mut detector, view) = (detector(&[1, 2]), view(&[1, 2]));
    beat(&mut detector, at(0), 2, &view, &NodeSet::default());
    detector.forgive(at(2_000), Duration::from_millis(1_950));
    assert!(detector.failures(at(2_000), &view).is_empty());
    assert_eq!(
        detector.failures(at(2_300), &view).len(),
        1,
        "forgiven once, not for ever"
    );
}

#[test]
fn a_one_way_link_is_not_met() {
    let (mut detector, alone) = (detector(&[1, 2]), view(&[1]));
    for ms in (0..2_000).step_by(50) {
        detector.hear(at(ms), NodeId(2), 2);
        let suspects = NodeSet::default();
        let deaf = Sign {
            view: alone.id,
            operational: true,
            hears_us: false,
            suspects: &suspects,
        };
        detector.beat(at(ms), NodeId(2), alone.id, &deaf);
    }
    assert!(detector.met(at(2_000), &alone).is_empty());
}
