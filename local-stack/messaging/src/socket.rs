//! One UDP socket for sealed datagrams: many in one system call, both ways.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::{
    set_socket_recv_buffer_size, set_socket_recv_buffer_size_force, set_socket_send_buffer_size,
    set_socket_send_buffer_size_force, socket_recv_buffer_size,
};
use rustix::time::Timespec;

/// The kernel keeps this much for us while we are busy: the window of the largest site and its
/// overhead. Taken where the process may; `status` says where it may not.
const BUFFER_BYTES: usize = 8 << 20;
/// What a UDP packet can hold, less its headers.
const BATCH_BYTES_MAX: usize = 65_000;
/// Room for the largest coalesced batch ...
const RECEIVE_BYTES: usize = 1 << 16;
/// ... and so many of them in one system call: the heartbeats of several peers come together.
const RECEIVE_BATCHES: usize = 4;
/// A full send buffer is waited for that long, once; then the datagrams count as lost.
const SEND_WAIT: Duration = Duration::from_millis(2);

/// The socket and its receive buffer.
pub(crate) struct DataSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    buffer: Vec<u8>,
}

impl DataSocket {
    /// Binds it.
    ///
    /// # Errors
    /// The address is not ours, or in use.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        if set_socket_recv_buffer_size_force(&socket, BUFFER_BYTES).is_err() {
            set_socket_recv_buffer_size(&socket, BUFFER_BYTES)?;
        }
        if set_socket_send_buffer_size_force(&socket, BUFFER_BYTES).is_err() {
            set_socket_send_buffer_size(&socket, BUFFER_BYTES)?;
        }
        Ok(Self {
            socket,
            state,
            buffer: vec![0; RECEIVE_BYTES * RECEIVE_BATCHES],
        })
    }

    /// What the kernel really keeps for us, in bytes.
    pub(crate) fn receive_buffer(&self) -> usize {
        // The kernel tells twice of what was asked for: half is its own overhead.
        socket_recv_buffer_size(&self.socket).map_or(0, |bytes| bytes / 2)
    }

    /// Bytes of datagrams of `size` that one system call takes.
    pub(crate) fn batch_bytes(&self, size: usize) -> usize {
        let segments = self.state.max_gso_segments().min(BATCH_BYTES_MAX / size);
        segments.max(1) * size
    }

    /// Sends a batch of datagrams of `size` each but the last. How many the system did not take.
    pub(crate) fn send(&self, to: SocketAddr, batch: &[u8], size: usize) -> u64 {
        let mut failed = 0;
        for part in batch.chunks(self.batch_bytes(size)) {
            let transmit = Transmit {
                destination: to,
                ecn: None,
                contents: part,
                segment_size: (part.len() > size).then_some(size),
                src_ip: None,
            };
            let once = || {
                self.state
                    .try_send(UdpSockRef::from(&self.socket), &transmit)
            };
            let mut sent = once();
            if matches!(&sent, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                self.wait_for_room();
                sent = once();
            }
            if sent.is_err() {
                failed += part.len().div_ceil(size) as u64;
            }
        }
        failed
    }

    fn wait_for_room(&self) {
        let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(SEND_WAIT.subsec_nanos()),
        };
        // Room or not: the second attempt tells.
        let _ = poll(&mut fds, Some(&wait));
    }

    /// Receives some batches and hands each datagram to `take`; false if there are no more.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(SocketAddr, &mut [u8])) -> bool {
        let mut meta = [RecvMeta::default(); RECEIVE_BATCHES];
        let received = {
            let mut rest = self.buffer.as_mut_slice();
            let mut slices: [IoSliceMut<'_>; RECEIVE_BATCHES] = std::array::from_fn(|_| {
                let (one, others) = std::mem::take(&mut rest).split_at_mut(RECEIVE_BYTES);
                rest = others;
                IoSliceMut::new(one)
            });
            self.state
                .recv(UdpSockRef::from(&self.socket), &mut slices, &mut meta)
        };
        // An error of a datagram that we had sent is not ours to mend: beats tell.
        let Ok(received) = received else {
            return false;
        };
        let batches = self.buffer.chunks_mut(RECEIVE_BYTES).zip(&meta);
        for (buffer, meta) in batches.take(received) {
            for datagram in buffer[..meta.len].chunks_mut(meta.stride.max(1)) {
                take(meta.addr, datagram);
            }
        }
        received == RECEIVE_BATCHES
    }
}

impl AsFd for DataSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
