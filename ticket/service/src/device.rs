//! The arbitrator as quorum device of sites: a task beside the loop, with a register and a file of its
//! own. Nothing of it reaches the ticket protocol, and nothing of that reaches it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use link::{Bytes, Link};
use quorum_device::{Ask, Effect, Prefer, SiteConfig, Stored};
use ticket_config::Config;
use ticket_store::{Loaded, Options, Store};
use tokio::sync::mpsc;

use crate::clock::Clock;

/// Below the member's state directory.
const DIRECTORY: &str = "device";
/// Questions waiting for their turn; each comes again if it is dropped.
const WAITING_MAX: usize = 256;

/// The loop's end of it.
#[derive(Debug)]
pub(crate) struct Device {
    questions: mpsc::Sender<(Arc<str>, Bytes)>,
}

impl Device {
    /// Reads what it remembers and starts it.
    ///
    /// # Errors
    /// The state directory cannot be used; nothing was started.
    pub(crate) fn start(
        config: &Config,
        clock: Clock,
        link: Link,
        process: u64,
    ) -> Result<Self, String> {
        let directory = config.paths.state.join(DIRECTORY);
        let me = config.member.as_deref().unwrap_or_default();
        let options = Options {
            high_water: Some(config.paths.run.join(format!("{me}.device"))),
        };
        let (store, loaded) =
            Store::open(&directory, options).map_err(|error| error.to_string())?;
        let stored = remembered(loaded);
        let nodes = config.devices.iter().flat_map(|device| {
            let one =
                |(name, id): &(String, u32)| (name.as_str().into(), (device.site.clone(), *id));
            device.nodes.iter().map(one)
        });
        let (questions, waiting) = mpsc::channel(WAITING_MAX);
        let task = Task {
            names: config.devices.iter().flat_map(names).collect(),
            nodes: nodes.collect(),
            core: quorum_device::Device::new(now(&clock), process, sites(config), stored),
            store: Some(store),
            clock,
            link,
        };
        tokio::spawn(task.run(waiting));
        Ok(Self { questions })
    }

    /// A message of somebody who is no member.
    pub(crate) fn handle(&self, from: &Arc<str>, bytes: &Bytes) {
        // A question that finds no room comes again.
        let _ = self.questions.try_send((from.clone(), bytes.clone()));
    }
}

fn names(device: &ticket_config::DeviceSite) -> impl Iterator<Item = ((String, u32), String)> + '_ {
    let one = |(name, id): &(String, u32)| ((device.site.clone(), *id), name.clone());
    device.nodes.iter().map(one)
}

fn sites(config: &Config) -> BTreeMap<String, SiteConfig> {
    let site = |device: &ticket_config::DeviceSite| {
        let config = SiteConfig {
            nodes: device.nodes.iter().map(|(_, id)| *id).collect(),
            lease: device.lease,
            prefer: if device.prefer_most {
                Prefer::Most
            } else {
                Prefer::Lowest
            },
            // The preferred half finds out at about the same time; a round trip or two to tell.
            decide_within: DECIDE_WITHIN,
        };
        (device.site.clone(), config)
    };
    config.devices.iter().map(site).collect()
}

/// How long the half that is not preferred waits for the other.
const DECIDE_WITHIN: Duration = Duration::from_millis(600);

/// Whatever is not certainly the last state counts as lost.
fn remembered(loaded: Loaded) -> Option<Stored> {
    match loaded {
        Loaded::State(bytes) => match postcard::from_bytes(&bytes) {
            Ok(stored) => Some(stored),
            Err(error) => {
                tracing::error!(
                    "the quorum device's state makes no sense, it counts as lost: {error}"
                );
                None
            }
        },
        Loaded::Fresh => None,
        Loaded::Lost { loss, .. } => {
            tracing::error!("the quorum device has lost its memory: {loss}");
            None
        }
    }
}

fn now(clock: &Clock) -> Duration {
    Duration::from_nanos(clock.now().0)
}

struct Task {
    /// Site and number of each node, by name.
    nodes: BTreeMap<Arc<str>, (String, u32)>,
    /// The other way round.
    names: BTreeMap<(String, u32), String>,
    core: quorum_device::Device,
    /// Away while it writes.
    store: Option<Store>,
    clock: Clock,
    link: Link,
}

impl Task {
    async fn run(mut self, mut questions: mpsc::Receiver<(Arc<str>, Bytes)>) {
        self.act().await;
        while let Some((from, bytes)) = questions.recv().await {
            let Some((site, node)) = self.nodes.get(&from) else {
                tracing::debug!(%from, "a message of nobody we know");
                continue;
            };
            match Ask::decode(&bytes) {
                Ok(ask) if ask.node == *node => {
                    let site = site.clone();
                    self.core.handle_ask(now(&self.clock), &site, ask);
                    self.act().await;
                }
                Ok(ask) => tracing::warn!(
                    "{from} asks for the quorum device's vote as node {}, and is node {node} here: \
                     compare [device.{site}] with its messaging.toml",
                    ask.node
                ),
                Err(_) => self.link.count_invalid(&from),
            }
        }
    }

    async fn act(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Send { site, node, answer } => {
                    if let Some(name) = self.names.get(&(site, node)) {
                        // Lost here is lost as in the network: it is asked again.
                        let _ = self.link.send(name, &answer.encode());
                    }
                }
                Effect::Store(write, stored) => self.store(write, &stored).await,
            }
        }
    }

    async fn store(&mut self, write: u64, stored: &Stored) {
        let (store, bytes) = (self.store.take(), postcard::to_allocvec(stored));
        let written = tokio::task::spawn_blocking(move || {
            let mut store = store.ok_or("it could not be written before")?;
            let bytes = bytes.map_err(|error| error.to_string())?;
            store.write(&bytes).map_err(|error| error.to_string())?;
            Ok::<Store, String>(store)
        });
        match written.await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(store) => {
                self.store = Some(store);
                self.core.handle_stored(now(&self.clock), write);
            }
            Err(error) => tracing::error!(
                "the quorum device's vote is not given: it cannot be stored: {error}"
            ),
        }
    }
}
