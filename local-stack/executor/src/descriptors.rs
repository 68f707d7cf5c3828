//! No descriptor of the daemon reaches an agent.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::{FdFlags, fcntl_setfd};

/// Marks every descriptor above 2 close-on-exec. What this program opens itself is marked anyway; this
/// is for what it inherited. Call it once, before anything is run.
///
/// # Errors
/// `/proc/self/fd` cannot be read: descriptors may leak into agents.
#[expect(
    unsafe_code,
    reason = "a descriptor known by its number only, see below"
)]
pub fn seal() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let Some(fd) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<RawFd>().ok())
        else {
            continue;
        };
        if fd > 2 {
            // SAFETY: the number is used for this one call, which fails for a descriptor that has been
            // closed meanwhile (the listing's own, for one) and changes nothing but its flag.
            let descriptor = unsafe { BorrowedFd::borrow_raw(fd) };
            // A closed one needs no flag.
            let _ = fcntl_setfd(descriptor, FdFlags::CLOEXEC);
        }
    }
    Ok(())
}
