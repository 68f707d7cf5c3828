//! Several nodes: what the controller wants said and stored, and who waits for it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cib::Cib;
use controller::{Answer as Became, Round};
use stack_api::stack::{Answer, Outcome};
use stack_api::{ErrorBody, ErrorCode};
use tokio::sync::mpsc;

use super::{Daemon, now};
use crate::disk::{DiskError, save_cib, save_era};
use crate::ring::{RingLink, RingNews};

/// A copy to be put on disk.
#[derive(Debug)]
pub(super) struct Copy {
    round: Round,
    number: u64,
    era: u64,
    cib: Box<Cib>,
}

/// A copy that was put on disk, or not.
#[derive(Debug)]
pub(crate) struct Stored {
    round: Round,
    number: u64,
    result: Result<(), DiskError>,
}

/// What a node of several has besides.
pub(super) struct Site {
    pub(super) link: RingLink,
    /// Ends when it is dropped.
    _messaging: messaging::Daemon,
    /// Peer and request of each change of the configuration that was asked for here.
    waiting: BTreeMap<u64, (u64, u64)>,
    /// One is being written; the newest waits.
    writing: bool,
    next: Option<Copy>,
    stored: mpsc::Sender<Stored>,
}

impl Site {
    pub(super) fn new(
        link: RingLink,
        messaging: messaging::Daemon,
        stored: mpsc::Sender<Stored>,
    ) -> Self {
        Self {
            link,
            _messaging: messaging,
            waiting: BTreeMap::new(),
            writing: false,
            next: None,
            stored,
        }
    }
}

/// The next thing that messaging tells; never without it.
pub(super) async fn next_ring(site: &mut Option<Site>) -> Option<RingNews> {
    match site {
        Some(site) => site.link.news.recv().await,
        None => std::future::pending().await,
    }
}

impl Daemon {
    /// What messaging told.
    ///
    /// # Errors
    /// Messaging is gone: this node is no part of the site any more.
    pub(super) fn ring(&mut self, news: RingNews) -> Result<(), String> {
        let now = now(self.options.clock);
        match news {
            RingNews::View(view) => self.controller.handle_view(now, view),
            RingNews::Attach(view) => self.controller.handle_attach(now, view),
            RingNews::Message(from, bytes) => self.controller.handle_message(now, from, &bytes),
            RingNews::Broken(why) => return Err(format!("messaging: {why}")),
        }
        Ok(())
    }

    pub(super) fn say(&mut self, word: Vec<u8>) {
        let said = self.site.as_ref().map(|site| site.link.say(word));
        if let Some(Err(why)) = said {
            tracing::error!("{why}: this node takes no part");
        }
    }

    pub(super) fn store(&mut self, round: Round, number: u64, era: u64, cib: Box<Cib>) {
        let Some(site) = &mut self.site else {
            return;
        };
        site.next = Some(Copy {
            round,
            number,
            era,
            cib,
        });
        if !site.writing {
            self.write_next();
        }
    }

    /// Writes beside the loop, the newest only: it makes those before it superfluous.
    fn write_next(&mut self) {
        let Some(site) = &mut self.site else {
            return;
        };
        let Some(copy) = site.next.take() else {
            return;
        };
        site.writing = true;
        let (path, era_path) = (self.options.cib.clone(), self.state.era_path());
        let stored = site.stored.clone();
        tokio::task::spawn_blocking(move || {
            let result =
                save_cib(&path, &copy.cib).and_then(|()| save_era(&era_path, copy.era, &copy.cib));
            let (round, number) = (copy.round, copy.number);
            // The loop is gone when this fails.
            let _ = stored.blocking_send(Stored {
                round,
                number,
                result,
            });
        });
    }

    pub(super) fn stored(&mut self, stored: Stored) {
        if let Some(site) = &mut self.site {
            site.writing = false;
        }
        match stored.result {
            Ok(()) => {
                let now = now(self.options.clock);
                self.controller
                    .handle_stored(now, &stored.round, stored.number);
            }
            Err(error) => tracing::error!(%error, "the CIB is not on this node's disk"),
        }
        self.write_next();
    }

    /// Keeps a configuration that lost against the site's, and says how they differ.
    pub(super) fn keep_lost(&self, lost: &Cib) {
        let path = self.lost_path();
        if let Err(error) = save_cib(&path, lost) {
            tracing::error!(%error, "this node's former configuration is not kept");
            return;
        }
        let present = self.controller.cib().document();
        let patch = cib::patch::diff(lost.document(), present, cib::patch::Options::default());
        let changes = patch.map(|patch| patch.to_text()).unwrap_or_default();
        tracing::warn!(
            path = %path.display(),
            changes,
            "the site goes on with another configuration than this node had; ours is kept"
        );
    }

    fn lost_path(&self) -> PathBuf {
        let version = self.controller.cib().version();
        let name = format!("lost-{}-{version}.xml", self.options.clock.wall_s());
        self.state.file(&name)
    }

    pub(super) fn replace_everywhere(
        &mut self,
        peer: u64,
        id: u64,
        xml: &str,
        force: Option<String>,
    ) -> Result<(), ErrorBody> {
        let cib = Cib::parse(xml, None).map_err(|error| {
            ErrorBody::new(ErrorCode::Data, error.to_string()).hint("nothing was changed")
        })?;
        let offered = cib.version();
        self.controller.offer(cib).map_err(|present| {
            let text = format!("version {offered} is older than {present}, which is in force");
            ErrorBody::new(ErrorCode::Old, text).hint("query the CIB again and repeat the change")
        })?;
        let now = now(self.options.clock);
        let number = self
            .controller
            .replace_everywhere(now, xml.to_owned(), force);
        if let Some(site) = &mut self.site {
            site.waiting.insert(number, (peer, id));
        }
        Ok(())
    }

    /// A change of the configuration has come to its end.
    pub(super) fn became(&mut self, number: u64, became: Became) {
        let waiting = self.site.as_mut();
        let Some((peer, id)) = waiting.and_then(|site| site.waiting.remove(&number)) else {
            return;
        };
        let outcome = match became {
            Became::Done => Outcome::Ok(Answer::Replaced {
                version: self.controller.cib().version().to_string(),
                notes: self.controller.diagnostics().to_vec(),
            }),
            Became::Refused(why) => Outcome::Error(
                ErrorBody::new(ErrorCode::Unavailable, why).hint("nothing was changed"),
            ),
            Became::Unknown(why) => Outcome::Error(ErrorBody::new(ErrorCode::Indeterminate, why)),
        };
        self.control.answer(peer, id, outcome);
    }
}
