//! What the service manager is told: ready, status, alive.

use std::time::Duration;

use sd_notify::NotifyState;

/// The service manager, if one started us (`NOTIFY_SOCKET`); otherwise every call does nothing.
#[derive(Debug)]
pub(crate) struct Manager {
    present: bool,
    /// How often it wants a sign of life.
    watchdog: Option<Duration>,
    status: String,
}

impl Manager {
    pub(crate) fn from_environment() -> Self {
        Self {
            present: std::env::var_os("NOTIFY_SOCKET").is_some(),
            watchdog: sd_notify::watchdog_enabled(),
            status: String::new(),
        }
    }

    /// How long the loop may sleep: half of what the watchdog allows, so that one late turn is not
    /// taken for a hang.
    pub(crate) fn sleep_max(&self) -> Option<Duration> {
        self.watchdog.map(|allowed| allowed / 2)
    }

    /// Whether anybody listens.
    pub(crate) fn is_present(&self) -> bool {
        self.present
    }

    pub(crate) fn ready(&self) {
        self.send(&[NotifyState::Ready]);
    }

    pub(crate) fn alive(&self) {
        if self.watchdog.is_some() {
            self.send(&[NotifyState::Watchdog]);
        }
    }

    pub(crate) fn reloading(&self) {
        let mut states = vec![NotifyState::Reloading];
        // `Type=notify-reload` wants the moment; without it the rest is still of use.
        states.extend(NotifyState::monotonic_usec_now());
        self.send(&states);
    }

    pub(crate) fn stopping(&self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// One line for `systemctl status`, sent when it has changed.
    pub(crate) fn status(&mut self, status: String) {
        if self.present && self.status != status {
            self.send(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        if !self.present {
            return;
        }
        if let Err(error) = sd_notify::notify(states) {
            tracing::warn!(%error, "the service manager could not be told");
        }
    }
}
