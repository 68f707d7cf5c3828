//! Resources of class `stonith`: to start one is to make its device usable, to watch one is to ask it.
//!
//! The executor only passes on what is wanted; the fencer knows the devices and answers.

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::agent::{Operation, Outcome, Status};
use crate::process::Surroundings;
use crate::rc;

/// An operation on a fence device.
#[derive(Debug)]
pub struct DeviceCall {
    /// The resource's id, which is the device's name.
    pub device: String,
    /// The fence agent.
    pub agent: String,
    /// `start`, `stop` or `monitor`.
    pub action: String,
    /// The device's parameters.
    pub parameters: Vec<(String, String)>,
    /// It only asks what is there, once.
    pub probe: bool,
    /// How long the fence agent may take.
    pub timeout: std::time::Duration,
    /// Who waits; a call whose sender is dropped has no answer.
    pub answer: oneshot::Sender<Outcome>,
}

/// Asks the fencer, and waits for its answer as long as the operation may take.
pub(crate) async fn run(
    operation: &Operation,
    around: &Surroundings,
    cancel: &mut oneshot::Receiver<()>,
) -> Outcome {
    let began = Instant::now();
    let until = began + operation.timeout;
    let (answer, answered) = oneshot::channel();
    let call = DeviceCall {
        device: operation.resource.clone(),
        agent: operation.agent.kind.clone(),
        action: operation.action.clone(),
        parameters: operation
            .parameters()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        probe: operation.is_probe(),
        timeout: operation.timeout,
        answer,
    };
    let mut outcome = tokio::select! {
        outcome = ask(around.devices.as_ref(), call, answered) => outcome,
        _ = cancel => Outcome::without_run(Status::Cancelled, rc::ERROR, "ended on request"),
        () = sleep_until(until) => {
            let limit = operation.timeout.as_millis();
            let text = format!("{} did not end within {limit} ms", operation.action);
            Outcome::without_run(Status::Timeout, rc::ERROR, text)
        }
    };
    outcome.exec_time = began.elapsed();
    outcome
}

async fn ask(
    fencer: Option<&mpsc::Sender<DeviceCall>>,
    call: DeviceCall,
    answered: oneshot::Receiver<Outcome>,
) -> Outcome {
    let Some(fencer) = fencer else {
        let text = "there is no fencer on this node";
        return Outcome::without_run(Status::NotInstalled, rc::NOT_INSTALLED, text);
    };
    let gone = || Outcome::without_run(Status::Error, rc::ERROR, "the fencer did not answer");
    if fencer.send(call).await.is_err() {
        return gone();
    }
    answered.await.unwrap_or_else(|_| gone())
}
