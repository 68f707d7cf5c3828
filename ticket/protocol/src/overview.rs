//! What a member tells people and tools.

use std::time::Duration;

use crate::command::{Command, Forecast, Refused, Step, Why};
use crate::config::{Member, Role};
use crate::participant::Participant;
use crate::ticket::{Holding, Ticket};
use crate::time::Time;
use crate::value::{Phase, PhaseKind};
use crate::view::{MemberView, TicketView, View, Voting};

impl Participant {
    pub(crate) fn overview(&self, now: Time) -> View {
        View {
            cluster: self.config.cluster.clone(),
            epoch: self.config.epoch,
            me: self.me,
            voting: self.voting_view(now),
            majority: self.config.majority(),
            members: self
                .config
                .members
                .iter()
                .map(|m| self.member_view(m, now))
                .collect(),
            tickets: self
                .config
                .tickets
                .iter()
                .filter_map(|config| self.ticket_named(&config.name))
                .map(|t| self.ticket_view(&self.tickets[t], now))
                .collect(),
        }
    }

    fn member_view(&self, member: &Member, now: Time) -> MemberView {
        let (id, name, role) = (member.id, member.name.clone(), member.role);
        match self.peer(id) {
            Some(peer) => MemberView {
                id,
                name,
                role,
                connected: peer.connected,
                voting: peer.voting,
                round_trip: peer.round_trip,
                clock_ppm: peer.clock_ppm,
                heard: peer.heard_at.map(|at| now.since(at)),
                incarnation: peer.life.map(|life| life.incarnation),
            },
            None => MemberView {
                id,
                name,
                role,
                connected: true,
                voting: Some(self.memory.voting),
                round_trip: Some(Duration::ZERO),
                clock_ppm: Some(0),
                heard: Some(Duration::ZERO),
                incarnation: Some(self.memory.life.incarnation),
            },
        }
    }

    fn ticket_view(&self, ticket: &Ticket, now: Time) -> TicketView {
        let value = ticket.known_value();
        let held = ticket.held().filter(|held| !held.lapsed);
        let left = |until: Time| (until > now && until != Time::NEVER).then(|| until.since(now));
        let t = self.ticket_index(ticket.id);
        TicketView {
            name: ticket.config.name.clone(),
            mode: ticket.config.mode,
            phase: ticket.known_place().1,
            owner: value.map(|value| value.owner),
            term: ticket.known_place().0,
            mine: held.is_some_and(|held| now < held.deadline || held.hold_agreed),
            lease_left: held.and_then(|held| left(held.deadline)),
            deadline: held
                .map(|held| held.deadline)
                .filter(|&end| end != Time::NEVER),
            may_run_for: t
                .and_then(|t| self.may_run(t).1)
                .filter(|left| !left.is_zero()),
            standby: value.is_some_and(|value| value.standby),
            hold: value.and_then(|value| value.hold.clone()),
            forced: value.and_then(|value| value.forced.clone()),
            transfer: match value.map(|value| value.phase) {
                Some(Phase::Moving(transfer)) => Some(transfer),
                Some(Phase::Vacant(transfer)) => transfer,
                _ => None,
            },
            started: held.is_some_and(|held| held.started),
            trouble: ticket.trouble.clone(),
            takeover_in: ticket.candidate.map(|candidate| candidate.at.since(now)),
            step: ticket.job.as_ref().map(|job| job.step),
        }
    }

    pub(crate) fn foresee(&self, now: Time, command: &Command) -> Forecast {
        let mut refused = None;
        let mut wait_first = None;
        let steps = match command {
            Command::Grant { .. } => vec![Step::Read, Step::Agree, Step::Grant, Step::Start],
            Command::Revoke { .. } => vec![Step::Read, Step::Agree, Step::Stop, Step::Release],
            Command::Move { .. } => vec![
                Step::Read,
                Step::Check,
                Step::Agree,
                Step::Stop,
                Step::Release,
                Step::Grant,
                Step::Start,
            ],
            Command::Standby { .. } => vec![Step::Read, Step::Agree],
            Command::Recover { .. } => Vec::new(),
        };
        let t = command.ticket().and_then(|name| self.ticket_named(name));
        match t {
            None if command.ticket().is_some() => {
                refused = Some(Refused::because(Why::UnknownTicket));
            }
            Some(t) => {
                let why = self.foreseen_refusal(t, command);
                let (holder, may_run_for) = self.may_run(t);
                let missing = match why {
                    Some(Why::NoMajority) => self.unheard(now),
                    _ => Vec::new(),
                };
                refused = why.map(|why| Refused {
                    why,
                    missing,
                    holder,
                    may_run_for,
                });
                let revoking = self.tickets[t].known_place().1 == PhaseKind::Revoking;
                if matches!(command, Command::Grant { force: None, .. }) && revoking {
                    wait_first = may_run_for;
                }
            }
            None => {}
        }
        Forecast {
            steps,
            refused,
            wait_first,
        }
    }

    fn unheard(&self, _now: Time) -> Vec<crate::ids::MemberId> {
        self.peers
            .iter()
            .filter(|peer| !peer.connected)
            .map(|peer| peer.id)
            .collect()
    }

    fn foreseen_refusal(&self, t: usize, command: &Command) -> Option<Why> {
        if let Command::Grant { to, .. } | Command::Move { to, .. } = command
            && self
                .config
                .member(*to)
                .is_none_or(|member| member.role != Role::Site)
        {
            return Some(Why::NotASite);
        }
        let reachable = self.peers.iter().filter(|peer| peer.connected).count();
        if reachable + usize::from(self.memory.voting) < self.config.majority() {
            return Some(Why::NoMajority);
        }
        let ticket = &self.tickets[t];
        let value = ticket.known_value();
        let held = value.filter(|value| value.is_held());
        if let Some(reason) = held.and_then(|value| value.hold.clone())
            && !matches!(
                command,
                Command::Grant { force: Some(_), .. } | Command::Standby { .. }
            )
        {
            return Some(Why::OnHold(reason));
        }
        let phase = ticket.known_place().1;
        let live = self.may_run(t).1.is_none_or(|left| !left.is_zero());
        let owner = held.map(|value| value.owner);
        match command {
            Command::Grant {
                to, force: None, ..
            } if matches!(phase, PhaseKind::Granted | PhaseKind::Moving) && live => {
                (owner != Some(*to)).then_some(Why::Granted)
            }
            Command::Move { to, .. } => match owner {
                None => Some(Why::NotGranted),
                Some(owner) if owner == *to => Some(Why::SameSite),
                Some(_) => (phase != PhaseKind::Granted).then_some(Why::Busy),
            },
            Command::Standby { .. } if owner.is_none() => Some(Why::NotGranted),
            Command::Revoke { .. } if phase == PhaseKind::None => Some(Why::NotGranted),
            _ => None,
        }
    }

    fn voting_view(&self, now: Time) -> Voting {
        match &self.recovery {
            None => Voting::Yes,
            Some(recovery) => recovery.view(now, &self.peers),
        }
    }

    /// Whether this site is still finding out what it held before it restarted.
    #[must_use]
    pub fn is_recalling(&self) -> bool {
        self.tickets
            .iter()
            .any(|ticket| matches!(ticket.holding, Holding::Recalling { .. }))
    }
}
