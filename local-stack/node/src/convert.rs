//! From the controller's words to those of the control socket.

use controller::{Shown, State, TicketView};
use stack_api::guard::Protection;
use stack_api::stack::{Dependent, Lease, Resource, ResourceState, TicketStatus};

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
    }
}
