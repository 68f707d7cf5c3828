//! The quorum device as the daemon uses it: a link of its own to the arbitrator, and the half that
//! asks, driven by the loop.

use std::time::Duration;

use link::{Credentials, Event, Events, Identity, Link, LinkConfig, Peer, Pki};
use membership::{NodeId, NodeSet, Time};
use quorum_device::{Answer, Ask, Asker};
use tokio::sync::mpsc;
use tracing::{debug, info};

use crate::config::{Config, ROLE};
use crate::engine::Engine;
use crate::keys::{KeyEvent, Teller};

/// The role of the device's member in its certificate.
const ARBITRATOR: &str = "arbitrator";
/// Questions on their way to the link's thread.
const ASKS_MAX: usize = 16;

/// The loop's half.
pub(crate) struct DeviceVote {
    asker: Asker,
    asks: mpsc::Sender<Ask>,
    /// The members of the view last delivered.
    members: NodeSet,
    /// Counted at the last look.
    had: bool,
}

/// The link's half: give it to [`serve`] on the links' runtime.
pub(crate) struct DeviceLink {
    asks: mpsc::Receiver<Ask>,
}

/// Both halves, if the site has a device.
pub(crate) fn halves(
    config: &Config,
    me: NodeId,
    process: u64,
) -> Option<(DeviceVote, DeviceLink)> {
    config.quorum.device.as_ref()?;
    let (sender, asks) = mpsc::channel(ASKS_MAX);
    let vote = DeviceVote {
        asker: Asker::new(me.0, process),
        asks: sender,
        members: NodeSet::default(),
        had: false,
    };
    Some((vote, DeviceLink { asks }))
}

/// Binds the link to the arbitrator and carries questions and answers until the runtime ends.
///
/// # Errors
/// What is wrong with the certificates or the address; nothing is bound then.
pub(crate) async fn serve(config: &Config, teller: Teller, half: DeviceLink) -> Result<(), String> {
    let Some(table) = &config.quorum.device else {
        return Ok(());
    };
    let text = |error: &dyn std::fmt::Display| format!("quorum device: {error}");
    let identity = Identity::new(&table.cluster, ROLE, &config.node).map_err(|e| text(&e))?;
    let pki = Pki::in_directory(&table.pki, &config.node);
    let credentials = Credentials::load(&pki, &identity).map_err(|e| text(&e))?;
    let peer = Peer {
        name: table.arbitrator.clone(),
        role: ARBITRATOR.to_owned(),
        addresses: vec![table.address.clone()],
    };
    let settings = LinkConfig::new(credentials, Vec::new(), vec![peer]);
    let (link, events) = Link::bind(settings).await.map_err(|e| text(&e))?;
    let arbitrator = table.arbitrator.clone();
    tokio::spawn(carry(link, arbitrator, events, half.asks, teller));
    Ok(())
}

async fn carry(
    link: Link,
    arbitrator: String,
    mut events: Events,
    mut asks: mpsc::Receiver<Ask>,
    teller: Teller,
) {
    loop {
        tokio::select! {
            ask = asks.recv() => match ask {
                // Lost here is lost as in the network: it is asked again.
                Some(ask) => { let _ = link.send(&arbitrator, &ask.encode()); }
                None => break,
            },
            event = events.recv() => match event {
                Event::Message { from, bytes } => match Answer::decode(&bytes) {
                    Ok(answer) => teller.tell(KeyEvent::Device(Some(answer))),
                    Err(_) => link.count_invalid(&from),
                },
                Event::Up { .. } => teller.tell(KeyEvent::Device(None)),
                Event::Down { why, .. } => teller.tell(KeyEvent::Note {
                    text: format!("the quorum device is not connected: {why}"),
                }),
                Event::Refused { address, why } => teller.tell(KeyEvent::Refused {
                    text: format!("quorum device: {address}: {why}"),
                }),
                Event::Duplicate { .. } | Event::CertificateExpires { .. } => {}
            },
        }
    }
    link.close().await;
}

fn local(now: Time) -> Duration {
    Duration::from_nanos(now.0)
}

impl DeviceVote {
    /// When the loop has to look again.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        let at = self.asker.next_timeout()?;
        Some(Time(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)))
    }

    fn send(&mut self) {
        if let Some(ask) = self.asker.poll_ask() {
            // No room: it is asked again.
            let _ = self.asks.try_send(ask);
        }
    }
}

impl Engine {
    /// A new view: the vote was for the one before.
    pub(crate) fn device_view(&mut self, now: Time, members: &NodeSet) -> bool {
        let Some(device) = &mut self.device else {
            return false;
        };
        device.members = members.clone();
        device.had = false;
        let nodes = members.iter().map(|node| node.0).collect();
        device.asker.handle_view(local(now), nodes);
        device.send();
        false
    }

    /// The device is connected, or says something.
    pub(crate) fn device_says(&mut self, now: Time, answer: Option<Answer>) {
        let Some(device) = &mut self.device else {
            return;
        };
        match answer {
            Some(answer) => {
                debug!("the quorum device says {:?}", answer.verdict);
                device.asker.handle_answer(local(now), answer);
            }
            None => device.asker.handle_connected(local(now)),
        }
        self.device_look(now);
    }

    /// Asks what is due, and tells the quorum when the vote comes or goes.
    pub(crate) fn device_look(&mut self, now: Time) {
        let Some(device) = &mut self.device else {
            return;
        };
        device.asker.handle_timeout(local(now));
        device.send();
        let has = device.asker.has_vote(local(now));
        if has != device.had {
            device.had = has;
            let members = device.members.clone();
            let word = if has { "has" } else { "has not" };
            info!("this view {word} the quorum device's vote");
            let state = self.quorum.update(now, &members, has);
            self.note_quorum(state);
        }
    }

    /// The end: the device need not wait for the lease.
    pub(crate) fn device_release(&mut self, now: Time) {
        if let Some(device) = &mut self.device {
            device.asker.release(local(now));
            device.send();
        }
    }
}
