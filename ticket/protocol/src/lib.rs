//! The ticket protocol: registers, leases, obligations, terms. Sans-io.
//!
//! One [`Participant`] is the whole protocol state of one member. The shell around it
//!
//! 1. calls the `handle_*` methods with what happened: a message, an operator's command, a
//!    report of the site's cluster, the result of a write, a connection, a timeout;
//! 2. then calls [`Participant::poll_effect`] until it returns `None`, doing what it says in that
//!    order (an order to the cluster must be handed over before a message that follows it is
//!    sent);
//! 3. then waits for the next input, or until [`Participant::next_timeout`].
//!
//! `now` never goes back between two calls. The protocol reads no clock, no random source, no
//! file and no socket; the same inputs give the same effects.
mod acceptor;
#[cfg(feature = "weaken")]
pub mod anatomy;
mod command;
mod config;
mod durable;
mod effect;
mod errand;
mod holder;
mod ids;
mod job;
mod lease;
mod message;
mod obligation;
mod overview;
mod participant;
mod peer;
mod proposer;
mod random;
mod recovery;
mod report;
mod request;
mod revoke;
mod rules;
mod standstill;
mod storage;
mod takeover;
mod ticket;
mod time;
mod transfer;
mod value;
mod view;
mod voter;
pub mod wire;

pub use command::{Command, Forecast, Outcome, Progress, Refused, Step, Why};
pub use config::{Config, Member, Mode, Role, StartError, TicketConfig};
pub use durable::{DurableState, Owed, Restored, TicketRecord};
pub use effect::{Alarm, ClusterCommand, ClusterReport, Effect, Event, StopCause, WriteFailed};
pub use ids::{
    Ballot, MemberId, MemberSet, RequestId, Seq, StopId, Term, TicketId, TicketName, WriteId,
};
pub use message::{
    Ask, Header, Life, Message, Obliged, Part, Purpose, Reason, Refusal, Renewal, Seen,
};
pub use participant::Participant;
pub use rules::Rules;
pub use time::{Time, stretched, whole_millis};
pub use value::{Accepted, LeaseClass, Phase, PhaseKind, Transfer, Value};
pub use view::{MemberView, TicketView, View, Voting};
