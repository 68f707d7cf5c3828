//! The network between the members: every datagram passes through this process, so that an
//! unprivileged demo can cut, delay and lose traffic in each direction by itself.
//!
//! A member `a` knows its peer `b` by an address of the relay that belongs to the pair `a -> b`.
//! What arrives there travels towards `b` from a second socket of the same pair, so that `b`
//! answers to that socket and its answers find their way back:
//!
//! ```text
//!   a  <-->  near(a->b) | far(a->b)  <-->  b
//!              a to b ------------>            rules[a][b]
//!            <------------ b to a              rules[b][a]
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

/// The largest datagram that UDP carries.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Datagrams under way in one pair. A link of 1 s latency and 4,000 datagrams per second fits; what
/// is above is dropped, as a router would.
const IN_FLIGHT_MAX: usize = 4_096;

/// A member as the relay sees it: where it really listens.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) listen: SocketAddr,
}

/// What happens to datagrams in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path {
    /// Nothing passes.
    pub(crate) cut: bool,
    /// One-way delay.
    pub(crate) latency: Duration,
    /// Loss in parts per million.
    pub(crate) loss_ppm: u32,
}

/// Rules and counters of all directions, indexed `[from][to]`.
#[derive(Debug)]
struct Rules {
    paths: Vec<Vec<Path>>,
    passed: Vec<Vec<u64>>,
    dropped: Vec<Vec<u64>>,
    /// State of a xorshift generator: the loss need not be more random than that.
    random: u64,
}

impl Rules {
    fn new(members: usize) -> Self {
        Self {
            paths: vec![vec![Path::default(); members]; members],
            passed: vec![vec![0; members]; members],
            dropped: vec![vec![0; members]; members],
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// Decides on one datagram: how long it is under way, or `None` if it is lost.
    fn judge(&mut self, from: usize, to: usize) -> Option<Duration> {
        let path = self.paths[from][to];
        let lost = path.cut || self.roll() < u64::from(path.loss_ppm);
        let counter = if lost {
            &mut self.dropped
        } else {
            &mut self.passed
        };
        counter[from][to] += 1;
        (!lost).then_some(path.latency)
    }

    /// A number below one million.
    fn roll(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 1_000_000
    }
}

/// The running relay. Its thread lives as long as the process.
#[derive(Debug)]
pub(crate) struct Relay {
    names: Vec<String>,
    rules: Arc<Mutex<Rules>>,
    /// The relay's address for `from` to reach `to`, indexed `[from][to]`.
    near: Vec<Vec<Option<SocketAddr>>>,
}

impl Relay {
    /// Binds two sockets for each ordered pair and starts to forward.
    pub(crate) fn start(members: &[Endpoint]) -> io::Result<Self> {
        let rules = Arc::new(Mutex::new(Rules::new(members.len())));
        let mut near = vec![vec![None; members.len()]; members.len()];
        let mut pairs = Vec::new();
        for (from, row) in near.iter_mut().enumerate() {
            for (to, slot) in row.iter_mut().enumerate() {
                if from == to {
                    continue;
                }
                let pair = Pair::bind(from, to, members[to].listen)?;
                *slot = Some(pair.near.local_addr()?);
                pairs.push(pair);
            }
        }
        let shared = Arc::clone(&rules);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new().name("relay".into()).spawn(move || {
            runtime.block_on(async move {
                let tasks: Vec<_> = pairs
                    .into_iter()
                    .map(|pair| tokio::spawn(pair.forward(Arc::clone(&shared))))
                    .collect();
                for task in tasks {
                    // A pair ends only with the process or by a socket error, which it printed.
                    drop(task.await);
                }
            });
        })?;
        let names = members.iter().map(|member| member.name.clone()).collect();
        Ok(Self { names, rules, near })
    }

    /// Where `from` has to send in order to reach `to`.
    pub(crate) fn address(&self, from: &str, to: &str) -> Option<SocketAddr> {
        self.near[self.index(from)?][self.index(to)?]
    }

    /// Changes the path `from -> to`; false if one of them is not a member.
    pub(crate) fn change(&self, from: &str, to: &str, edit: impl FnOnce(&mut Path)) -> bool {
        let (Some(from), Some(to)) = (self.index(from), self.index(to)) else {
            return false;
        };
        edit(&mut self.lock().paths[from][to]);
        true
    }

    /// Every direction that is not perfect, with the datagrams passed and dropped there.
    pub(crate) fn disturbed(&self) -> Vec<(String, String, Path, u64, u64)> {
        let rules = self.lock();
        let mut found = Vec::new();
        for (from, row) in rules.paths.iter().enumerate() {
            for (to, path) in row.iter().enumerate() {
                if *path != Path::default() {
                    found.push((
                        self.names[from].clone(),
                        self.names[to].clone(),
                        *path,
                        rules.passed[from][to],
                        rules.dropped[from][to],
                    ));
                }
            }
        }
        found
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    fn lock(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One ordered pair: `from` dials `to`.
struct Pair {
    from: usize,
    to: usize,
    target: SocketAddr,
    near: std::net::UdpSocket,
    far: std::net::UdpSocket,
}

impl Pair {
    fn bind(from: usize, to: usize, target: SocketAddr) -> io::Result<Self> {
        let open = || {
            let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        Ok(Self {
            from,
            to,
            target,
            near: open()?,
            far: open()?,
        })
    }

    async fn forward(self, rules: Arc<Mutex<Rules>>) {
        if let Err(error) = self.run(rules).await {
            eprintln!("demo: the relay lost a socket: {error}");
        }
    }

    async fn run(self, rules: Arc<Mutex<Rules>>) -> io::Result<()> {
        let near = UdpSocket::from_std(self.near)?;
        let far = UdpSocket::from_std(self.far)?;
        let mut caller: Option<SocketAddr> = None;
        let mut queue = Queue::default();
        let mut there = vec![0_u8; DATAGRAM_BYTES_MAX];
        let mut back = vec![0_u8; DATAGRAM_BYTES_MAX];
        loop {
            let due = queue.next_due();
            let (length, outward) = tokio::select! {
                received = near.recv_from(&mut there) => match received {
                    Ok((length, source)) => { caller = Some(source); (length, true) }
                    Err(_) => continue,
                },
                received = far.recv_from(&mut back) => match received {
                    Ok((length, _)) => (length, false),
                    Err(_) => continue,
                },
                () = wait_until(due) => {
                    while let Some(datagram) = queue.take_due(Instant::now()) {
                        deliver(&near, &far, self.target, caller, &datagram);
                    }
                    continue;
                }
            };
            let (from, to) = if outward {
                (self.from, self.to)
            } else {
                (self.to, self.from)
            };
            let verdict = rules
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .judge(from, to);
            let Some(latency) = verdict else { continue };
            let bytes = if outward {
                &there[..length]
            } else {
                &back[..length]
            };
            let datagram = Datagram {
                outward,
                bytes: bytes.to_vec(),
            };
            if latency.is_zero() {
                deliver(&near, &far, self.target, caller, &datagram);
            } else {
                queue.push(Instant::now() + latency, datagram);
            }
        }
    }
}

/// Sends one datagram on; a full socket buffer loses it, as a full router queue does.
fn deliver(
    near: &UdpSocket,
    far: &UdpSocket,
    target: SocketAddr,
    caller: Option<SocketAddr>,
    datagram: &Datagram,
) {
    if datagram.outward {
        let _lost_if_full = far.try_send_to(&datagram.bytes, target);
    } else if let Some(caller) = caller {
        let _lost_if_full = near.try_send_to(&datagram.bytes, caller);
    }
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[derive(Debug)]
struct Datagram {
    outward: bool,
    bytes: Vec<u8>,
}

/// Datagrams under way, by the time of their arrival; `order` keeps those of one instant in line.
#[derive(Debug, Default)]
struct Queue {
    heap: BinaryHeap<Reverse<Waiting>>,
    order: u64,
}

#[derive(Debug)]
struct Waiting {
    due: Instant,
    order: u64,
    datagram: Datagram,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

impl Queue {
    fn push(&mut self, due: Instant, datagram: Datagram) {
        if self.heap.len() < IN_FLIGHT_MAX {
            self.order += 1;
            self.heap.push(Reverse(Waiting {
                due,
                order: self.order,
                datagram,
            }));
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|waiting| waiting.0.due)
    }

    fn take_due(&mut self, now: Instant) -> Option<Datagram> {
        if self.next_due()? > now {
            return None;
        }
        self.heap.pop().map(|waiting| waiting.0.datagram)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket as Plain;

    use super::*;

    struct Line {
        relay: Relay,
        a: Plain,
        b: Plain,
    }

    /// Two members, `a` and `b`, and the relay between them.
    fn line() -> Line {
        let open = || {
            let socket = Plain::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_millis(300)))
                .unwrap();
            socket
        };
        let (a, b) = (open(), open());
        let endpoint = |name: &str, socket: &Plain| Endpoint {
            name: name.into(),
            listen: socket.local_addr().unwrap(),
        };
        let relay = Relay::start(&[endpoint("a", &a), endpoint("b", &b)]).unwrap();
        Line { relay, a, b }
    }

    fn receive(socket: &Plain) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buffer = [0; 64];
        let (length, source) = socket.recv_from(&mut buffer).ok()?;
        Some((buffer[..length].to_vec(), source))
    }

    #[test]
    fn a_question_and_its_answer_pass() {
        let line = line();
        line.a
            .send_to(b"ping", line.relay.address("a", "b").unwrap())
            .unwrap();
        let (question, source) = receive(&line.b).unwrap();
        assert_eq!(question, b"ping");
        line.b.send_to(b"pong", source).unwrap();
        assert_eq!(receive(&line.a).unwrap().0, b"pong");
    }

    #[test]
    fn a_one_way_cut_stops_one_direction_only() {
        let line = line();
        let towards_b = line.relay.address("a", "b").unwrap();
        assert!(line.relay.change("b", "a", |path| path.cut = true));
        line.a.send_to(b"ping", towards_b).unwrap();
        let (_, source) = receive(&line.b).unwrap();
        line.b.send_to(b"lost", source).unwrap();
        assert!(receive(&line.a).is_none());
        // Also where b dials a: the direction counts, not who dialled.
        line.b
            .send_to(b"lost", line.relay.address("b", "a").unwrap())
            .unwrap();
        assert!(receive(&line.a).is_none());
        assert_eq!(line.relay.disturbed().len(), 1);
        assert_eq!(line.relay.disturbed()[0].4, 2);
    }

    #[test]
    fn latency_delays_and_keeps_the_order() {
        let line = line();
        let towards_b = line.relay.address("a", "b").unwrap();
        line.relay
            .change("a", "b", |path| path.latency = Duration::from_millis(60));
        let sent = std::time::Instant::now();
        line.a.send_to(b"1", towards_b).unwrap();
        line.a.send_to(b"2", towards_b).unwrap();
        assert_eq!(receive(&line.b).unwrap().0, b"1");
        assert!(sent.elapsed() >= Duration::from_millis(60));
        assert_eq!(receive(&line.b).unwrap().0, b"2");
    }

    #[test]
    fn loss_is_about_what_was_asked() {
        let mut rules = Rules::new(2);
        rules.paths[0][1].loss_ppm = 200_000;
        let lost = (0..10_000).filter(|_| rules.judge(0, 1).is_none()).count();
        assert!(
            (1_700..2_300).contains(&lost),
            "{lost} of 10,000 lost at 20 %"
        );
    }
}
