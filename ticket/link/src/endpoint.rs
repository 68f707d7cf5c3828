//! quinn's parameters: small, silent when idle, never slowed down by loss.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory};
use quinn::{
    ClientConfig, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt,
    VarIntBoundsExceeded,
};
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;
use thiserror::Error;

use crate::config::Timing;
use crate::credentials::Credentials;
use crate::frame::MESSAGE_BYTES_MAX;
use crate::tls;

/// Connections being established by others at one time; more are turned away unread.
pub(crate) const HANDSHAKES_MAX: usize = 16;
/// From this many on, a newcomer first has to prove its address (one round trip more), so that
/// forged ones cannot keep the places occupied.
pub(crate) const HANDSHAKES_UNVERIFIED_MAX: usize = 4;
/// Long messages under way to or from one peer at one time.
pub(crate) const STREAMS_MAX: u32 = 8;
/// Datagrams waiting inside QUIC, per connection and direction: some hundred messages.
pub(crate) const DATAGRAM_BUFFER_BYTES: usize = 64 * 1024;
/// Bytes in flight on one connection. What we carry is small and urgent and its rate is set by
/// the protocol above; slowing it down after a loss would only delay a renewal. So the window
/// is constant, and large enough that unanswered resends never fill it before the idle timeout.
const WINDOW_BYTES: u64 = 1 << 20;
/// Bytes that a stranger may make us keep before its handshake is looked at.
const STRANGER_BYTES: u64 = 8 * 1024;

/// Parameters that quinn or rustls do not take. Nothing was bound.
#[derive(Debug, Error)]
pub(crate) enum ParameterError {
    /// TLS refused the credentials.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A time is too long for QUIC.
    #[error("the idle timeout is too long")]
    Timeout(#[from] VarIntBoundsExceeded),
}

/// What an endpoint and its connections are made from.
pub(crate) struct Parameters {
    pub(crate) client: ClientConfig,
    pub(crate) server: ServerConfig,
}

impl Parameters {
    pub(crate) fn new(credentials: &Credentials, timing: &Timing) -> Result<Self, ParameterError> {
        let transport = Arc::new(transport(timing)?);
        let mut client = ClientConfig::new(Arc::new(tls::client(credentials)?));
        client.transport_config(transport.clone());
        let mut server = ServerConfig::with_crypto(Arc::new(tls::server(credentials)?));
        server.transport_config(transport);
        server.max_incoming(HANDSHAKES_MAX);
        server.incoming_buffer_size(STRANGER_BYTES);
        server.incoming_buffer_size_total(STRANGER_BYTES * HANDSHAKES_MAX as u64);
        // Address tokens for later connections would be state kept for nothing.
        let mut tokens = quinn::ValidationTokenConfig::default();
        tokens.sent(0);
        server.validation_token_config(tokens);
        Ok(Self { client, server })
    }
}

fn transport(timing: &Timing) -> Result<TransportConfig, VarIntBoundsExceeded> {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(IdleTimeout::try_from(timing.idle_timeout)?));
    transport.keep_alive_interval(Some(timing.keep_alive));
    transport.initial_rtt(timing.initial_rtt);
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0));
    transport.max_concurrent_uni_streams(VarInt::from_u32(STREAMS_MAX));
    let message = MESSAGE_BYTES_MAX as u32 + 1;
    transport.stream_receive_window(VarInt::from_u32(message));
    transport.receive_window(VarInt::from_u32(message * STREAMS_MAX));
    transport.send_window(u64::from(message * STREAMS_MAX));
    transport.datagram_receive_buffer_size(Some(DATAGRAM_BUFFER_BYTES));
    transport.datagram_send_buffer_size(DATAGRAM_BUFFER_BYTES);
    transport.congestion_controller_factory(Arc::new(ConstantWindow));
    // Probing for a larger packet size costs packets and wake-ups and gains nothing for messages
    // of some hundred bytes; longer ones go on streams.
    transport.mtu_discovery_config(None);
    // Acknowledgements are QUIC's own (within 25 ms, or with the next packet): a message is answered
    // by a message, which takes the acknowledgement along. One at once would be a packet and a
    // wake-up more in each direction, in the middle of a grant.
    transport.enable_segmentation_offload(false);
    transport.allow_spin(false);
    Ok(transport)
}

/// The endpoint's own secrets come from the member's key, so that a restarted process can tell
/// the peers of its predecessor at once that their connections are gone (stateless reset).
pub(crate) fn endpoint_config(credentials: &Credentials, seed: Option<u64>) -> EndpointConfig {
    let reset = credentials.derived_secret("interlock link: stateless reset");
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &reset)));
    let secret = credentials.derived_secret("interlock link: connection ids");
    let mut word = [0; 8];
    word.copy_from_slice(&secret[..8]);
    let key = u64::from_be_bytes(word);
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(key)));
    // A restarted peer's first packets must be answered; more than this per second are not.
    config.min_reset_interval(Duration::from_millis(5));
    if let Some(seed) = seed {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        config.rng_seed(Some(bytes));
    }
    config
}

/// A congestion controller that ignores congestion; see [`WINDOW_BYTES`].
#[derive(Clone, Copy, Debug)]
struct ConstantWindow;

impl ControllerFactory for ConstantWindow {
    fn build(self: Arc<Self>, _now: Instant, _mtu: u16) -> Box<dyn Controller> {
        Box::new(*self)
    }
}

impl Controller for ConstantWindow {
    fn on_congestion_event(&mut self, _: Instant, _: Instant, _: bool, _: u64) {}

    fn on_mtu_update(&mut self, _: u16) {}

    fn window(&self) -> u64 {
        WINDOW_BYTES
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(*self)
    }

    fn initial_window(&self) -> u64 {
        WINDOW_BYTES
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
