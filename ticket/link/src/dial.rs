//! Reaching one peer: names, several addresses at once, bounded back-off.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::Connection;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::address::Address;
use crate::connection::{Proven, establish, prove};
use crate::failure::Failure;
use crate::link::Door;
use crate::resolve::ADDRESSES_MAX;
use crate::shared::{DialSignals, Shared};
use crate::tls;

/// Each further address of a name is tried this much later than the one before it: the best one
/// wins unless it is slow.
const STAGGER: Duration = Duration::from_millis(40);
/// Configured addresses of one peer that are tried; the configuration allows no more.
pub(crate) const CONFIGURED_MAX: usize = 16;

/// Keeps one peer connected until it is removed from the configuration.
pub(crate) async fn keep_dialling(
    shared: Arc<Shared>,
    doors: Arc<[Door]>,
    name: Arc<str>,
    signals: DialSignals,
) {
    let DialSignals {
        vacant,
        mut removed,
    } = signals;
    let work = async {
        let mut pause = BackOff::new(&shared);
        loop {
            while !shared.vacant(&name) {
                vacant.notified().await;
            }
            let begun = Instant::now();
            match attempt(&shared, &doors, &name).await {
                Ok(()) => {
                    // A connection that ends at once is no reason to dial again at once.
                    while !shared.vacant(&name) {
                        vacant.notified().await;
                    }
                    if begun.elapsed() > shared.timing.back_off_max {
                        pause.reset();
                        continue;
                    }
                }
                Err(failure) => shared.failed(&name, &failure),
            }
            let next = begun + pause.next(&shared);
            tokio::select! {
            biased;
                () = tokio::time::sleep_until(next) => {}
                // Addresses changed, or a connection came and went: look again.
                () = vacant.notified() => tokio::time::sleep(shared.timing.back_off_min).await,
            }
        }
    };
    tokio::select! {
            biased;
        () = work => {}
        // Also ends when the sender is dropped with its peer.
        _ = removed.wait_for(|removed| *removed) => {}
    }
}

/// Pauses that double up to a maximum, plus or minus a quarter.
struct BackOff {
    next: Duration,
}

impl BackOff {
    fn new(shared: &Shared) -> Self {
        Self {
            next: shared.timing.back_off_min,
        }
    }

    fn reset(&mut self) {
        self.next = Duration::ZERO;
    }

    fn next(&mut self, shared: &Shared) -> Duration {
        let pause = self.next.max(shared.timing.back_off_min);
        self.next = (pause * 2).min(shared.timing.back_off_max);
        let micros = pause.as_micros().try_into().unwrap_or(u64::MAX);
        Duration::from_micros(micros - micros / 4 + shared.random(micros / 2 + 1))
    }
}

/// One round: every configured address, and whatever its name stands for now.
async fn attempt(
    shared: &Arc<Shared>,
    doors: &Arc<[Door]>,
    name: &Arc<str>,
) -> Result<(), Failure> {
    let Some(peer) = shared.peer(name) else {
        return Err(Failure::other("removed from the configuration"));
    };
    if peer.addresses.is_empty() {
        // It dials us; nothing to do but wait for that, or for new configuration.
        std::future::pending::<()>().await;
    }
    let mut tries = JoinSet::new();
    for text in peer.addresses.iter().take(CONFIGURED_MAX) {
        tries.spawn(try_address(
            shared.clone(),
            doors.clone(),
            name.clone(),
            text.clone(),
        ));
    }
    // Dropping the set when one has succeeded ends the others, before they have greeted.
    let proven = first_success(&mut tries).await?;
    drop(tries);
    establish(shared, proven, true).await
}

/// The first success, or the failure that says most.
async fn first_success(tries: &mut JoinSet<Result<Proven, Failure>>) -> Result<Proven, Failure> {
    let mut worst: Option<Failure> = None;
    while let Some(ended) = tries.join_next().await {
        let failure = match ended {
            Ok(Ok(proven)) => return Ok(proven),
            Ok(Err(failure)) => failure,
            Err(e) => Failure::other(e.to_string()),
        };
        worst = Some(match worst {
            Some(worst) if worst.kind != crate::failure::FailureKind::Other => worst,
            _ => failure,
        });
    }
    Err(worst.unwrap_or_else(|| Failure::other("no address to try")))
}

async fn try_address(
    shared: Arc<Shared>,
    doors: Arc<[Door]>,
    name: Arc<str>,
    text: String,
) -> Result<Proven, Failure> {
    let address = Address::parse(&text).map_err(|e| Failure::other(e.to_string()))?;
    let wait = shared.timing.resolve_timeout;
    let found = tokio::time::timeout(wait, shared.resolve.resolve(&address))
        .await
        .map_err(|_| Failure::other(format!("{text} was not resolved in time")))?
        .map_err(|e| Failure::other(e.to_string()))?;
    let mut tries = JoinSet::new();
    let mut delay = Duration::ZERO;
    for remote in found.into_iter().take(ADDRESSES_MAX) {
        for door in doors.iter().filter(|door| door.reaches(remote)) {
            let (shared, name, door) = (shared.clone(), name.clone(), door.clone());
            tries.spawn(async move {
                tokio::time::sleep(delay).await;
                let connection = connect(&shared, &door, remote).await?;
                prove(&shared, connection, Some(&name)).map_err(|(_, failure)| failure)
            });
            delay += STAGGER;
        }
    }
    if tries.is_empty() {
        return Err(Failure::other(format!(
            "none of our addresses can reach {text}"
        )));
    }
    first_success(&mut tries).await
}

async fn connect(shared: &Shared, door: &Door, remote: SocketAddr) -> Result<Connection, Failure> {
    let at = |failure: Failure| Failure {
        text: format!("{remote}: {}", failure.text),
        ..failure
    };
    let connecting = door
        .endpoint
        .connect_with(shared.client_config(), remote, tls::SERVER_NAME)
        .map_err(|e| at(Failure::other(e.to_string())))?;
    match tokio::time::timeout(shared.timing.handshake_timeout, connecting).await {
        Ok(connected) => connected.map_err(|e| at(Failure::connection(remote, &e))),
        Err(_) => Err(at(Failure::other("no answer"))),
    }
}
