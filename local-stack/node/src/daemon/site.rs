//! Several nodes: what the controller wants said and stored, and who waits for it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cib::Cib;
use controller::{Answer as Became, Controller, Effect, Fenced, Ring, Round, Settings, Start};
use stack_api::clock::BootClock;
use stack_api::stack::{Answer, Outcome};
use stack_api::{ErrorBody, ErrorCode};
use tokio::sync::mpsc;

use super::{Daemon, Options, now};
use crate::disk::{DiskError, StateDir, load_cib, load_era, save_cib, save_era};
use crate::ring::{self, RingLink, RingNews};

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

/// What a controller begins with.
pub(super) struct Begin {
    pub(super) settings: Settings,
    pub(super) cib: Cib,
    pub(super) start: Start,
    pub(super) stored: mpsc::Sender<Stored>,
}

/// Reads the CIB. A node that joins others may have none at its first start: it is given the site's.
pub(super) fn load(options: &Options) -> Result<Cib, DiskError> {
    match load_cib(&options.cib) {
        Err(DiskError::Io { source, .. })
            if options.messaging.is_some() && source.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(Cib::empty())
        }
        read => read,
    }
}

/// The controller of one node, or of one of several with messaging around it.
pub(super) fn begin(
    options: &Options,
    state: &StateDir,
    begin: Begin,
) -> Result<(Controller, Option<Site>), Box<dyn std::error::Error>> {
    let Begin {
        settings,
        cib,
        start,
        stored,
    } = begin;
    let at = now(options.clock);
    let Some(config) = &options.messaging else {
        return Ok((Controller::new(settings, cib, start, at), None));
    };
    let me = config.me().map(|node| node.id);
    let ring = Ring {
        me: me.ok_or("messaging does not know this node")?,
        incarnation: incarnation(options.clock),
        era: load_era(&state.era_path(), &cib),
    };
    let controller = Controller::in_ring(settings, cib, start, &ring, at);
    let messaging = messaging::Daemon::start(config.clone())?;
    let link = ring::start(&config.socket)?;
    Ok((controller, Some(Site::new(link, messaging, stored))))
}

/// Unlike that of every process of this node before: the clock of the wall may have been set back, but
/// then the machine's own has gone on.
fn incarnation(clock: BootClock) -> u64 {
    let wall = u64::try_from(clock.wall_s()).unwrap_or(0);
    let process = u64::from(std::process::id());
    (wall << 20) ^ clock.now_ns().rotate_left(32) ^ process.rotate_left(48)
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

    /// Effects that concern other nodes.
    pub(super) fn site_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Fence(order) => {
                let fenced = Fenced {
                    call: Some(order.call),
                    target: order.target,
                    action: order.action,
                    result: Err("there is no fencer on this node".to_owned()),
                };
                let now = now(self.options.clock);
                self.controller.handle_fenced(now, &fenced);
            }
            Effect::Send(word) => self.say(word),
            Effect::Store {
                round,
                number,
                era,
                cib,
            } => self.store(round, number, era, cib),
            Effect::Lost(cib) => self.keep_lost(&cib),
            Effect::Answer { number, answer } => self.became(number, answer),
            other => tracing::error!(?other, "an effect that nobody carries out"),
        }
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
