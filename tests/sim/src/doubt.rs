//! Which member's memory is in doubt. The design survives one lost memory at a time: the next one
//! may come when the last has rejoined, or, where the loss is not visible to the member itself (an
//! old state that looks good), when it has spoken with all others and they with it.

use ticket_protocol::Voting;

use crate::world::World;

/// One member's memory is in doubt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doubt {
    member: u16,
    life: u32,
    /// Peers that it has not yet heard, and peers that have not yet heard it, as bits.
    unheard: u16,
    untold: u16,
    /// The loss cannot be seen by the member itself: only its peers can tell it. The promise is
    /// that they do when they can be heard, so nothing else is broken until then.
    hidden: bool,
}

impl Doubt {
    /// A datagram was delivered.
    pub(crate) fn spoken(&mut self, from: u16, to: u16) {
        if to == self.member {
            self.unheard &= !(1 << from);
        } else if from == self.member {
            self.untold &= !(1 << to);
        }
    }
}

impl World {
    /// A member's memory is damaged now: its next process has to speak with all others.
    pub(crate) fn in_doubt(&mut self, member: u16, hidden: bool) {
        let others = ((1_u16 << self.members.len()) - 1) & !(1 << member);
        let life = self.members[usize::from(member)].life + 1;
        self.doubt = Some(Doubt {
            member,
            life,
            unheard: others,
            untold: others,
            hidden,
        });
        if hidden {
            for other in 0..self.members.len() as u16 {
                if other != member {
                    self.mend(member, other);
                }
            }
        }
    }

    /// Whether a member's memory may be damaged: all others run, vote, and are beyond doubt.
    pub(crate) fn may_lose_memory(&mut self, member: u16) -> bool {
        if let Some(doubt) = self.doubt {
            let node = &self.members[usize::from(doubt.member)];
            // Each process begins anew to find out what it lacks.
            if node.process.is_none() || node.life > doubt.life {
                self.in_doubt(doubt.member, doubt.hidden);
                if let Some(doubt) = self.doubt.as_mut() {
                    doubt.life = self.members[usize::from(doubt.member)].life;
                }
            }
        }
        let settled = self.doubt.is_none_or(|doubt| {
            doubt.member == member || doubt.unheard | doubt.untold == 0 && self.votes(doubt.member)
        });
        settled && (0..self.members.len() as u16).all(|one| one == member || self.votes(one))
    }

    /// Whether a member's hidden loss is still to be found out by its peers.
    pub(crate) fn hidden_doubt(&self) -> Option<u16> {
        let open = |doubt: &Doubt| doubt.hidden && doubt.unheard | doubt.untold != 0;
        self.doubt.filter(open).map(|doubt| doubt.member)
    }

    fn votes(&self, member: u16) -> bool {
        let node = &self.members[usize::from(member)];
        if node.paused
            || self
                .sites
                .get(usize::from(member))
                .is_some_and(|site| site.frozen)
        {
            return false;
        }
        let voting = |process: &ticket_protocol::Participant| {
            process.view(node.local(self.now)).voting == Voting::Yes
        };
        node.process.as_ref().is_some_and(voting)
    }
}
