//! The device's half: which view of a site may have the vote.
//!
//! ```text
//!  question --> session, number right? --> shares a node with every view that may hold a vote?
//!                    | no: Session/nothing          | no: Wait until the obligation is over
//!                                                   v yes
//!               preferred, or alone for a while? --> stored? --> Vote, obligation counted from now
//!                    | no: Wait                        | no: store, answer when it is
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::words::{Answer, Ask, Members, Session, Verdict, Wish};
use crate::{Rule, stretched};

/// Most nodes of a site, most sites of a device: what a state file has room for.
const NODES_MAX: usize = 64;
const SITES_MAX: usize = 32;

/// Which half gets the vote if nobody holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prefer {
    /// The one with the lowest node.
    #[default]
    Lowest,
    /// The one with most nodes; of two equal ones, the one with the lowest.
    Most,
}

/// One site, as the device is configured for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteConfig {
    /// Its nodes.
    pub nodes: Members,
    /// How long a vote counts without being renewed.
    pub lease: Duration,
    /// Which half is preferred.
    pub prefer: Prefer,
    /// How long the other half waits for the preferred one to ask.
    pub decide_within: Duration,
}

/// What a device keeps on its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// By site.
    pub sites: BTreeMap<String, StoredSite>,
}

/// What it keeps of one site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSite {
    /// Views that may hold a vote.
    pub views: Vec<Members>,
    /// The lease that they were promised.
    pub lease: Duration,
}

/// What the caller has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make this durable, then call [`Device::handle_stored`] with the number.
    Store(u64, Stored),
    /// Send this to a node of the site.
    Send {
        /// The site.
        site: String,
        /// The node.
        node: u32,
        /// What.
        answer: Answer,
    },
}

/// A vote that a node may hold.
#[derive(Clone, Debug)]
struct Running {
    members: Members,
    until: Duration,
}

/// One site's register.
#[derive(Debug)]
struct Site {
    config: SiteConfig,
    sessions: BTreeMap<u32, Session>,
    /// The last question of each node in its session.
    heard: BTreeMap<u32, u64>,
    /// By node: the last view that it got the vote for.
    running: BTreeMap<u32, Running>,
    /// Views that held it when the last process ended, and until when they may.
    restored: Vec<Running>,
    /// Any view may hold it until then.
    lost_until: Option<Duration>,
    /// The views on disk.
    durable: Vec<Members>,
    /// The views that will be, by write under way.
    writing: VecDeque<(u64, Vec<Members>)>,
    /// Since when a view that is not preferred waits, and when it was last asked for.
    contest: Option<(Members, Duration, Duration)>,
}

/// Answers that wait for the disk.
#[derive(Debug)]
struct Waiting {
    write: u64,
    site: String,
    node: u32,
    answer: Answer,
    members: Members,
}

/// The device, for all its sites.
#[derive(Debug)]
pub struct Device {
    process: u64,
    sites: BTreeMap<String, Site>,
    /// What the disk has, with sites that are not configured (any more).
    stored: Stored,
    sessions: u64,
    writes: u64,
    waiting: Vec<Waiting>,
    effects: VecDeque<Effect>,
    weakness: Option<Rule>,
}

impl Device {
    /// A device that has just started. `process` must differ from that of every earlier one (64
    /// random bits will do). `stored`: what its disk has; `None` if that is lost, or was never there.
    pub fn new(
        now: Duration,
        process: u64,
        sites: BTreeMap<String, SiteConfig>,
        stored: Option<Stored>,
    ) -> Self {
        Self::weakened(now, process, sites, stored, None)
    }

    /// The same without one safety rule: for tests that show the rule is needed.
    #[cfg(test)]
    pub(crate) fn without(
        rule: Rule,
        now: Duration,
        process: u64,
        sites: BTreeMap<String, SiteConfig>,
        stored: Option<Stored>,
    ) -> Self {
        Self::weakened(now, process, sites, stored, Some(rule))
    }

    fn weakened(
        now: Duration,
        process: u64,
        sites: BTreeMap<String, SiteConfig>,
        stored: Option<Stored>,
        weakness: Option<Rule>,
    ) -> Self {
        let keeps = |rule| weakness != Some(rule);
        let site = |(name, config): (String, SiteConfig)| {
            let known = stored.as_ref().map(|stored| stored.sites.get(&name));
            let lease = known
                .flatten()
                .map_or(config.lease, |known| known.lease.max(config.lease));
            let until = now + stretched(lease);
            let views = known.flatten().map(|known| known.views.clone());
            let (durable, restored) = match views {
                Some(views) if keeps(Rule::Restart) => (
                    views.clone(),
                    views
                        .into_iter()
                        .map(|members| Running { members, until })
                        .collect(),
                ),
                _ => (Vec::new(), Vec::new()),
            };
            // A memory that is there and does not know the site is one that has never voted for it.
            let lost = known.is_none() && keeps(Rule::LostMemory);
            let site = Site {
                config,
                sessions: BTreeMap::new(),
                heard: BTreeMap::new(),
                running: BTreeMap::new(),
                restored,
                lost_until: lost.then_some(until),
                durable,
                writing: VecDeque::new(),
                contest: None,
            };
            (name, site)
        };
        let sites = sites.into_iter().take(SITES_MAX).map(site).collect();
        let mut device = Self {
            process,
            sites,
            stored: stored.clone().unwrap_or_default(),
            sessions: 0,
            writes: 0,
            waiting: Vec::new(),
            effects: VecDeque::new(),
            weakness,
        };
        if stored.is_none() {
            // From now on there is a memory that knows of no vote, when the obligation is over; until
            // then it must not look as if there had never been one.
            device.begin_memory();
        }
        device
    }

    fn begin_memory(&mut self) {
        self.writes += 1;
        for (name, site) in &mut self.sites {
            // Each node alone: whatever view comes must share a node with each of these, so be all.
            let views: Vec<Members> = site
                .config
                .nodes
                .iter()
                .take(NODES_MAX)
                .map(|node| Members::from([*node]))
                .collect();
            site.writing.push_back((self.writes, views.clone()));
            let lease = site.config.lease;
            self.stored
                .sites
                .insert(name.clone(), StoredSite { views, lease });
        }
        self.effects
            .push_back(Effect::Store(self.writes, self.stored.clone()));
    }

    fn keeps(&self, rule: Rule) -> bool {
        self.weakness != Some(rule)
    }

    /// A question of a node of a site; the link has authenticated both.
    pub fn handle_ask(&mut self, now: Duration, name: &str, ask: Ask) {
        let by_session = self.keeps(Rule::Session);
        let Some(site) = self.sites.get_mut(name) else {
            return;
        };
        site.expire(now);
        let node = ask.node;
        let answer = |verdict| Answer {
            process: ask.process,
            number: ask.number,
            verdict,
        };
        let knows = |members: &Members| members.iter().all(|one| site.config.nodes.contains(one));
        let fits = match &ask.wish {
            Wish::Vote { members, .. } => knows(members) && members.contains(&node),
            Wish::Greet | Wish::Release => true,
        };
        if !site.config.nodes.contains(&node) || !fits {
            self.send(name, node, answer(Verdict::Unknown));
            return;
        }
        let current = ask.session.is_some() && site.sessions.get(&node) == ask.session.as_ref();
        let greets = matches!(ask.wish, Wish::Greet);
        if greets || (!current && by_session) {
            self.sessions += 1;
            let session = Session {
                device: self.process,
                count: self.sessions,
            };
            site.sessions.insert(node, session);
            site.heard.remove(&node);
            self.send(name, node, answer(Verdict::Session(session)));
            return;
        }
        let heard = site.heard.entry(node).or_insert(0);
        if ask.number <= *heard && by_session {
            return;
        }
        *heard = ask.number;
        match ask.wish.clone() {
            Wish::Vote { members, .. } => self.judge(now, name, &ask, members),
            Wish::Release => {
                site.running.remove(&node);
            }
            Wish::Greet => {}
        }
    }

    fn judge(&mut self, now: Duration, name: &str, ask: &Ask, members: Members) {
        let (obliged, store_first) = (self.keeps(Rule::Obligation), self.keeps(Rule::StoreFirst));
        let margin = self.keeps(Rule::Margin);
        let Some(site) = self.sites.get_mut(name) else {
            return;
        };
        let answer = |verdict| Answer {
            process: ask.process,
            number: ask.number,
            verdict,
        };
        let node = ask.node;
        // Both counted at once: whoever has asked all along need not wait for a better one again. Not
        // so after lost memory: the holder, unknown to us, is to have its chance.
        let waits = if site.lost_until.is_some() {
            None
        } else {
            site.waits(now, &members).map(|wait| (wait, false))
        };
        let held = site.held_against(now, node, &members);
        let held = held.filter(|_| obliged).map(|until| (until - now, true));
        let wait = held.max(waits);
        if let Some((again, held)) = wait {
            let verdict = Verdict::Wait { again, held };
            self.send(name, node, answer(verdict));
            return;
        }
        let lease = site.config.lease;
        let owed = if margin { stretched(lease) } else { lease };
        let until = now + owed;
        site.contest = None;
        site.running.insert(
            node,
            Running {
                members: members.clone(),
                until,
            },
        );
        let vote = answer(Verdict::Vote { lease });
        let durable = site.is_durable(&members);
        let views = site.on_disk();
        let last = site.writing.back().map_or(&site.durable, |(_, last)| last);
        // Also when views are over: a restarted device would wait for them.
        if *last != views {
            self.writes += 1;
            site.writing.push_back((self.writes, views.clone()));
            self.stored
                .sites
                .insert(name.to_owned(), StoredSite { views, lease });
            let store = Effect::Store(self.writes, self.stored.clone());
            self.effects.push_back(store);
        }
        if store_first && !durable {
            self.waiting.push(Waiting {
                write: self.writes,
                site: name.to_owned(),
                node,
                answer: vote,
                members,
            });
        } else {
            self.send(name, node, vote);
        }
    }

    /// A store has been made durable; those before it are with it.
    pub fn handle_stored(&mut self, now: Duration, write: u64) {
        for site in self.sites.values_mut() {
            while let Some((_, views)) = site.writing.pop_front_if(|(at, _)| *at <= write) {
                site.durable = views;
            }
        }
        let done: Vec<Waiting> = self
            .waiting
            .extract_if(.., |waiting| waiting.write <= write)
            .collect();
        for waiting in done {
            // It counts from when it is answered, and only if nothing newer came from the node.
            let margin = self.keeps(Rule::Margin);
            let Some(site) = self.sites.get_mut(&waiting.site) else {
                continue;
            };
            let lease = site.config.lease;
            let owed = if margin { stretched(lease) } else { lease };
            let running = site.running.get_mut(&waiting.node);
            let Some(running) = running.filter(|running| running.members == waiting.members) else {
                continue;
            };
            running.until = running.until.max(now + owed);
            self.send(&waiting.site.clone(), waiting.node, waiting.answer);
        }
    }

    fn send(&mut self, site: &str, node: u32, answer: Answer) {
        self.effects.push_back(Effect::Send {
            site: site.to_owned(),
            node,
            answer,
        });
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// For people: the views of a site that may hold the vote, and for how long still.
    pub fn holders(&self, now: Duration, site: &str) -> Vec<(Members, Duration)> {
        let Some(site) = self.sites.get(site) else {
            return Vec::new();
        };
        site.running
            .values()
            .chain(&site.restored)
            .filter(|running| running.until > now)
            .map(|running| (running.members.clone(), running.until - now))
            .collect()
    }
}

impl Site {
    fn expire(&mut self, now: Duration) {
        self.running.retain(|_, running| running.until > now);
        self.restored.retain(|running| running.until > now);
        self.lost_until = self.lost_until.filter(|until| *until > now);
    }

    /// Is the view on disk, and stays there whatever is being written?
    fn is_durable(&self, members: &Members) -> bool {
        let mut writing = self.writing.iter().map(|(_, views)| views);
        self.durable.contains(members) && writing.all(|views| views.contains(members))
    }

    /// Until when a view without a common node may hold the vote. What the node itself held is over:
    /// it has left that view.
    fn held_against(&self, now: Duration, node: u32, members: &Members) -> Option<Duration> {
        let others = self.running.iter().filter(|(other, _)| **other != node);
        let apart = others
            .map(|(_, running)| running)
            .chain(&self.restored)
            .filter(|running| running.until > now && running.members.is_disjoint(members))
            .map(|running| running.until);
        let lost = self.lost_until.filter(|_| *members != self.config.nodes);
        apart.chain(lost).max()
    }

    /// How long the view waits for a better one to ask; `None`: it may have the vote now.
    fn waits(&mut self, now: Duration, members: &Members) -> Option<Duration> {
        let has_it = self
            .running
            .values()
            .chain(&self.restored)
            .any(|running| running.members == *members);
        if has_it || self.preferred(members) {
            return None;
        }
        let within = self.config.decide_within;
        let since = match &self.contest {
            // The same view, and it has not stopped asking meanwhile.
            Some((who, since, last)) if who == members && now - *last <= within.max(MEMORY) => {
                *since
            }
            _ => now,
        };
        self.contest = Some((members.clone(), since, now));
        let over = since + within;
        (over > now).then(|| over - now)
    }

    fn preferred(&self, members: &Members) -> bool {
        let lowest = self.config.nodes.first();
        let has_lowest = lowest.is_some_and(|lowest| members.contains(lowest));
        let (ours, all) = (members.len() * 2, self.config.nodes.len());
        match self.config.prefer {
            Prefer::Lowest => has_lowest,
            Prefer::Most => ours > all || (ours == all && has_lowest),
        }
    }

    /// The views that may hold a vote.
    fn on_disk(&self) -> Vec<Members> {
        let mut views: Vec<Members> = self
            .running
            .values()
            .chain(&self.restored)
            .map(|running| running.members.clone())
            .collect();
        if self.lost_until.is_some() {
            let each = self.config.nodes.iter().map(|node| Members::from([*node]));
            views.extend(each);
        }
        views.sort();
        views.dedup();
        views
    }
}

/// A view that has not asked for longer than this waits from the beginning.
const MEMORY: Duration = Duration::from_secs(2);
