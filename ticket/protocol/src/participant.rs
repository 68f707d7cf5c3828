//! One member's whole protocol state.

use crate::command::{Command, Forecast};
use crate::config::{Config, StartError};
use crate::durable::Restored;
use crate::effect::{ClusterReport, Effect, WriteFailed};
use crate::ids::{MemberId, RequestId, WriteId};
use crate::message::Message;
use crate::time::Time;
use crate::view::View;

/// One member's whole protocol state. See the crate's documentation for how to drive it.
#[derive(Debug)]
pub struct Participant {
    config: Config,
}

impl Participant {
    /// A member that starts now. `seed` must differ from start to start.
    ///
    /// # Errors
    /// The configuration or the restored state is at fault.
    pub fn new(
        config: Config,
        restored: Restored,
        now: Time,
        seed: u64,
    ) -> Result<Self, StartError> {
        config.validate()?;
        let _ = (restored, now, seed);
        Ok(Self { config })
    }

    /// A datagram of a member that the link has authenticated.
    pub fn handle_message(&mut self, now: Time, from: MemberId, message: Message) {
        let _ = (now, from, message);
    }

    /// An operator's command. Answered by [`Effect::Reply`].
    pub fn handle_command(&mut self, now: Time, id: RequestId, command: Command) {
        let _ = (now, id, command);
    }

    /// What the site's cluster says.
    pub fn handle_report(&mut self, now: Time, report: ClusterReport) {
        let _ = (now, report);
    }

    /// A write is over. After an error this member no longer trusts its memory.
    pub fn handle_written(&mut self, now: Time, id: WriteId, result: Result<(), WriteFailed>) {
        let _ = (now, id, result);
    }

    /// The link to a member is up.
    pub fn handle_connected(&mut self, now: Time, member: MemberId) {
        let _ = (now, member);
    }

    /// The link to a member is down.
    pub fn handle_disconnected(&mut self, now: Time, member: MemberId) {
        let _ = (now, member);
    }

    /// The shell found that this machine's time stood still or went back (a hypervisor's pause, a
    /// restored snapshot): leases are dropped and the member's memory is no longer relied on.
    pub fn handle_lost_time(&mut self, now: Time, reason: &str) {
        let _ = (now, reason);
    }

    /// The time of [`Participant::next_timeout`] has come (or any other time: it does no harm).
    pub fn handle_timeout(&mut self, now: Time) {
        let _ = now;
    }

    /// When [`Participant::handle_timeout`] has to be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        None
    }

    /// What has to be done next; call until `None` after every input.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        None
    }

    /// Everything that this member knows.
    #[must_use]
    pub fn view(&self, now: Time) -> View {
        let _ = now;
        View {
            cluster: self.config.cluster.clone(),
            epoch: self.config.epoch,
            me: self.config.me,
            voting: crate::view::Voting::Yes,
            majority: self.config.majority(),
            members: Vec::new(),
            tickets: Vec::new(),
        }
    }

    /// What a command would do if it were given now, as far as this member knows.
    #[must_use]
    pub fn forecast(&self, now: Time, command: &Command) -> Forecast {
        let _ = (now, command);
        Forecast {
            steps: Vec::new(),
            refused: None,
            wait_first: None,
        }
    }
}
