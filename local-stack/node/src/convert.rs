//! From the controller's words to those of the control socket.

use controller::{Shown, State, TicketView};
use stack_api::guard::Protection;
use stack_api::stack::{Dependent, Lease, Resource, ResourceState, SiteNode, TicketStatus};

pub(crate) fn lease(lease: Lease) -> controller::Lease {
    controller::Lease {
        ticket: lease.ticket,
        term: lease.term,
        generation: lease.generation,
        granted: lease.granted,
        standby: lease.standby,
        stop: lease.stop,
        hold: lease.hold,
        deadline_ns: lease.deadline_ns,
    }
}

fn state(shown: Shown) -> ResourceState {
    match shown {
        Shown::Starting => ResourceState::Starting,
        Shown::Stopping => ResourceState::Stopping,
        Shown::Settled(State::Unknown) => ResourceState::Unknown,
        Shown::Settled(State::Stopped) => ResourceState::Stopped,
        Shown::Settled(State::Started) => ResourceState::Started,
        Shown::Settled(State::Promoted) => ResourceState::Promoted,
        Shown::Settled(State::Failed) => ResourceState::Failed,
        Shown::Settled(State::Blocked) => ResourceState::Blocked,
    }
}

pub(crate) fn ticket(
    mut view: TicketView,
    protection: Protection,
    can_reset: bool,
) -> TicketStatus {
    if !can_reset && !view.without_process.is_empty() {
        let names = view.without_process.join(", ");
        view.problems.push(format!(
            "{names}: without a process of its own, and the guard may not reset this node: past the \
             lease only its agent ends it"
        ));
    }
    TicketStatus {
        ticket: view.ticket,
        term: view.term,
        generation: view.generation,
        granted: view.granted,
        standby: view.standby,
        started: view.started,
        quiet: view.quiet,
        hold: view.hold,
        problems: view.problems,
        stop_budget_ms: view.stop_budget_ms,
        protection,
        deadline_ns: view.deadline_ns,
        dependents: view
            .dependents
            .into_iter()
            .map(|dependent| Dependent {
                resource: dependent.resource,
                role: dependent.promoted.then(|| "Promoted".to_owned()),
                state: state(dependent.state),
                loss_policy: dependent.policy.name().to_owned(),
            })
            .collect(),
    }
}

pub(crate) fn resource(view: controller::ResourceView) -> Resource {
    Resource {
        id: view.id,
        agent: view.agent,
        state: state(view.state),
        managed: view.managed,
        fail_count: view.fail_count,
        last_failure: view.last_failure,
        terms: view.terms,
        nodes: Vec::new(),
    }
}

/// Instances of a resource, wherever they are part of something.
fn instances<'a>(
    list: &'a [scheduler::ResourceStatus],
    id: &str,
    found: &mut Vec<&'a scheduler::ResourceStatus>,
) {
    for one in list {
        if one.members.is_empty() && one.parts.is_empty() && one.id == id {
            found.push(one);
        }
        instances(&one.members, id, found);
        instances(&one.parts, id, found);
    }
}

/// Where a resource is active, by the names of the nodes.
pub(crate) fn places(status: &scheduler::Status, id: &str) -> Vec<String> {
    let mut found = Vec::new();
    instances(&status.resources, id, &mut found);
    let nodes = found.iter().flat_map(|one| &one.nodes);
    let mut names: Vec<String> = nodes
        .filter_map(|at| status.nodes.get(*at))
        .map(|node| node.name.clone())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// How a resource stands on the whole site; none if nobody knows it.
pub(crate) fn site_state(status: &scheduler::Status, id: &str) -> Option<ResourceState> {
    let mut found = Vec::new();
    instances(&status.resources, id, &mut found);
    let state = |one: &&scheduler::ResourceStatus| match one.role {
        _ if one.blocked => ResourceState::Blocked,
        _ if one.failed => ResourceState::Failed,
        "Promoted" => ResourceState::Promoted,
        "Started" | "Unpromoted" => ResourceState::Started,
        _ => ResourceState::Stopped,
    };
    // What runs somewhere runs, what is wrong somewhere is wrong.
    let rank = |state: &ResourceState| match state {
        ResourceState::Blocked => 4,
        ResourceState::Failed => 3,
        ResourceState::Promoted => 2,
        ResourceState::Started => 1,
        _ => 0,
    };
    found.iter().map(state).max_by_key(rank)
}

/// A node as people call its state.
pub(crate) fn site_node(node: &scheduler::NodeStatus, coordinator: Option<&str>) -> SiteNode {
    let state = if node.unclean {
        "unclean"
    } else if node.pending {
        "pending"
    } else if !node.online {
        "offline"
    } else if node.shutdown {
        "leaving"
    } else if node.maintenance {
        "maintenance"
    } else if node.standby || node.standby_on_fail {
        "standby"
    } else {
        "online"
    };
    SiteNode {
        name: node.name.clone(),
        state: state.to_owned(),
        coordinates: coordinator == Some(node.name.as_str()),
        running: node.running,
    }
}
