//! All oracles together, and what an application does: sends, takes, works by the list of nodes.

use membership::{
    Change, Delivery, Guarantee, Node, NodeId, NodeList, Packet, RosterEvent, Time, View, ViewId,
};

use crate::host::{Host, majority};
use crate::oracle::{
    MessageId, OneList, OneQuorate, Process, Promises, SameOrder, SameProcess, Seen, SelfDelivery,
    StoredEverywhere, VirtualSynchrony, read, write,
};
use crate::report::Count;
use crate::world::{Event, World};

/// Every oracle.
pub(crate) struct Oracles {
    one_list: OneList,
    one_quorate: OneQuorate,
    promises: Promises,
    same_order: SameOrder,
    same_process: SameProcess,
    self_delivery: SelfDelivery,
    stored_everywhere: StoredEverywhere,
    virtual_synchrony: VirtualSynchrony,
}

impl Oracles {
    pub(crate) fn of(nodes: usize) -> Self {
        Self {
            one_list: OneList::default(),
            one_quorate: OneQuorate::of(nodes),
            promises: Promises::default(),
            same_order: SameOrder::default(),
            same_process: SameProcess::default(),
            self_delivery: SelfDelivery::default(),
            stored_everywhere: StoredEverywhere::default(),
            virtual_synchrony: VirtualSynchrony::default(),
        }
    }

    /// A process has started.
    pub(crate) fn lives(&mut self, process: Process, node: NodeId, now: Time) {
        self.stored_everywhere.lives(process, node);
        self.same_process.lives(process, now);
    }

    /// A node has taken a packet.
    pub(crate) fn heard(
        &mut self,
        now: Time,
        node: (usize, &Node),
        from: NodeId,
        process: Process,
    ) -> Result<(), String> {
        self.same_process.see(now, node, from, process)
    }

    /// A process sends a packet.
    pub(crate) fn sends(
        &mut self,
        process: Process,
        node: &Node,
        packet: &Packet,
    ) -> Result<(), String> {
        self.promises.sends(process, node, packet)
    }

    /// A process has delivered something: each oracle looks at it.
    fn see(
        &mut self,
        index: usize,
        (nodes, hosts): (&[Node], &[Host]),
        seen: &Seen,
    ) -> Result<(), String> {
        let process = hosts[index].process;
        self.same_order.see(process, seen)?;
        self.self_delivery.see(process, seen)?;
        self.promises.see(process, &nodes[index], seen)?;
        self.virtual_synchrony.see(process, seen)?;
        self.stored_everywhere.see(process, seen, |view, seq| {
            everybody_holds(nodes, hosts, view, seq)
        })
    }

    /// How many of its own messages a process has delivered.
    pub(crate) fn own(&self, process: Process) -> u32 {
        self.self_delivery.own(process)
    }

    /// Forgets views that nobody is in any more, nor can come from.
    pub(crate) fn forget_before(&mut self, counter: u64) {
        self.same_order.forget_before(counter);
        self.virtual_synchrony.forget_before(counter);
        self.stored_everywhere.forget_before(counter);
        self.same_process.forget_before(counter);
    }
}

fn everybody_holds(nodes: &[Node], hosts: &[Host], view: ViewId, seq: u64) -> Result<(), String> {
    for (index, (node, host)) in nodes.iter().zip(hosts).enumerate() {
        if !host.down && node.view().id == view && !node.holds(view, seq) {
            return Err(format!(
                "node {index} does not hold {seq} of {view}, delivered as safe"
            ));
        }
    }
    Ok(())
}

impl World {
    /// The application sends, now and then a good deal at a time.
    pub(crate) fn submit(&mut self, index: usize) -> Result<(), String> {
        if !self.faulty {
            return Ok(());
        }
        let next = self
            .random
            .between(std::time::Duration::ZERO, self.swarm.send_every * 2);
        let at = self.now.after(next);
        self.at(at, Event::Submit { node: index });
        if self.hosts[index].down || self.hosts[index].paused_until > self.now {
            return Ok(());
        }
        let burst = self.swarm.burst * if self.random.chance(20) { 20 } else { 1 };
        for _ in 0..burst {
            let size = self.random.below(self.swarm.message_bytes) as usize;
            let safe = self.random.chance(self.swarm.safe);
            let guarantee = if safe {
                Guarantee::Safe
            } else {
                Guarantee::Agreed
            };
            if !self.queue(index, size, None, guarantee) {
                break;
            }
        }
        self.flush(index)
    }

    /// One message; false if there was no room.
    fn queue(
        &mut self,
        index: usize,
        size: usize,
        word: Option<&[u8]>,
        guarantee: Guarantee,
    ) -> bool {
        let host = &mut self.hosts[index];
        let id = MessageId {
            process: host.process,
            count: host.sent + 1,
        };
        let taken = self.nodes[index]
            .queue(write(id, size, word), guarantee)
            .is_ok();
        if taken {
            host.sent += 1;
        } else {
            self.report.count(Count::FullQueue);
        }
        taken
    }

    fn flush(&mut self, index: usize) -> Result<(), String> {
        let now = self.hosts[index].clock.read(self.now);
        self.nodes[index].flush(now);
        self.settle(index);
        self.take(index)
    }

    /// The application takes what there is, unless it is a slow one.
    pub(crate) fn take(&mut self, index: usize) -> Result<(), String> {
        if self.hosts[index].slow && self.faulty {
            return Ok(());
        }
        self.take_some(index, usize::MAX)
    }

    pub(crate) fn take_some(&mut self, index: usize, most: usize) -> Result<(), String> {
        let now = self.hosts[index].clock.read(self.now);
        for _ in 0..most {
            if self.hosts[index].down {
                return Ok(());
            }
            let Some(delivery) = self.nodes[index].poll_delivery(now) else {
                break;
            };
            self.judge(index, delivery)
                .map_err(|why| format!("{why} (at {} ms)", self.now.0 / 1_000_000))?;
        }
        if !self.hosts[index].words.is_empty() {
            self.say(index);
        }
        self.settle(index);
        Ok(())
    }

    fn judge(&mut self, index: usize, delivery: Delivery) -> Result<(), String> {
        match delivery {
            Delivery::Message {
                view,
                seq,
                guarantee,
                sender,
                bytes,
            } => {
                let letter = read(&bytes)?;
                let id = letter.id;
                self.report.deliveries += 1;
                self.report.mix(u64::from(id.count) ^ seq << 20);
                let seen = Seen::Message {
                    view,
                    seq,
                    id,
                    guarantee,
                };
                self.oracles.see(index, (&self.nodes, &self.hosts), &seen)?;
                match letter.word {
                    Some(word) => self.word(index, sender, word),
                    None => Ok(()),
                }
            }
            Delivery::Transitional { from, members } => {
                self.hosts[index].roster.handle_transitional(&members);
                let seen = Seen::Transitional(from, members);
                self.oracles.see(index, (&self.nodes, &self.hosts), &seen)
            }
            Delivery::View(view) => {
                self.report.views += 1;
                let seen = Seen::View(view.clone());
                self.oracles.see(index, (&self.nodes, &self.hosts), &seen)?;
                self.enter(index, &view)
            }
        }
    }

    /// A new view: may we act in it? And each member says its list.
    fn enter(&mut self, index: usize, view: &View) -> Result<(), String> {
        let host = &mut self.hosts[index];
        host.view = view.id.counter;
        host.members = view.members.clone();
        let now = host.clock.read(self.now);
        host.quorate = host.quorum.update(now, &view.members, false).quorate;
        host.roster.handle_view(view);
        self.note_quorum(index)?;
        self.say(index);
        Ok(())
    }

    fn note_quorum(&mut self, index: usize) -> Result<(), String> {
        let acts = self.hosts[index].quorate && !self.nodes[index].has_left();
        let members = acts.then(|| self.hosts[index].members.clone());
        self.oracles.one_quorate.see(index, members)
    }

    /// Nobody acts there any more.
    pub(crate) fn acts_no_more(&mut self, index: usize) {
        // To say that a node may not act breaks nothing.
        let _ = self.oracles.one_quorate.see(index, None);
    }

    /// Somebody asks for a node more or less.
    pub(crate) fn ask_for_change(&mut self, index: usize, node: NodeId) {
        let host = &mut self.hosts[index];
        if host.down || host.paused_until > self.now || !host.quorate {
            return;
        }
        let there = host.roster.list().nodes().contains(node);
        let change = if there {
            Change::Remove(node)
        } else {
            Change::Add(node, 1)
        };
        if host.roster.propose(change).is_ok() {
            self.say(index);
            self.settle(index);
        }
    }

    /// Sends the roster's words, as far as there is room.
    fn say(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        while let Some(word) = host.roster.poll_message() {
            host.words.push_back(word);
        }
        while let Some(word) = self.hosts[index].words.pop_front() {
            if !self.queue(index, 0, Some(&word), Guarantee::Safe) {
                self.hosts[index].words.push_front(word);
                break;
            }
        }
        let now = self.hosts[index].clock.read(self.now);
        self.nodes[index].flush(now);
    }

    /// A word of the list of nodes comes in the order of all.
    fn word(&mut self, index: usize, sender: NodeId, word: &[u8]) -> Result<(), String> {
        let host = &mut self.hosts[index];
        if !host.roster.handle_message(sender, word, host.quorate) {
            return Err(format!("node {index} does not understand node {sender}"));
        }
        while let Some(event) = self.hosts[index].roster.poll_event() {
            match event {
                RosterEvent::Changed(list) => self.work_by(index, &list)?,
                RosterEvent::Refused { .. } => self.report.count(Count::ListRefused),
            }
        }
        Ok(())
    }

    fn work_by(&mut self, index: usize, list: &NodeList) -> Result<(), String> {
        self.report.count(Count::ListChanged);
        self.oracles.one_list.see(NodeId(index as u32), list)?;
        let now = self.hosts[index].clock.read(self.now);
        self.nodes[index].reconfigure(now, list.nodes());
        let host = &mut self.hosts[index];
        host.quorate = host.quorum.reconfigure(now, majority(list)).quorate;
        self.note_quorum(index)?;
        // Whoever was removed and is added again is started by its operator with this list, unless its
        // own disk knows better.
        for node in list.nodes().iter() {
            let at = node.0 as usize;
            let host = &self.hosts[at];
            if host.outside && host.roster.list().version < list.version {
                self.start(at, list);
            }
        }
        if self.nodes[index].has_left() {
            self.settle(index);
            let host = &mut self.hosts[index];
            (host.down, host.outside) = (true, true);
            self.acts_no_more(index);
        }
        Ok(())
    }
}
