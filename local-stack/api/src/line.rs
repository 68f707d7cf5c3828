//! Framing: one JSON object per line, without I/O.

use serde::{Serialize, de::DeserializeOwned};

/// Longest line that is accepted, in bytes. A whole CIB of a large site (some 10 MB in the field's
/// largest published ones) travels as one line; more than this is a peer that went mad.
pub const LINE_BYTES_MAX: usize = 32 << 20;

/// What is wrong with a line. The connection cannot be used further after `TooLong`.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The peer sent more than [`LINE_BYTES_MAX`] bytes without a line's end.
    #[error("a line of more than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// The line is not the JSON object that was expected; the line was dropped.
    #[error("not a valid message: {0}")]
    Json(#[from] serde_json::Error),
}

/// The message as one line, its end included.
///
/// # Panics
/// Never for the types of this crate: they always have a JSON form.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).unwrap_or_else(|error| {
        // Only a map with keys that are not strings, or a failing Serialize, could end here.
        unreachable!("a message of this crate without a JSON form: {error}")
    });
    line.push(b'\n');
    line
}

/// Reads one line (its end may be missing).
///
/// # Errors
/// [`LineError::Json`]; nothing was changed.
pub fn decode<T: DeserializeOwned>(line: &[u8]) -> Result<T, LineError> {
    Ok(serde_json::from_slice(line)?)
}

/// Collects bytes and gives back whole lines.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// How far `bytes` is known to hold no line's end.
    searched: usize,
}

impl LineBuffer {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what was read.
    ///
    /// # Errors
    /// [`LineError::TooLong`]: close the connection.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), LineError> {
        if self.bytes.len() + bytes.len() > LINE_BYTES_MAX {
            return Err(LineError::TooLong);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole line without its end; empty lines are skipped.
    pub fn next_line(&mut self) -> Option<Vec<u8>> {
        loop {
            let Some(at) = self.bytes[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n')
            else {
                self.searched = self.bytes.len();
                return None;
            };
            let end = self.searched + at;
            let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
            self.searched = 0;
            line.pop();
            if !line.is_empty() {
                return Some(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_however_the_bytes_arrive() {
        let mut buffer = LineBuffer::new();
        for byte in b"\n{\"a\":1}\n\n[2]\nrest" {
            buffer.push(&[*byte]).unwrap();
        }
        assert_eq!(buffer.next_line().unwrap(), b"{\"a\":1}");
        assert_eq!(buffer.next_line().unwrap(), b"[2]");
        assert_eq!(buffer.next_line(), None);
        buffer.push(b"!\n").unwrap();
        assert_eq!(buffer.next_line().unwrap(), b"rest!");
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut buffer = LineBuffer::new();
        buffer.push(&vec![b'x'; LINE_BYTES_MAX]).unwrap();
        assert!(matches!(buffer.push(b"x"), Err(LineError::TooLong)));
    }
}
