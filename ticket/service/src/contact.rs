//! Which members answer: sooner known here than by the link, which waits for its idle timeout.

use std::collections::BTreeMap;
use std::time::Duration;

use ticket_protocol::{MemberId, Time};

/// A member that was sent messages for longer than this without a word of its own is silent. Far
/// above the round trips for which leases of seconds make sense.
const SILENT: Duration = Duration::from_secs(2);

/// What was sent to each member since it was last heard. Silence counts only while we talk: an idle
/// cluster has nothing to say for hours, and single notices are owed no answer.
#[derive(Debug, Default)]
pub(crate) struct Contacts {
    unanswered: BTreeMap<MemberId, Unanswered>,
}

#[derive(Debug, Clone, Copy)]
struct Unanswered {
    first: Time,
    last: Time,
}

impl Contacts {
    pub(crate) fn sent(&mut self, member: MemberId, now: Time) {
        let first = Unanswered {
            first: now,
            last: now,
        };
        self.unanswered.entry(member).or_insert(first).last = now;
    }

    pub(crate) fn heard(&mut self, member: MemberId) {
        self.unanswered.remove(&member);
    }

    /// Whether we have been talking to it in vain.
    pub(crate) fn is_silent(&self, member: MemberId) -> bool {
        self.unanswered
            .get(&member)
            .is_some_and(|it| it.last.since(it.first) > SILENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_talking_in_vain() {
        let mut contacts = Contacts::default();
        let paris = MemberId(2);
        contacts.sent(paris, Time(0));
        assert!(!contacts.is_silent(paris), "one notice proves nothing");
        contacts.sent(paris, Time(3_000_000_000));
        assert!(contacts.is_silent(paris));
        contacts.heard(paris);
        assert!(!contacts.is_silent(paris));
    }
}
