//! Letting members in: a bounded number of handshakes at a time, none of them in anybody's way.

use std::sync::Arc;

use quinn::{Connecting, Endpoint, Incoming};
use tokio::sync::OwnedSemaphorePermit;
use tracing::debug;

use crate::connection::{establish, prove};
use crate::endpoint::{HANDSHAKES_MAX, HANDSHAKES_UNVERIFIED_MAX};
use crate::failure::{Failure, FailureKind};
use crate::shared::{Shared, canonical};

/// Accepts connections until the link closes.
pub(crate) async fn keep_accepting(shared: Arc<Shared>, endpoint: Endpoint) {
    let mut closing = shared.closing.subscribe();
    let work = async {
        while let Some(incoming) = endpoint.accept().await {
            take(&shared, incoming);
        }
    };
    tokio::select! {
            biased;
        () = work => {}
        _ = closing.wait_for(|closing| *closing) => {}
    }
}

fn take(shared: &Arc<Shared>, incoming: Incoming) {
    let Ok(permit) = shared.handshakes.clone().try_acquire_owned() else {
        shared.overloaded();
        incoming.ignore();
        return;
    };
    let under_way = HANDSHAKES_MAX - shared.handshakes.available_permits();
    if under_way > HANDSHAKES_UNVERIFIED_MAX && incoming.may_retry() {
        // Cannot fail: may_retry has just said so.
        let _ = incoming.retry();
        return;
    }
    let address = canonical(incoming.remote_address());
    match incoming.accept_with(Arc::new(shared.server_config())) {
        Ok(connecting) => {
            tokio::spawn(handshake(shared.clone(), connecting, permit));
        }
        Err(e) => debug!(%address, "not a handshake: {e}"),
    }
}

async fn handshake(shared: Arc<Shared>, connecting: Connecting, _permit: OwnedSemaphorePermit) {
    let address = canonical(connecting.remote_address());
    let connection = match tokio::time::timeout(shared.timing.handshake_timeout, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(e)) => return note(&shared, &Failure::connection(address, &e)),
        Err(_) => return,
    };
    let proven = match prove(&shared, connection, None) {
        Ok(proven) => proven,
        Err((name, failure)) => {
            shared.refused(address, name.as_deref(), &failure.text);
            return;
        }
    };
    let peer = proven.peer.clone();
    if let Err(failure) = establish(&shared, proven, false).await {
        if failure.kind == FailureKind::Auth {
            note(&shared, &failure);
        }
        debug!(%peer, %address, "not established: {}", failure.text);
    }
}

fn note(shared: &Shared, failure: &Failure) {
    match (failure.kind, failure.address) {
        (FailureKind::Auth, Some(address)) => shared.refused(address, None, &failure.text),
        // A dialler that chose another of our addresses, a lost packet, a scan: nobody's fault.
        _ => debug!("handshake not finished: {}", failure.text),
    }
}
