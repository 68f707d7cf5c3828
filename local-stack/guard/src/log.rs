//! Lines for the journal that never hold the guard up: a thread of its own writes them, and a reader
//! that hangs costs lines, not time.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};

/// Lines that wait for the reader of standard error; more are dropped.
const LINES_BOUND: usize = 256;

static LINES: OnceLock<SyncSender<String>> = OnceLock::new();

/// Writes a line to standard error, some time.
pub(crate) fn line(text: String) {
    let lines = LINES.get_or_init(|| {
        let (sender, receiver) = sync_channel::<String>(LINES_BOUND);
        std::thread::spawn(move || {
            for text in receiver {
                // Nobody reads it: there is nobody to tell.
                let _ = writeln!(std::io::stderr(), "guard: {text}");
            }
        });
        sender
    });
    // Full: dropped, as said above.
    let _ = lines.try_send(text);
}
