//! One timer on `CLOCK_BOOTTIME`, which goes on while a machine or guest is suspended.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use stack_api::clock::BootClock;
use tokio::io::{Interest, unix::AsyncFd};

/// A timer that is set to an instant of this node's clock. Whoever waits for it looks at the clock
/// again before acting.
#[derive(Debug)]
pub struct BootTimer {
    fd: AsyncFd<OwnedFd>,
    clock: BootClock,
}

impl BootTimer {
    /// A timer that is not set. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// The system's own, when there are too many descriptors.
    #[expect(
        unsafe_code,
        reason = "tokio asks for a promise about the descriptor, see below"
    )]
    pub fn new(clock: BootClock) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Boottime, flags)?;
        // SAFETY: the descriptor is owned, open until `AsyncFd` drops it, and never replaced.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE)? };
        Ok(Self { fd, clock })
    }

    /// Sets the timer to an instant (one in the past fires at once); `None` stops it.
    ///
    /// # Errors
    /// The system's own; the timer is as before.
    pub fn set(&self, at_ns: Option<u64>) -> io::Result<()> {
        let at_ns = at_ns.map_or(0, |at| self.clock.machine_ns(at).max(1));
        // Instants beyond what the kernel takes (years away) are cut: they are set again then.
        let at_ns = i64::try_from(at_ns).unwrap_or(i64::MAX);
        let value = Timespec {
            tv_sec: at_ns / 1_000_000_000,
            tv_nsec: at_ns % 1_000_000_000,
        };
        let interval = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let new = Itimerspec {
            it_interval: interval,
            it_value: value,
        };
        timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::ABSTIME, &new)?;
        Ok(())
    }

    /// Waits until the timer fires. Never ends while it is not set.
    ///
    /// # Errors
    /// The system's own.
    pub async fn fired(&self) -> io::Result<()> {
        loop {
            let mut ready = self.fd.readable().await?;
            let mut count = [0; 8];
            match rustix::io::read(self.fd.get_ref(), &mut count) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
