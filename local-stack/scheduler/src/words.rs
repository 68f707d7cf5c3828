//! Names of operations and other actions, as small numbers.

use std::collections::HashMap;
use std::rc::Rc;

/// A name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Word(u32);

/// Every name in use.
#[derive(Debug)]
pub(crate) struct Words {
    texts: Vec<Rc<str>>,
    index: HashMap<Rc<str>, Word>,
}

macro_rules! known {
    ($($name:ident = $number:expr, $text:expr;)*) => {
        impl Word {
            $(pub(crate) const $name: Self = Self($number);)*
        }

        const KNOWN: &[&str] = &[$($text),*];
    };
}

known! {
    START = 0, "start";
    RUNNING = 1, "running";
    STOP = 2, "stop";
    STOPPED = 3, "stopped";
    PROMOTE = 4, "promote";
    PROMOTED = 5, "promoted";
    DEMOTE = 6, "demote";
    DEMOTED = 7, "demoted";
    MONITOR = 8, "monitor";
    MIGRATE_TO = 9, "migrate_to";
    MIGRATE_FROM = 10, "migrate_from";
    NOTIFY = 11, "notify";
    NOTIFIED = 12, "notified";
    CANCEL = 13, "cancel";
    DELETE = 14, "delete";
    LRM_DELETE = 15, "lrm_delete";
    RELOAD_AGENT = 16, "reload-agent";
    CLEAR_FAILCOUNT = 17, "clear_failcount";
    STONITH = 18, "stonith";
    SHUTDOWN = 19, "do_shutdown";
    NOTIFIED_RUNNING = 20, "confirmed-post_notify_running";
    NOTIFIED_STOPPED = 21, "confirmed-post_notify_stopped";
    NOTIFIED_PROMOTED = 22, "confirmed-post_notify_promoted";
    NOTIFIED_DEMOTED = 23, "confirmed-post_notify_demoted";
}

impl Default for Words {
    fn default() -> Self {
        let mut words = Self {
            texts: Vec::new(),
            index: HashMap::new(),
        };
        for text in KNOWN {
            words.get(text);
        }
        words
    }
}

impl Words {
    /// The number of a name.
    pub(crate) fn get(&mut self, text: &str) -> Word {
        if let Some(word) = self.index.get(text) {
            return *word;
        }
        let word = Word(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        let text: Rc<str> = text.into();
        self.texts.push(text.clone());
        self.index.insert(text, word);
        word
    }

    pub(crate) fn text(&self, word: Word) -> &str {
        &self.texts[word.0 as usize]
    }

    pub(crate) fn shared(&self, word: Word) -> Rc<str> {
        self.texts[word.0 as usize].clone()
    }
}

impl Word {
    /// What confirms an operation of a collective.
    pub(crate) fn done(self) -> Self {
        match self {
            Self::START => Self::RUNNING,
            Self::STOP => Self::STOPPED,
            Self::PROMOTE => Self::PROMOTED,
            Self::DEMOTE => Self::DEMOTED,
            Self::NOTIFY => Self::NOTIFIED,
            other => other,
        }
    }

    /// The operation that a collective's confirmation stands for.
    pub(crate) fn atomic(self) -> Self {
        match self {
            Self::RUNNING => Self::START,
            Self::STOPPED => Self::STOP,
            Self::PROMOTED => Self::PROMOTE,
            Self::DEMOTED => Self::DEMOTE,
            Self::NOTIFIED => Self::NOTIFY,
            other => other,
        }
    }
}
