//! From a plan to a cluster: members, sites, and what the oracle has to know of them.

use oracle::{Setup, TicketSetup};
use ticket_protocol::{Config, Member as ConfigMember, MemberId, Mode, Role, Term, TicketConfig};

use crate::faults::Fault;
use crate::member::Member;
use crate::plan::{Clocks, FAST_PPM, KILL_SLACK_NS, MS, Plan, S};
use crate::site::Gate;
use crate::world::{SiteNode, Stack, World};

/// How soon after a resumption the guard has swept.
const KILL_AFTER_THAW_NS: u64 = 50 * MS;
/// Names of tickets; the index is read back from the digit.
pub(crate) const TICKET_NAMES: [&str; 4] = ["t0", "t1", "t2", "t3"];

impl World {
    pub(crate) fn set_up(&mut self) {
        for member in 0..self.plan.members() {
            let ppm = self.rate_of(member);
            let local = self.dice.between(1, 1_000) * S;
            self.members.push(Member::new(self.now, local, ppm));
        }
        for site in 0..self.plan.sites {
            let gates = self.plan.tickets.iter().enumerate();
            let gates: Vec<_> = gates
                .map(|(t, p)| Gate::new(t as u16, site as u16, p))
                .collect();
            self.sites.push(SiteNode {
                claims: vec![None; gates.len()],
                told: vec![None; gates.len()],
                standby: vec![false; gates.len()],
                stale: vec![Term::NONE; gates.len()],
                stops: vec![None; gates.len()],
                arrives: vec![0; gates.len()],
                done: vec![(0, 0); gates.len()],
                holds: vec![None; gates.len()],
                hold_over: vec![None; gates.len()],
                hold_void: vec![(0, 0); gates.len()],
                orders: 0,
                reported: 0,
                stack: Stack::Up,
                frozen: false,
                restarted: (0, 0),
                reads_at: 0,
                powered: true,
                boot: 0,
                waiting: Vec::new(),
                gates,
            });
        }
        for member in 0..self.members.len() {
            self.start(member as u16);
        }
    }

    fn rate_of(&mut self, member: usize) -> i64 {
        let ppm = match self.plan.clocks {
            Clocks::Equal => return 0,
            Clocks::Mixed => self.dice.below(FAST_PPM as u64 + 1) as i64,
            Clocks::SitesSlow if member < self.plan.sites => 0,
            Clocks::SitesSlow => FAST_PPM,
            Clocks::OneSlow if member as u64 == self.plan.seed % 2 => 0,
            Clocks::OneSlow => FAST_PPM,
        };
        self.faults.count(if ppm > FAST_PPM / 2 {
            Fault::FastClock
        } else {
            Fault::SlowClock
        });
        ppm
    }

    pub(crate) fn config(&self, me: u16) -> Config {
        let member = |index: usize| {
            let site = index < self.plan.sites;
            ConfigMember {
                id: MemberId(index as u16),
                name: format!("m{index}"),
                role: if site { Role::Site } else { Role::Arbitrator },
            }
        };
        let members = (0..self.plan.members()).map(member).collect();
        let tickets = self.plan.tickets.iter().zip(&self.names);
        let tickets = tickets
            .map(|(plan, name)| TicketConfig {
                name: name.clone(),
                mode: if plan.manual {
                    Mode::Manual
                } else {
                    Mode::Auto
                },
                lease: std::time::Duration::from_nanos(plan.lease_ns),
                acquire_after: std::time::Duration::from_nanos(plan.acquire_after_ns),
                renew_every: std::time::Duration::from_nanos(plan.renew_ns),
                prefer: plan.prefer.iter().map(|&site| MemberId(site)).collect(),
            })
            .collect();
        let mut config = Config::new("sim", MemberId(me), members, tickets);
        config.rules = self.rules;
        config.round_timeout = std::time::Duration::from_nanos(self.plan.round_timeout_ns);
        config
    }
}

/// What the oracle needs to know of a plan.
pub(crate) fn setup(plan: &Plan) -> Setup {
    let longest = plan.longest_ns();
    let ticket = |(index, ticket): (usize, &crate::plan::TicketPlan)| TicketSetup {
        name: TICKET_NAMES[index].to_owned(),
        manual: ticket.manual,
        stop_budget_ns: ticket.stop_budget_ns + KILL_SLACK_NS / 2,
        liveness_bound_ns: Plan::calm_ns(longest),
    };
    Setup {
        sites: (0..plan.sites).map(|site| format!("m{site}")).collect(),
        tickets: plan.tickets.iter().enumerate().map(ticket).collect(),
        kill_after_thaw_ns: KILL_AFTER_THAW_NS,
    }
}
