//! The link's own framing: a kind byte before every datagram and stream, and the first words.

/// Longest message that a link carries: a protocol message has a few kB at most.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Version of the framing, checked in [`Hello`]; the ALPN name changes only when this cannot.
const VERSION: u8 = 1;
/// Length of an encoded [`Hello`].
pub(crate) const HELLO_BYTES: usize = 1 + 1 + 8;

/// A message of the protocol above follows.
pub(crate) const MESSAGE: u8 = 1;
/// The receiver shall answer at once: does its process still live?
pub(crate) const PROBE: u8 = 2;
/// It does.
pub(crate) const ANSWER: u8 = 3;
/// First stream of each side.
const HELLO: u8 = 4;

/// Filler of probes: a packet must be longer than a stateless reset for a restarted peer to
/// answer it with one.
pub(crate) const PROBE_PADDING: [u8; 24] = [0; 24];

/// What each side says first, once the certificates are proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Drawn at random by the process at its start.
    pub(crate) instance: u64,
}

impl Hello {
    pub(crate) fn encode(self) -> [u8; HELLO_BYTES] {
        let mut bytes = [0; HELLO_BYTES];
        bytes[0] = HELLO;
        bytes[1] = VERSION;
        bytes[2..].copy_from_slice(&self.instance.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let &[kind, version, ref rest @ ..] = bytes else {
            return Err("the greeting is too short".to_owned());
        };
        if kind != HELLO {
            return Err(format!("a greeting was expected, not kind {kind}"));
        }
        if version != VERSION {
            return Err(format!(
                "it speaks version {version} of the link, we speak {VERSION}"
            ));
        }
        let instance = rest
            .try_into()
            .map_err(|_| "the greeting has a wrong length".to_owned())?;
        Ok(Self {
            instance: u64::from_be_bytes(instance),
        })
    }
}

/// A message with its kind byte.
pub(crate) fn message(bytes: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(1 + bytes.len());
    framed.push(MESSAGE);
    framed.extend_from_slice(bytes);
    framed
}

/// A probe, or the answer to one.
pub(crate) fn probe(kind: u8) -> Vec<u8> {
    let mut framed = vec![kind];
    framed.extend_from_slice(&PROBE_PADDING);
    framed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn hello_round_trip(instance: u64) {
            let hello = Hello { instance };
            prop_assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
        }

        #[test]
        fn hello_takes_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Hello::decode(&bytes);
        }
    }
}
