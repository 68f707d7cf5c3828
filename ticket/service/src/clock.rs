//! The one place where a member reads a clock, and its alarm.
//!
//! Leases are counted on `CLOCK_BOOTTIME`, which goes on while a machine is suspended; so does the
//! alarm, a timerfd on the same clock. The real-time clock is read for display and to notice jumps,
//! never to decide.
//!
//! With the feature `test-clock` a process reads a clock of its own: `INTERLOCK_TEST_CLOCK_PPM`
//! makes it faster (or, negative, slower) by so many parts in a million, counted from boot, so that
//! all processes of one node that are given the same value read the same time; the file that
//! `INTERLOCK_TEST_CLOCK_STEP` names holds seconds to be added to the real-time clock and is read
//! at each reading.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use ticket_protocol::Time;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Environment variable with the parts per million by which a `test-clock` build's clock is fast.
pub const TEST_CLOCK_PPM: &str = "INTERLOCK_TEST_CLOCK_PPM";
/// Environment variable with the file of seconds that a `test-clock` build adds to real time.
pub const TEST_CLOCK_STEP: &str = "INTERLOCK_TEST_CLOCK_STEP";

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// This process's clocks. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    #[cfg(feature = "test-clock")]
    test: test_clock::TestClock,
}

impl Clock {
    /// The kernel's clocks; or, in a `test-clock` build, what the environment asks for.
    ///
    /// # Errors
    /// A variable cannot be read, or one is set and this build has no test clock: a laboratory
    /// run with true clocks would prove nothing. Nothing was changed.
    pub fn from_environment() -> Result<Self, String> {
        let text = |name| std::env::var(name).ok();
        Self::from_settings(text(TEST_CLOCK_PPM).as_deref(), text(TEST_CLOCK_STEP))
    }

    #[cfg(feature = "test-clock")]
    fn from_settings(ppm: Option<&str>, step: Option<String>) -> Result<Self, String> {
        let test = test_clock::TestClock::new(ppm, step)?;
        Ok(Self { test })
    }

    #[cfg(not(feature = "test-clock"))]
    fn from_settings(ppm: Option<&str>, step: Option<String>) -> Result<Self, String> {
        if ppm.is_none() && step.is_none() {
            return Ok(Self {});
        }
        Err(format!(
            "{TEST_CLOCK_PPM} or {TEST_CLOCK_STEP} is set, but this program was built without the \
             feature `test-clock`; unset it, or build with --features test-clock"
        ))
    }

    /// Nanoseconds since boot, suspension included.
    pub fn now(&self) -> Time {
        self.local(raw_nanos(ClockId::Boottime))
    }

    /// Nanoseconds since boot, suspension left out: differs from [`Clock::now`] by the time slept.
    pub fn monotonic_nanos(&self) -> u64 {
        self.local(raw_nanos(ClockId::Monotonic)).0
    }

    /// Nanoseconds since 1970 of the real-time clock. For display and jump detection only.
    pub fn realtime_nanos(&self) -> u64 {
        #[cfg(feature = "test-clock")]
        {
            self.test.realtime(raw_nanos(ClockId::Realtime))
        }
        #[cfg(not(feature = "test-clock"))]
        {
            raw_nanos(ClockId::Realtime)
        }
    }

    /// This clock's reading at a reading of the kernel's.
    fn local(&self, raw: u64) -> Time {
        #[cfg(feature = "test-clock")]
        {
            Time(self.test.local(raw))
        }
        #[cfg(not(feature = "test-clock"))]
        {
            Time(raw)
        }
    }

    /// The kernel's reading at which this clock reads `time`, rounded up.
    fn raw(&self, time: Time) -> u64 {
        #[cfg(feature = "test-clock")]
        {
            self.test.raw(time.0)
        }
        #[cfg(not(feature = "test-clock"))]
        {
            time.0
        }
    }
}

fn raw_nanos(clock: ClockId) -> u64 {
    let reading = clock_gettime(clock);
    // Both are non-negative on every clock read here; a negative one counts as the beginning.
    let seconds = u64::try_from(reading.tv_sec).unwrap_or(0);
    seconds * NANOS_PER_SECOND + u64::try_from(reading.tv_nsec).unwrap_or(0)
}

/// Wakes the event loop at a reading of the boot-time clock.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<OwnedFd>,
    clock: Clock,
    at: Option<Time>,
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// The kernel gave no timer (too many open files). Nothing was changed.
    pub fn new(clock: Clock) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        #[expect(
            unsafe_code,
            reason = "tokio leaves a promise about the descriptor to us"
        )]
        // SAFETY: `OwnedFd` names one valid descriptor, always the same, which stays open until the
        // `AsyncFd` that now owns it is dropped.
        let timer = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
        Ok(Self {
            timer,
            clock,
            at: None,
        })
    }

    /// Sets the alarm to `at`, or unsets it. A time that has passed rings at once.
    ///
    /// # Errors
    /// The kernel refused; the alarm is as before.
    pub fn set(&mut self, at: Option<Time>) -> io::Result<()> {
        if at == self.at {
            return Ok(());
        }
        // Zero would disarm the timer; the first nanosecond after boot is as good as the past.
        let raw = at.map_or(0, |at| self.clock.raw(at).max(1));
        let setting = Itimerspec {
            it_interval: timespec(0),
            it_value: timespec(raw),
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &setting)?;
        self.at = at;
        Ok(())
    }

    /// Waits until the alarm rings, and unsets it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The timer cannot be read: the process cannot keep time any more and must stop.
    pub async fn rung(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut expirations = [0_u8; 8];
            let read = ready
                .try_io(|timer| rustix::io::read(timer, &mut expirations).map_err(io::Error::from));
            match read {
                Ok(Ok(_)) => {
                    self.at = None;
                    return Ok(());
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                // Reported ready, but set anew since: wait on.
                Err(_would_block) => {}
            }
        }
    }
}

fn timespec(nanos: u64) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(nanos / NANOS_PER_SECOND).unwrap_or(i64::MAX),
        // Below one thousand million: it fits.
        tv_nsec: i64::try_from(nanos % NANOS_PER_SECOND).unwrap_or(0),
    }
}

#[cfg(feature = "test-clock")]
mod test_clock;

#[cfg(test)]
mod tests;
