//! Everything a member knows, in the words of the control socket.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use link::{LinkStats, PeerStats};
use ticket_admin::{
    Certificate, Forced, Hold, Lease, MemberState, MemberView, Mode, MoveView, Role, Takeover,
    TicketState, TicketView, Traffic, View, VoteView, Votes,
};
use ticket_config::Config;
use ticket_protocol::{PhaseKind, Voting};

use crate::answer::{millis, step_text, term_text};
use crate::cluster::Cluster;
use crate::contact::Contacts;
use crate::conversion::Roster;

/// A living member answers a question within this: far more than a turn of its loop.
const ANSWER_PATIENCE: Duration = Duration::from_millis(250);

/// The same for long ways, in round trips.
const ANSWER_ROUND_TRIPS: u32 = 3;

/// What a view is made of.
pub(crate) struct Sources<'a> {
    pub(crate) config: &'a Config,
    pub(crate) roster: &'a Roster,
    pub(crate) protocol: ticket_protocol::View,
    pub(crate) link: LinkStats,
    pub(crate) cluster: &'a dyn Cluster,
    pub(crate) contacts: &'a Contacts,
    pub(crate) up: Duration,
    pub(crate) alarms: Vec<String>,
}

impl Sources<'_> {
    /// Puts it together.
    pub(crate) fn view(&self) -> View {
        let votes = self.votes();
        View {
            cluster: self.protocol.cluster.clone(),
            member: self.roster.name(self.roster.me()),
            role: self.my_role(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            up_ms: millis(self.up),
            epoch: self.protocol.epoch,
            votes,
            members: self
                .protocol
                .members
                .iter()
                .map(|it| self.member(it))
                .collect(),
            tickets: self
                .protocol
                .tickets
                .iter()
                .map(|it| self.ticket(it, votes))
                .collect(),
            nodes: self.cluster.nodes(),
            alarms: self.alarms.clone(),
        }
    }

    fn my_role(&self) -> Role {
        match self.config.me().map(|me| me.role) {
            Some(ticket_config::Role::Arbitrator) => Role::Arbitrator,
            Some(ticket_config::Role::Site) | None => Role::Site,
        }
    }

    fn votes(&self) -> Votes {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let members = &self.protocol.members;
        let reachable = members.iter().filter(|it| self.votes_now(it)).count();
        Votes {
            configured: count(members.len()),
            needed: count(self.protocol.majority),
            reachable: count(reachable),
        }
    }

    fn votes_now(&self, member: &ticket_protocol::MemberView) -> bool {
        match member.id == self.roster.me() {
            true => self.protocol.voting == Voting::Yes,
            // One that was not heard yet is taken to vote: it is connected.
            false => member.connected && member.voting.unwrap_or(true) && !self.is_silent(member),
        }
    }

    /// Connected as far as the link knows, but it answers neither messages nor the question that
    /// was put when somebody looked.
    fn is_silent(&self, member: &ticket_protocol::MemberView) -> bool {
        let stats = self.link.peers.iter().find(|it| it.name == member.name);
        let unanswered = stats.is_some_and(|it| {
            let patience = it.rtt.unwrap_or_default() * ANSWER_ROUND_TRIPS;
            it.unanswered_for
                .is_some_and(|waited| waited > patience.max(ANSWER_PATIENCE))
        });
        unanswered || self.contacts.is_silent(member.id)
    }

    fn member(&self, member: &ticket_protocol::MemberView) -> MemberView {
        let mine = member.id == self.roster.me();
        let stats = self.link.peers.iter().find(|it| it.name == member.name);
        let counters = stats.map(|it| it.counters).unwrap_or_default();
        let configured = self.config.find_member(&member.name);
        let address = stats.and_then(|it| it.address.map(|address| address.to_string()));
        let first = configured.and_then(|it| it.addresses.first().map(ToString::to_string));
        let expires = match mine {
            true => self.link.certificate_expires,
            false => stats.and_then(|it| it.certificate_expires),
        };
        MemberView {
            name: member.name.clone(),
            role: match member.role {
                ticket_protocol::Role::Site => Role::Site,
                ticket_protocol::Role::Arbitrator => Role::Arbitrator,
            },
            state: state(mine, stats),
            address: address.or(first),
            rtt_us: stats
                .and_then(|it| it.rtt)
                .and_then(|rtt| u64::try_from(rtt.as_micros()).ok()),
            heard_ago_ms: stats.and_then(|it| it.last_heard).map(millis),
            voting: if mine {
                Some(self.protocol.voting == Voting::Yes)
            } else {
                member.voting
            },
            why: if mine {
                self.why_mute()
            } else {
                let silent = self.is_silent(member);
                let silent = silent.then(|| "connected, but it does not answer".to_owned());
                stats.and_then(why_down).or(silent)
            },
            skew_ms: None,
            certificate: expires.map(|expires| Certificate {
                not_after_unix: unix(expires),
                fingerprint: String::new(),
            }),
            traffic: Traffic {
                sent: counters.sent,
                received: counters.received,
                dropped: counters.send_dropped + counters.receive_dropped,
                connects: counters.connects,
                auth_failures: counters.auth_failures,
            },
        }
    }

    fn why_mute(&self) -> Option<String> {
        match &self.protocol.voting {
            Voting::Yes => None,
            Voting::Waiting { left } => Some(format!(
                "it lost its memory: votes again in {:.0} s at the earliest",
                left.as_secs_f64().ceil()
            )),
            Voting::Reading { missing } => Some(format!(
                "it lost its memory and reads it back: no answer of {} yet",
                self.roster.names(missing).join(", ")
            )),
        }
    }

    fn ticket(&self, ticket: &ticket_protocol::TicketView, votes: Votes) -> TicketView {
        let configured = self.config.find_ticket(&ticket.name.0);
        let auto = ticket.mode == ticket_protocol::Mode::Auto;
        let timing = configured.filter(|_| auto);
        let budget = self.cluster.stop_budget_ms(&ticket.name);
        TicketView {
            name: ticket.name.0.clone(),
            mode: if auto { Mode::Auto } else { Mode::Manual },
            state: self.state(ticket, votes),
            holder: ticket.owner.map(|owner| self.roster.name(owner)),
            term: term_text(ticket.term),
            term_packed: Some(ticket.term.0.to_string()).filter(|_| ticket.term.0 != 0),
            lease: self.lease(ticket),
            lease_ms: timing.map(|it| millis(it.lease)),
            acquire_after_ms: timing.map(|it| millis(it.acquire_after)),
            takeover: ticket.takeover_in.map(|left| Takeover {
                in_ms: millis(left),
                by: Some(self.roster.name(self.roster.me())),
            }),
            may_run_ms: ticket.may_run_for.filter(|_| !ticket.mine).map(millis),
            standby: ticket.standby,
            // The register carries a hold only once a majority has agreed to it.
            hold: ticket.hold.clone().map(|reason| Hold {
                reason,
                agreed: true,
            }),
            moving: self.moving(ticket),
            votes: self.ticket_votes(ticket),
            blocked: ticket.trouble.iter().cloned().collect(),
            forced: ticket.forced.clone().map(|reason| Forced {
                reason,
                at_unix: None,
            }),
            dependents: self.cluster.dependents(&ticket.name),
            prefer: configured.map(|it| it.prefer.clone()).unwrap_or_default(),
            stop_budget_ms: budget.or_else(|| timing.map(|it| millis(it.stop_budget))),
        }
    }

    fn state(&self, ticket: &ticket_protocol::TicketView, votes: Votes) -> TicketState {
        let manual = ticket.mode == ticket_protocol::Mode::Manual;
        let cut_off = votes.reachable < votes.needed;
        // Our own lease is known exactly: what the register says after its end is the past.
        let lapsed = !manual && !ticket.mine && ticket.owner == Some(self.roster.me());
        match ticket.phase {
            PhaseKind::None if cut_off => TicketState::Unknown,
            PhaseKind::None => TicketState::None,
            PhaseKind::Granted | PhaseKind::Moving if lapsed => TicketState::Lost,
            PhaseKind::Granted if ticket.mine && !ticket.started => TicketState::Granting,
            PhaseKind::Granted if ticket.mine || manual => TicketState::Granted,
            PhaseKind::Granted if ticket.may_run_for.is_some() => TicketState::Granted,
            PhaseKind::Granted if cut_off => TicketState::Unknown,
            PhaseKind::Granted => TicketState::Lost,
            PhaseKind::Moving => TicketState::Moving,
            PhaseKind::Vacant if ticket.transfer.is_some() => TicketState::Moving,
            PhaseKind::Vacant => TicketState::Lost,
            PhaseKind::Revoking => TicketState::Revoking,
            PhaseKind::Revoked => TicketState::Revoked,
        }
    }

    /// The lease: the holder's own, or the longest that this member has to assume.
    fn lease(&self, ticket: &ticket_protocol::TicketView) -> Option<Lease> {
        let configured = self.config.find_ticket(&ticket.name.0)?;
        if configured.mode == ticket_config::Mode::Manual {
            return None;
        }
        let held = matches!(ticket.phase, PhaseKind::Granted | PhaseKind::Moving);
        let left = match ticket.mine {
            true => ticket.lease_left?,
            false if ticket.owner == Some(self.roster.me()) => return None,
            false => {
                // The obligation covers acquire-after and the drift of clocks as well.
                let drift_ppm = self.config.cluster.drift_ppm;
                let after = ticket_protocol::stretched(configured.acquire_after, drift_ppm);
                let left = ticket.may_run_for.filter(|_| held)?.checked_sub(after)?;
                left.min(configured.lease)
            }
        };
        Some(Lease {
            left_ms: millis(left),
            exact: ticket.mine,
            renewed_ago_ms: None,
            renews_in_ms: None,
        })
    }

    fn moving(&self, ticket: &ticket_protocol::TicketView) -> Option<MoveView> {
        let transfer = ticket.transfer?;
        Some(MoveView {
            from: self.roster.name(transfer.from),
            to: self.roster.name(transfer.to),
            phase: ticket.step.map_or("under way", step_text).to_owned(),
            left_ms: None,
        })
    }

    /// What this member knows of each vote: its own obligation, and who can be asked.
    fn ticket_votes(&self, ticket: &ticket_protocol::TicketView) -> Vec<VoteView> {
        let members = self.protocol.members.iter();
        let votes = members.map(|member| VoteView {
            member: member.name.clone(),
            voting: self.votes_now(member),
            // What others have accepted is not known here; those who answer follow the holder.
            agrees: self.votes_now(member),
            obligation_left_ms: ticket
                .may_run_for
                .filter(|_| member.id == self.roster.me())
                .map(millis),
            note: None,
        });
        votes.collect()
    }
}

fn state(mine: bool, stats: Option<&PeerStats>) -> MemberState {
    match stats {
        _ if mine => MemberState::Me,
        Some(it) if it.address.is_some() => MemberState::Up,
        Some(it) if it.counters.connects > 0 => MemberState::Down,
        Some(it) if it.counters.auth_failures > 0 => MemberState::Refused,
        Some(_) | None => MemberState::Never,
    }
}

fn why_down(stats: &PeerStats) -> Option<String> {
    match stats.address {
        Some(_) => None,
        None => stats.last_error.clone(),
    }
}

fn unix(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
