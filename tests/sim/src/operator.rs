//! The operator: grants, revokes, moves, standby, activate, forced grants, at any member.

use oracle::{Answer, Ask, Event};
use ticket_protocol::{Command, MemberId, Outcome, PhaseKind, Refused, RequestId, TicketView, Why};

use crate::faults::Fault;
use crate::nemesis::Act;
use crate::plan::S;
use crate::world::{What, World};

/// How often the caretaker looks for tickets that nobody would ever hold again by themselves.
const CARETAKER_NS: u64 = 3 * S;

/// A command without its answer.
#[derive(Clone, Copy, Debug)]
struct Open {
    request: u64,
    member: u16,
    ticket: u16,
    ask: Option<Ask>,
}

/// What the operator is waiting for.
#[derive(Debug, Default)]
pub(crate) struct Operator {
    requests: u64,
    open: Vec<Open>,
    /// Stop the run at the first violation (a replay goes on to show what follows).
    pub(crate) stop_at_first: bool,
    /// The answers of the last command, for scenarios.
    pub(crate) last: Option<Outcome>,
}

impl World {
    /// Gives a command to a member; `None` if its process is not there to take it.
    pub(crate) fn ask(&mut self, member: u16, ticket: u16, ask: Ask, wait_ns: u64) -> Option<u64> {
        self.give(member, ticket, ask, wait_ns, None)
    }

    /// Gives a forced grant to a member.
    pub(crate) fn force(&mut self, member: u16, ticket: u16, to: u16, wait_ns: u64) -> Option<u64> {
        let reason = Some("simulated disaster".to_owned());
        self.give(member, ticket, Ask::Grant { to }, wait_ns, reason)
    }

    fn give(
        &mut self,
        member: u16,
        ticket: u16,
        ask: Ask,
        wait_ns: u64,
        force: Option<String>,
    ) -> Option<u64> {
        let node = &self.members[usize::from(member)];
        if node.process.is_none() || node.paused {
            return None;
        }
        let local = node.local(self.now);
        self.operator.requests += 1;
        let request = self.operator.requests;
        let wait = std::time::Duration::from_nanos(wait_ns);
        let name = self.names[usize::from(ticket)].clone();
        let command = match ask {
            Ask::Grant { to } => Command::Grant {
                ticket: name,
                to: MemberId(to),
                wait,
                force,
            },
            Ask::Revoke => Command::Revoke { ticket: name, wait },
            Ask::Move { to } => Command::Move {
                ticket: name,
                to: MemberId(to),
                wait,
            },
            Ask::Standby { on } => Command::Standby {
                ticket: name,
                on,
                wait,
            },
        };
        self.trace(|| format!("operator asks m{member}: #{request} {command:?}"));
        self.operator.open.push(Open {
            request,
            member,
            ticket,
            ask: Some(ask),
        });
        self.operator.last = None;
        self.stats.asked(ask);
        self.see(Event::Asked {
            request,
            ticket,
            ask,
        });
        if let Some(process) = self.members[usize::from(member)].process.as_mut() {
            process.handle_command(local, RequestId(request), command);
        }
        self.drain(member);
        Some(request)
    }

    /// A member answers a command.
    pub(crate) fn reply(&mut self, id: RequestId, outcome: &Outcome) {
        self.trace(|| format!("operator is told: #{} {outcome:?}", id.0));
        if !outcome.is_final() {
            return;
        }
        let open = &mut self.operator.open;
        let Some(index) = open.iter().position(|one| one.request == id.0) else {
            return;
        };
        let one = open.swap_remove(index);
        let answer = match outcome {
            Outcome::Done { .. } => Answer::Done,
            Outcome::Pending { .. } if one.ask == Some(Ask::Revoke) => Answer::Agreed,
            // A proposal had left, or may have, before these were found: a minority can have
            // stored it, and whoever comes next completes what it finds.
            Outcome::Refused(Refused { why, .. }) if may_have_begun(why) => Answer::Unknown,
            Outcome::Refused(_) => Answer::Refused,
            Outcome::Pending { .. } | Outcome::Unknown { .. } | Outcome::Progress(_) => {
                Answer::Unknown
            }
        };
        if let (Some(Ask::Revoke), Outcome::Done { phase, .. }) = (one.ask, outcome)
            && *phase != PhaseKind::Revoked
        {
            let told = format!("a revoke was reported done with phase {phase:?}");
            self.impossible.get_or_insert(told);
        }
        self.operator.last = Some(outcome.clone());
        self.stats.answered(one.ask, answer);
        let term = match outcome {
            Outcome::Done { term, .. } => term.0,
            _ => self.term_seen_by(one.member, one.ticket),
        };
        self.see(Event::Answered {
            request: one.request,
            answer,
            term,
        });
    }

    /// The member died: whoever waits for it is left without an answer.
    pub(crate) fn operator_lost(&mut self, member: u16) {
        let mut lost = Vec::new();
        self.operator.open.retain(|one| {
            if one.member == member {
                lost.push(one.request);
            }
            one.member != member
        });
        for request in lost {
            self.faults.count(Fault::ClientLeft);
            self.see(Event::Answered {
                request,
                answer: Answer::Unknown,
                term: 0,
            });
        }
    }

    /// The operator's next random command.
    pub(crate) fn operate(&mut self) {
        let every = self.plan.operator_every_ns;
        if !self.storm || every == 0 {
            return;
        }
        let dice = &mut self.operator_dice;
        let member = dice.below(self.members.len() as u64) as u16;
        let ticket = dice.below(self.names.len() as u64) as u16;
        let to = dice.below(self.sites.len() as u64) as u16;
        let wait = dice.between(1, 12) * S;
        let ask = match dice.below(100) {
            0..30 => Ask::Grant { to },
            30..60 => Ask::Move { to },
            60..80 => Ask::Revoke,
            80..88 => Ask::Standby { on: true },
            _ => Ask::Standby { on: false },
        };
        let force = dice.chance(10_000);
        let next = self.now + dice.around(every);
        self.schedule.push(next, What::Act(Act::Operate));
        if force {
            self.force(member, ticket, to, wait);
        } else {
            self.ask(member, ticket, ask, wait);
        }
        // A revoke and a grant on each other's heels, at different members: the delayed one of
        // them must not undo the other. Often back to where it was: what is late of the old term
        // must not be taken for the new one's.
        if ask == Ask::Revoke && self.operator_dice.coin() {
            let other = self.operator_dice.below(self.members.len() as u64) as u16;
            let back = self.operator_dice.coin();
            let holder = (0..self.sites.len() as u16).find(|&site| self.holds(site, ticket));
            let to = holder.filter(|_| back).unwrap_or(to);
            self.ask(other, ticket, Ask::Grant { to }, wait);
        }
    }

    /// Grants what nobody would ever hold again by itself, and ends standby: a run in which every
    /// ticket stays revoked tests nothing.
    pub(crate) fn take_care(&mut self) {
        let at = self.now + CARETAKER_NS;
        self.schedule.push(at, What::Act(Act::TakeCare));
        for ticket in 0..self.names.len() as u16 {
            let Some(member) = self.witness(ticket) else {
                continue;
            };
            let (phase, standby) = self.seen_by(member, ticket);
            let to = self.operator_dice.below(self.sites.len() as u64) as u16;
            match phase {
                PhaseKind::None | PhaseKind::Revoked => {
                    self.ask(member, ticket, Ask::Grant { to }, 4 * S);
                }
                PhaseKind::Vacant if self.plan.tickets[usize::from(ticket)].manual => {
                    self.ask(member, ticket, Ask::Grant { to }, 4 * S);
                }
                _ if standby && self.operator_dice.chance(300_000) => {
                    self.ask(member, ticket, Ask::Standby { on: false }, 4 * S);
                }
                _ => {}
            }
        }
    }

    /// A member whose view of a ticket is worth looking at: one that runs, at random.
    fn witness(&mut self, ticket: u16) -> Option<u16> {
        let first = self.operator_dice.index(self.members.len()) + usize::from(ticket);
        let count = self.members.len();
        let mut order = (0..count).map(|step| (first + step) % count);
        order
            .find(|&index| self.members[index].process.is_some() && !self.members[index].paused)
            .map(|index| index as u16)
    }

    /// What a member knows of a ticket: phase and standby.
    pub(crate) fn seen_by(&self, member: u16, ticket: u16) -> (PhaseKind, bool) {
        let one = self.view_of(member, ticket);
        one.map_or((PhaseKind::None, false), |one| (one.phase, one.standby))
    }

    /// The term that a member knows a ticket to have.
    fn term_seen_by(&self, member: u16, ticket: u16) -> u64 {
        self.view_of(member, ticket).map_or(0, |one| one.term.0)
    }

    pub(crate) fn view_of(&self, member: u16, ticket: u16) -> Option<TicketView> {
        let node = &self.members[usize::from(member)];
        let view = node.process.as_ref()?.view(node.local(self.now));
        let name = &self.names[usize::from(ticket)];
        view.tickets.into_iter().find(|one| one.name == *name)
    }
}

fn may_have_begun(why: &Why) -> bool {
    match why {
        Why::Changed
        | Why::StartFailed(_)
        | Why::StopFailed(_)
        | Why::MayRun
        | Why::NoMajority
        | Why::Unreachable
        | Why::Mute
        | Why::Busy => true,
        Why::UnknownTicket
        | Why::NotASite
        | Why::Granted
        | Why::OnHold(_)
        | Why::NotGranted
        | Why::SameSite
        | Why::TargetUnfit(_)
        | Why::NotLost => false,
    }
}
