//! The only place that touches UDP sockets and quinn's runtime, so that everything else also runs
//! on an in-memory network in virtual time (quinn will change these traits; change them here).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};
use socket2::{Domain, Protocol, Socket, Type};

/// Datagram batches taken from the kernel per system call. quinn's own 32 times a coalesced batch
/// of 64 would touch megabytes of its buffer after one burst, and never give them back.
const RECEIVE_BATCH: usize = 2;

/// A bound socket with what is needed to choose it for a destination.
#[derive(Clone, Debug)]
pub struct LinkSocket {
    pub(crate) socket: Arc<dyn AsyncUdpSocket>,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) local: SocketAddr,
    /// An IPv6 socket that carries IPv4 as well.
    pub(crate) dual: bool,
}

impl LinkSocket {
    /// Any socket and runtime: an in-memory network for tests.
    pub fn custom(socket: Arc<dyn AsyncUdpSocket>, runtime: Arc<dyn Runtime>) -> io::Result<Self> {
        let local = socket.local_addr()?;
        Ok(Self {
            socket,
            runtime,
            local,
            dual: false,
        })
    }

    /// A kernel socket. Needs a tokio runtime with I/O around it.
    fn kernel(address: SocketAddr, dual: bool) -> io::Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(!dual)?;
        }
        socket.bind(&address.into())?;
        let socket = TokioRuntime.wrap_udp_socket(UdpSocket::from(socket))?;
        let local = socket.local_addr()?;
        let socket = Arc::new(ShallowBatches(socket));
        Ok(Self {
            socket,
            runtime: Arc::new(TokioRuntime),
            local,
            dual,
        })
    }

    /// Whether packets to `remote` can leave here.
    pub(crate) fn reaches(&self, remote: SocketAddr) -> bool {
        let family = match (remote, self.local) {
            (SocketAddr::V4(_), SocketAddr::V4(_)) | (SocketAddr::V6(_), SocketAddr::V6(_)) => true,
            (SocketAddr::V4(_), SocketAddr::V6(_)) => self.dual,
            (SocketAddr::V6(_), SocketAddr::V4(_)) => false,
        };
        let here = self.local.ip();
        // A socket on a loopback address sends nowhere else, and the other way round.
        family && (here.is_unspecified() || here.is_loopback() == remote.ip().is_loopback())
    }
}

/// Binds the configured addresses; none: a free port on all addresses.
pub(crate) fn bind(listen: &[SocketAddr]) -> Result<Vec<LinkSocket>, (SocketAddr, io::Error)> {
    if listen.is_empty() {
        let any6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
        let any4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let socket = LinkSocket::kernel(any6, true).or_else(|_| LinkSocket::kernel(any4, false));
        return Ok(vec![socket.map_err(|e| (any4, e))?]);
    }
    listen
        .iter()
        .map(|address| bind_one(*address, listen).map_err(|e| (*address, e)))
        .collect()
}

fn bind_one(address: SocketAddr, all: &[SocketAddr]) -> io::Result<LinkSocket> {
    if address.is_ipv4() || !address.ip().is_unspecified() {
        return LinkSocket::kernel(address, false);
    }
    // `[::]` carries IPv4 too, unless IPv4 on that port was asked for separately.
    let separate = all
        .iter()
        .any(|other| other.is_ipv4() && other.port() == address.port());
    match LinkSocket::kernel(address, !separate) {
        // A kernel without IPv6: what was meant is "all addresses".
        Err(e) if e.raw_os_error() == Some(EAFNOSUPPORT) && !separate => {
            let any4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
            LinkSocket::kernel(any4, false)
        }
        other => other,
    }
}

/// `EAFNOSUPPORT` of every Linux architecture that Rust's standard library has.
const EAFNOSUPPORT: i32 = 97;

/// quinn's socket, receiving few batches at a time.
#[derive(Debug)]
struct ShallowBatches(Arc<dyn AsyncUdpSocket>);

impl AsyncUdpSocket for ShallowBatches {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.0.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.0.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let batch = bufs.len().min(RECEIVE_BATCH);
        self.0.poll_recv(cx, &mut bufs[..batch], &mut meta[..batch])
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.0.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.0.may_fragment()
    }
}
