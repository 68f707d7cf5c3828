//! Which of several connections to one peer counts. Pure: no I/O, no clock; the shell executes
//! the [`Step`]s.
//!
//! ```text
//!             admit                      admit, other process,      contest over,
//!   vacant ----------> active            other address              or active closed
//!                        |  \-------> active + contender ----------> active (the contender)
//!            admit, same |                    | the active one answers
//!            process,    v                    v
//!            other side  active + spare       active, contender refused: duplicate
//! ```
//!
//! Both sides of a pair may dial at once. Then the connection dialled by the member whose name
//! sorts first is the active one at both ends; the other stays open, and is read, until its
//! dialler retires it, so that nothing in flight is lost.

use std::mem;

/// A connection whose two ends have greeted each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Live<C> {
    /// Number of the connection in this process.
    pub(crate) id: u64,
    /// The peer's process.
    pub(crate) instance: u64,
    /// Whether we dialled it.
    pub(crate) ours: bool,
    /// Where the peer is: two living processes cannot have one address.
    pub(crate) place: String,
    /// The connection itself.
    pub(crate) wire: C,
}

/// Why a connection is closed from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// The same process dialled again: it has given the old connection up.
    Superseded,
    /// Another process of that name took its place. Whoever can still read this is a duplicate.
    OtherInstance,
    /// The process known longer lives: the newcomer is a duplicate.
    Duplicate,
}

/// What the shell has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step<C> {
    /// The peer can be reached through this connection now; start reading it.
    Up(Live<C>),
    /// The peer cannot be reached any more.
    Down(String),
    /// Start reading this connection; who can be reached does not change.
    Read(Live<C>),
    /// Close this one.
    Close(Live<C>, Farewell),
    /// We dialled this one and the peer's own is preferred: close it after a while.
    Retire(u64),
    /// Ask the process behind this one whether it lives; end the contest if it stays silent.
    Contest {
        /// The connection known longer.
        known: Live<C>,
        /// The newcomer's number.
        contender: u64,
    },
    /// Two live processes have one name.
    Duplicate {
        /// The process known longer.
        known: Live<C>,
        /// The refused one.
        newcomer: Live<C>,
    },
}

/// The connections to one peer.
#[derive(Debug)]
pub(crate) struct Slot<C> {
    active: Option<Live<C>>,
    spare: Option<Live<C>>,
    contender: Option<Live<C>>,
    /// Whether, of two crossing connections, the one that we dialled is preferred.
    prefer_ours: bool,
}

impl<C: Clone> Slot<C> {
    pub(crate) fn new(prefer_ours: bool) -> Self {
        Self {
            active: None,
            spare: None,
            contender: None,
            prefer_ours,
        }
    }

    /// The connection to send on.
    pub(crate) fn active(&self) -> Option<&Live<C>> {
        self.active.as_ref()
    }

    /// Whether dialling could help.
    pub(crate) fn vacant(&self) -> bool {
        self.active.is_none()
    }

    /// A new connection has greeted.
    pub(crate) fn admit(&mut self, new: Live<C>) -> Vec<Step<C>> {
        let Some(active) = self.active.clone() else {
            self.active = Some(new.clone());
            return vec![Step::Up(new)];
        };
        if active.instance != new.instance {
            return self.challenge(active, new);
        }
        if active.ours == new.ours {
            self.active = Some(new.clone());
            return vec![Step::Read(new), Step::Close(active, Farewell::Superseded)];
        }
        let (keep, spare) = if new.ours == self.prefer_ours {
            (new.clone(), active)
        } else {
            (active, new.clone())
        };
        let mut steps = vec![Step::Read(new)];
        if spare.ours {
            steps.push(Step::Retire(spare.id));
        }
        if let Some(older) = self.spare.replace(spare) {
            steps.push(Step::Close(older, Farewell::Superseded));
        }
        self.active = Some(keep);
        steps
    }

    /// Another process claims the peer's name: a restart, or a copy.
    fn challenge(&mut self, active: Live<C>, new: Live<C>) -> Vec<Step<C>> {
        // The old process cannot have a socket that the new one has: it is gone.
        if active.place == new.place {
            return self.supersede(new);
        }
        let mut steps = Vec::new();
        if let Some(older) = self.contender.replace(new.clone()) {
            steps.push(Step::Close(older, Farewell::Superseded));
        }
        steps.push(Step::Contest {
            known: active,
            contender: new.id,
        });
        steps
    }

    fn supersede(&mut self, new: Live<C>) -> Vec<Step<C>> {
        let mut steps = vec![Step::Down("its process was restarted".to_owned())];
        let gone = [self.active.take(), self.spare.take(), self.contender.take()];
        for old in gone.into_iter().flatten().filter(|old| old.id != new.id) {
            steps.push(Step::Close(old, Farewell::OtherInstance));
        }
        self.active = Some(new.clone());
        steps.push(Step::Up(new));
        steps
    }

    /// A connection has ended.
    pub(crate) fn closed(&mut self, id: u64, why: &str) -> Vec<Step<C>> {
        let is = |slot: &Option<Live<C>>| slot.as_ref().is_some_and(|live| live.id == id);
        if is(&self.spare) {
            self.spare = None;
        } else if is(&self.contender) {
            self.contender = None;
        } else if is(&self.active) {
            self.active = self.spare.take();
            if self.active.is_none() {
                return self.after_loss(why);
            }
        }
        Vec::new()
    }

    fn after_loss(&mut self, why: &str) -> Vec<Step<C>> {
        let mut steps = vec![Step::Down(why.to_owned())];
        if let Some(contender) = self.contender.take() {
            self.active = Some(contender.clone());
            steps.push(Step::Up(contender));
        }
        steps
    }

    /// The process behind a connection has answered our question whether it lives.
    pub(crate) fn answered(&mut self, id: u64) -> Vec<Step<C>> {
        let known = [&self.active, &self.spare]
            .into_iter()
            .flatten()
            .find(|live| live.id == id);
        let Some(known) = known.cloned() else {
            return Vec::new();
        };
        let Some(newcomer) = self.contender.take() else {
            return Vec::new();
        };
        vec![
            Step::Duplicate {
                known,
                newcomer: newcomer.clone(),
            },
            Step::Close(newcomer, Farewell::Duplicate),
        ]
    }

    /// The process known longer did not answer in time.
    pub(crate) fn contest_over(&mut self, contender: u64) -> Vec<Step<C>> {
        match self.contender.take() {
            Some(new) if new.id == contender => self.supersede(new),
            other => {
                self.contender = other;
                Vec::new()
            }
        }
    }

    /// The time to close a connection that lost against the peer's own has come: whether it is
    /// still superfluous.
    pub(crate) fn retire(&mut self, id: u64) -> Option<Live<C>> {
        let superfluous = self.spare.as_ref().is_some_and(|spare| spare.id == id);
        if superfluous && self.active.is_some() {
            self.spare.take()
        } else {
            None
        }
    }

    /// All connections, to close them: the peer was removed from the configuration.
    pub(crate) fn clear(&mut self) -> Vec<Live<C>> {
        let slots = [&mut self.active, &mut self.spare, &mut self.contender];
        slots.into_iter().filter_map(mem::take).collect()
    }
}

#[cfg(test)]
mod tests;
