//! The planned move: its target is asked before anything stops, and is asked to take the ticket
//! once it is released.
//!
//! ```text
//!   holder   Check ----> Agree (Moving) ----> Stop ----> Release (Vacant) ----> Grant
//!   target    \-> Checked                                                       \-> granted
//! ```
//!
//! Target, move and deadline are in the register: whoever dies, the target finds a released
//! ticket addressed to it, a holder that restarts takes a stop back, and after the deadline any
//! site takes a ticket that nobody fetched.

use crate::command::{Step, Why};
use crate::ids::{MemberId, TicketId};
use crate::message::Part;
use crate::participant::Participant;
use crate::ticket::{Job, JobKind};
use crate::time::whole_millis;
use crate::value::Transfer;

impl Participant {
    pub(crate) fn ask_target(&mut self, t: usize) {
        let again = self.now.after(self.config.round_timeout);
        let id = self.tickets[t].id;
        let Some(Job {
            kind:
                JobKind::Move {
                    to,
                    check,
                    resend_at,
                    ..
                },
            ..
        }) = &mut self.tickets[t].job
        else {
            return;
        };
        *resend_at = again;
        let (to, check) = (*to, *check);
        self.send(to, Part::Check { ticket: id, check });
        self.progress(t, Step::Check, vec![to], None);
    }

    /// Another member asks whether this site could run a ticket.
    pub(crate) fn on_check(&mut self, from: MemberId, ticket: TicketId, check: u64) {
        let Some(t) = self.ticket_index(ticket) else {
            return;
        };
        self.check_for(t, from, check);
    }

    pub(crate) fn on_checked(&mut self, ticket: TicketId, check: u64, result: Result<(), String>) {
        let Some(t) = self.ticket_index(ticket) else {
            return;
        };
        let (now, me) = (self.now, self.me);
        let id = self.random.next();
        let Some(job) = &mut self.tickets[t].job else {
            return;
        };
        let JobKind::Move {
            to,
            check: asked,
            transfer,
            ..
        } = &mut job.kind
        else {
            return;
        };
        if *asked != check || job.step != Step::Check {
            return;
        }
        if let Err(reason) = result {
            return self.refuse(t, Why::TargetUnfit(reason));
        }
        let wait_ms = whole_millis(job.deadline.since(now));
        let planned = Transfer {
            id,
            from: me,
            to: *to,
            wait_ms,
        };
        *transfer = Some(planned);
        match self.tickets[t].held_mut() {
            Some(held) if !held.on_hold() && held.stop.is_none() => held.transfer = Some(planned),
            _ => return self.refuse(t, Why::Changed),
        }
        self.progress(t, Step::Agree, Vec::new(), None);
        self.touch(t);
    }
}
