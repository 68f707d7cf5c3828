//! What carries the ring's packets? QUIC datagrams, a QUIC stream, or our own sealed datagrams, from
//! one network namespace to another: bytes per second, processor time per byte, round trip.
//!
//! The packets are those of a site's bulk traffic: 1,400 bytes each. One sending thread, one
//! receiving thread, each with a runtime of its own, as two daemons would be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::congestion::{Controller, ControllerFactory};
use quinn::udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustix::time::{ClockId, clock_gettime};

use crate::hosts::Hosts;

/// One packet's content: what fits into 1,500 bytes of Ethernet with any of the three.
const PACKET: usize = 1_400;
/// Packets in one burst of sealed datagrams: what one system call may carry.
const BURST: usize = 40;
/// What may be under way before the receiver has said that it has it.
const WINDOW: u64 = 1_000;
/// The receiver says so after this many.
const ACK_EVERY: u64 = 64;
/// How long each is measured.
const SPAN: Duration = Duration::from_secs(3);
const PORT: u16 = 9_940;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// What one side saw.
#[derive(Default)]
struct Side {
    packets: u64,
    cpu: Duration,
    round_trips: Vec<Duration>,
}

#[derive(Clone, Copy)]
enum Kind {
    Datagrams,
    Stream,
    Sealed,
}

/// Measures all three, one after the other.
///
/// # Errors
/// Which step failed; the namespaces are gone afterwards.
pub(crate) fn run() -> Result<String, String> {
    let hosts = Hosts::up()?;
    let mut text = format!(
        "# {PACKET} byte packets, veth MTU 1500, {} s each; QUIC: quinn, AES-128-GCM, GSO, constant window; \
         sealed: AES-256-GCM, GSO/GRO, window {WINDOW}\n{:<12} {:>8} {:>14} {:>14} {:>12}\n",
        SPAN.as_secs(),
        "",
        "MB/s",
        "ns/B sending",
        "ns/B receiving",
        "round trip"
    );
    for (name, kind) in [
        ("datagrams", Kind::Datagrams),
        ("stream", Kind::Stream),
        ("sealed", Kind::Sealed),
    ] {
        let (near, far) = pair(&hosts, kind)?;
        let bytes = (far.packets.max(1) * PACKET as u64) as f64;
        let trip = crate::figures::median(near.round_trips);
        text += &format!(
            "{name:<12} {:>8.1} {:>14.2} {:>14.2} {:>9} us\n",
            bytes / SPAN.as_secs_f64() / 1e6,
            near.cpu.as_nanos() as f64 / bytes,
            far.cpu.as_nanos() as f64 / bytes,
            trip.as_micros()
        );
    }
    Ok(text)
}

fn pair(hosts: &Hosts, kind: Kind) -> Result<(Side, Side), String> {
    let (ready, wait) = channel();
    std::thread::scope(|scope| {
        let far = scope.spawn(|| hosts.within(1, move || told(receive(kind, &ready))));
        let near = hosts.within(0, move || told(send(kind, &wait)));
        let far = far.join().map_err(|_| "the receiver panicked")??;
        Ok((near?, far))
    })
}

fn told<T>(result: Result<T, Fault>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

fn address(index: usize) -> Result<SocketAddr, Fault> {
    Ok(format!("{}:{PORT}", Hosts::address(index)).parse()?)
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

fn runtime() -> Result<tokio::runtime::Runtime, Fault> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

fn receive(kind: Kind, ready: &Sender<Vec<u8>>) -> Result<Side, Fault> {
    match kind {
        Kind::Sealed => receive_sealed(ready),
        _ => runtime()?.block_on(receive_quic(kind, ready)),
    }
}

fn send(kind: Kind, wait: &Receiver<Vec<u8>>) -> Result<Side, Fault> {
    let certificate = wait.recv()?;
    match kind {
        Kind::Sealed => send_sealed(),
        _ => runtime()?.block_on(send_quic(kind, certificate)),
    }
}

// QUIC

#[derive(Clone, Copy)]
struct Constant;

impl ControllerFactory for Constant {
    fn build(self: Arc<Self>, _now: Instant, _mtu: u16) -> Box<dyn Controller> {
        Box::new(*self)
    }
}

impl Controller for Constant {
    fn on_congestion_event(&mut self, _: Instant, _: Instant, _: bool, _: u64) {}
    fn on_mtu_update(&mut self, _: u16) {}
    fn window(&self) -> u64 {
        WINDOW * PACKET as u64
    }
    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(*self)
    }
    fn initial_window(&self) -> u64 {
        self.window()
    }
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any> {
        self
    }
}

fn transport() -> Arc<quinn::TransportConfig> {
    let mut transport = quinn::TransportConfig::default();
    transport.initial_mtu(1_452).min_mtu(1_452);
    transport.mtu_discovery_config(None);
    transport.congestion_controller_factory(Arc::new(Constant));
    transport.datagram_receive_buffer_size(Some(8 << 20));
    transport.datagram_send_buffer_size(1 << 20);
    transport.initial_rtt(Duration::from_millis(1));
    Arc::new(transport)
}

async fn receive_quic(kind: Kind, ready: &Sender<Vec<u8>>) -> Result<Side, Fault> {
    let issued = rcgen::generate_simple_self_signed(vec!["peer".to_owned()])?;
    let certificate = issued.cert.der().clone();
    let key = rustls_pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der())?;
    let mut config = quinn::ServerConfig::with_single_cert(vec![certificate.clone()], key)?;
    config.transport_config(transport());
    let endpoint = quinn::Endpoint::server(config, address(1)?)?;
    ready.send(certificate.to_vec())?;
    let connection = endpoint.accept().await.ok_or("no caller")?.await?;
    let mut side = Side::default();
    if matches!(kind, Kind::Stream) {
        let mut stream = connection.accept_uni().await?;
        let mut bytes = 0;
        while let Ok(Some(chunk)) = stream.read_chunk(1 << 16, true).await {
            bytes += chunk.bytes.len() as u64;
        }
        side.packets = bytes / PACKET as u64;
    } else {
        while let Ok(bytes) = connection.read_datagram().await {
            if bytes.len() < 64 {
                // One that was sent for the way back.
                connection.send_datagram(bytes)?;
            } else {
                side.packets += 1;
            }
        }
    }
    side.cpu = processor_time();
    Ok(side)
}

async fn send_quic(kind: Kind, certificate: Vec<u8>) -> Result<Side, Fault> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.into())?;
    let mut config = quinn::ClientConfig::with_root_certificates(Arc::new(roots))?;
    config.transport_config(transport());
    let endpoint = quinn::Endpoint::client(address(0)?)?;
    let connection = endpoint.connect_with(config, address(1)?, "peer")?.await?;
    let mut side = Side::default();
    if matches!(kind, Kind::Datagrams) {
        for _ in 0..500 {
            let begun = Instant::now();
            connection.send_datagram(Bytes::from_static(&[0; 32]))?;
            connection.read_datagram().await?;
            side.round_trips.push(begun.elapsed());
        }
    }
    let packet = Bytes::from(vec![7; PACKET]);
    let (begun, before) = (Instant::now(), processor_time());
    if matches!(kind, Kind::Stream) {
        let mut stream = connection.open_uni().await?;
        while begun.elapsed() < SPAN {
            for _ in 0..BURST {
                stream.write_all(&packet).await?;
            }
        }
        stream.reset(0_u32.into())?;
    } else {
        while begun.elapsed() < SPAN {
            for _ in 0..BURST {
                connection.send_datagram_wait(packet.clone()).await?;
            }
        }
    }
    side.cpu = processor_time().saturating_sub(before);
    connection.close(0_u32.into(), b"done");
    endpoint.wait_idle().await;
    Ok(side)
}

// Sealed datagrams

struct Sealed {
    socket: std::net::UdpSocket,
    state: UdpSocketState,
    key: LessSafeKey,
}

impl Sealed {
    fn new(local: SocketAddr) -> Result<Self, Fault> {
        let socket = std::net::UdpSocket::bind(local)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // As any user may; a daemon with the right to takes more.
        state.set_recv_buffer_size(UdpSockRef::from(&socket), 4 << 20)?;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 4 << 20)?;
        socket.set_nonblocking(false)?;
        let key = UnboundKey::new(&AES_256_GCM, &[9; 32]).map_err(|_| "no key")?;
        Ok(Self {
            socket,
            state,
            key: LessSafeKey::new(key),
        })
    }

    fn nonce(counter: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&counter.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    fn seal(&self, counter: u64, content: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        out.extend_from_slice(&counter.to_be_bytes());
        let at = out.len();
        out.extend_from_slice(content);
        let tag = self
            .key
            .seal_in_place_separate_tag(Self::nonce(counter), Aad::empty(), &mut out[at..])
            .map_err(|_| "not sealed")?;
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }

    fn send(&self, to: SocketAddr, contents: &[u8], segment: usize) -> Result<(), Fault> {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size: (contents.len() > segment).then_some(segment),
            src_ip: None,
        };
        loop {
            match self
                .state
                .try_send(UdpSockRef::from(&self.socket), &transmit)
            {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::yield_now();
                }
                other => return Ok(other?),
            }
        }
    }

    /// What comes within 100 ms, opened, each handed to `take`.
    fn receive(
        &self,
        buffer: &mut [u8],
        mut take: impl FnMut(SocketAddr, u64, &[u8]),
    ) -> Result<bool, Fault> {
        let mut poll = [rustix::event::PollFd::new(
            &self.socket,
            rustix::event::PollFlags::IN,
        )];
        let wait = rustix::time::Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        if rustix::event::poll(&mut poll, Some(&wait))? == 0 {
            return Ok(false);
        }
        let mut meta = [RecvMeta::default()];
        let mut slices = [std::io::IoSliceMut::new(buffer)];
        match self
            .state
            .recv(UdpSockRef::from(&self.socket), &mut slices, &mut meta)
        {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        let [meta] = meta;
        for datagram in buffer[..meta.len].chunks_mut(meta.stride.max(1)) {
            let (head, rest) = datagram.split_at_mut(8);
            let counter = u64::from_be_bytes(head.try_into()?);
            let content = self
                .key
                .open_in_place(Self::nonce(counter), Aad::empty(), rest)
                .map_err(|_| "not opened")?;
            take(meta.addr, counter, content);
        }
        Ok(true)
    }
}

fn receive_sealed(ready: &Sender<Vec<u8>>) -> Result<Side, Fault> {
    let sealed = Sealed::new(address(1)?)?;
    ready.send(Vec::new())?;
    let (mut side, mut buffer, mut out) = (Side::default(), vec![0; 1 << 16], Vec::new());
    let mut acknowledged = 0;
    let mut began = false;
    loop {
        let (mut echo, mut from) = (None, None);
        let came = sealed.receive(&mut buffer, |sender, counter, content| {
            from = Some(sender);
            if content.len() < 64 {
                echo = Some(counter);
            } else {
                side.packets += 1;
            }
        })?;
        if !came && began {
            side.cpu = processor_time();
            return Ok(side);
        }
        began |= came;
        let Some(from) = from else { continue };
        if echo.is_some() || side.packets - acknowledged >= ACK_EVERY {
            acknowledged = side.packets;
            out.clear();
            sealed.seal(side.packets, &side.packets.to_be_bytes(), &mut out)?;
            sealed.send(from, &out, PACKET)?;
        }
    }
}

fn send_sealed() -> Result<Side, Fault> {
    let sealed = Sealed::new(address(0)?)?;
    let to = address(1)?;
    let (mut side, mut buffer, mut out) = (Side::default(), vec![0; 1 << 16], Vec::new());
    for count in 0..500 {
        let begun = Instant::now();
        out.clear();
        sealed.seal(1 << 40 | count, &[0; 32], &mut out)?;
        sealed.send(to, &out, PACKET)?;
        sealed.receive(&mut buffer, |_, _, _| {})?;
        side.round_trips.push(begun.elapsed());
    }
    let packet = vec![7; PACKET];
    let (mut sent, mut there) = (0, 0);
    let (begun, before) = (Instant::now(), processor_time());
    while begun.elapsed() < SPAN {
        while sent + BURST as u64 <= there + WINDOW {
            out.clear();
            for _ in 0..BURST {
                sealed.seal(sent, &packet, &mut out)?;
                sent += 1;
            }
            sealed.send(to, &out, PACKET + 8 + AES_256_GCM.tag_len())?;
        }
        if !sealed.receive(&mut buffer, |_, counter, _| there = there.max(counter))? {
            // A burst was lost: the window is opened again.
            there = sent;
        }
    }
    side.cpu = processor_time().saturating_sub(before);
    Ok(side)
}
