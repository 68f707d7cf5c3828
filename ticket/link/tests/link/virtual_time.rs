//! Real QUIC and TLS on an in-memory network in virtual time: loss, jitter, partitions, and the
//! same trace from the same seed.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::cluster::{credentials, issued, peer};
use link::ca::{Ca, Issued};
use link::{Event, Events, Link, LinkConfig, LinkSocket, SystemNames};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, TokioRuntime, UdpPoller};
use tokio::time::Instant;

#[derive(Debug, Default)]
struct Inbox {
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Weather {
    inboxes: BTreeMap<SocketAddr, Inbox>,
    trace: DefaultHasher,
    datagrams: u64,
    lost: u64,
    random: u64,
    loss_percent: u64,
    /// Directions in which nothing passes.
    cut: Vec<(SocketAddr, SocketAddr)>,
}

impl Weather {
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

#[derive(Clone, Debug)]
struct Net {
    weather: Arc<Mutex<Weather>>,
    begin: Instant,
}

impl Net {
    fn new(seed: u64) -> Self {
        let weather = Weather {
            inboxes: BTreeMap::new(),
            trace: DefaultHasher::new(),
            datagrams: 0,
            lost: 0,
            random: seed * 2 + 1,
            loss_percent: 10,
            cut: Vec::new(),
        };
        Self {
            weather: Arc::new(Mutex::new(weather)),
            begin: Instant::now(),
        }
    }

    fn send(&self, from: SocketAddr, to: SocketAddr, data: &[u8]) {
        let mut weather = self.weather.lock().unwrap();
        (self.begin.elapsed(), from, to, data.len()).hash(&mut weather.trace);
        weather.datagrams += 1;
        let lost = weather.random() % 100 < weather.loss_percent;
        if lost || weather.cut.contains(&(from, to)) {
            weather.lost += 1;
            return;
        }
        let delay = Duration::from_micros(20_000 + weather.random() % 30_000);
        let (net, data) = (self.clone(), data.to_vec());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let mut weather = net.weather.lock().unwrap();
            let inbox = weather.inboxes.entry(to).or_default();
            inbox.waiting.push_back((from, data));
            if let Some(waker) = inbox.waker.take() {
                waker.wake();
            }
        });
    }

    fn cut(&self, a: SocketAddr, b: SocketAddr, both: bool) {
        let mut weather = self.weather.lock().unwrap();
        weather.cut.push((a, b));
        if both {
            weather.cut.push((b, a));
        }
    }

    fn heal(&self) {
        self.weather.lock().unwrap().cut.clear();
    }

    fn trace(&self) -> u64 {
        self.weather.lock().unwrap().trace.finish()
    }
}

#[derive(Debug)]
struct MemorySocket {
    net: Net,
    address: SocketAddr,
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncUdpSocket for MemorySocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.net
            .send(self.address, transmit.destination, transmit.contents);
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut weather = self.net.weather.lock().unwrap();
        let inbox = weather.inboxes.entry(self.address).or_default();
        let Some((from, data)) = inbox.waiting.pop_front() else {
            inbox.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        bufs[0][..data.len()].copy_from_slice(&data);
        meta[0] = RecvMeta {
            addr: from,
            len: data.len(),
            stride: data.len(),
            ..meta[0]
        };
        Poll::Ready(Ok(1))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

struct Cast {
    ca: Ca,
    berlin: Issued,
    paris: Issued,
}

fn addresses() -> (SocketAddr, SocketAddr) {
    ("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap())
}

async fn member(net: &Net, cast: &Cast, name: &str, seed: u64) -> (Link, Events) {
    let (a, b) = addresses();
    let (me, here, other, there) = match name {
        "berlin" => (&cast.berlin, a, "paris", b),
        _ => (&cast.paris, b, "berlin", a),
    };
    let mut config = LinkConfig::new(
        credentials(&cast.ca, me),
        vec![here],
        vec![peer(other, "site", &[there])],
    );
    config.seed = Some(seed);
    let socket = Arc::new(MemorySocket {
        net: net.clone(),
        address: here,
    });
    let socket = LinkSocket::custom(socket, Arc::new(TokioRuntime)).unwrap();
    Link::bind_with(config, vec![socket], Arc::new(SystemNames::default()))
        .await
        .unwrap()
}

/// Sends once every 100 ms; how many of `count` were echoed.
async fn echoes(left: &Link, left_events: &mut Events, count: u32) -> u32 {
    let mut heard = 0;
    for _ in 0..count {
        let _ = left.send("paris", b"are you there?");
        tokio::time::sleep(Duration::from_millis(100)).await;
        while let Some(event) = left_events.try_recv() {
            heard += u32::from(matches!(event, Event::Message { .. }));
        }
    }
    heard
}

/// How long after now the first message comes through.
async fn until_heard(left: &Link, left_events: &mut Events) -> Duration {
    let begin = Instant::now();
    while echoes(left, left_events, 1).await == 0 {
        assert!(begin.elapsed() < Duration::from_secs(60), "never healed");
    }
    begin.elapsed()
}

#[derive(Debug, PartialEq)]
struct Story {
    trace: u64,
    simulated: Duration,
    heard: Vec<u32>,
    healed: Vec<Duration>,
    reconnects: u64,
}

fn play(seed: u64, cast: &Cast) -> Story {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let net = Net::new(seed);
        let (a, b) = addresses();
        let (left, mut left_events) = member(&net, cast, "berlin", seed).await;
        let (right, mut right_events) = member(&net, cast, "paris", seed + 1).await;
        tokio::spawn(async move {
            loop {
                if let Event::Message { from, bytes } = right_events.recv().await {
                    let _ = right.send(&from, &bytes);
                }
            }
        });
        let mut story = Story {
            trace: 0,
            simulated: Duration::ZERO,
            heard: vec![],
            healed: vec![],
            reconnects: 0,
        };
        story
            .healed
            .push(until_heard(&left, &mut left_events).await);
        story.heard.push(echoes(&left, &mut left_events, 200).await);
        // Shorter than the idle timeout, longer than it, and one way only.
        for (cut, both) in [(5, true), (60, true), (60, false)] {
            net.cut(a, b, both);
            echoes(&left, &mut left_events, 2).await;
            story
                .heard
                .push(echoes(&left, &mut left_events, cut * 10).await);
            net.heal();
            story
                .healed
                .push(until_heard(&left, &mut left_events).await);
        }
        story.reconnects = left.stats().peers[0].counters.reconnects;
        story.trace = net.trace();
        story.simulated = net.begin.elapsed();
        story
    })
}

#[test]
fn loss_partition_reconnection_and_the_same_again() {
    let ca = Ca::create("shop").unwrap();
    let (berlin, paris) = (issued(&ca, "site", "berlin"), issued(&ca, "site", "paris"));
    let cast = Cast { ca, berlin, paris };
    let mut worst = Duration::ZERO;
    for seed in 1..=20 {
        let story = play(seed, &cast);
        // 19 % of the echoes get lost with 10 % loss each way.
        assert!(story.heard[0] > 130, "seed {seed}: {story:?}");
        assert_eq!(
            story.heard[1..],
            [0, 0, 0],
            "seed {seed}: heard through a cut"
        );
        // A cut of 5 s leaves the connection as it is.
        assert!(
            story.healed[1] < Duration::from_millis(1_500),
            "seed {seed}: {story:?}"
        );
        worst = worst.max(story.healed.iter().copied().max().unwrap());
        assert!(story.reconnects >= 2, "seed {seed}: {story:?}");
        assert_eq!(play(seed, &cast), story, "seed {seed} is not repeatable");
    }
    println!("longest time from healed to heard: {worst:?}");
    assert!(worst < Duration::from_secs(8), "{worst:?}");
}
