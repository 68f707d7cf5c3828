//! All resources' lanes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::agent::Operation;
use crate::call::{CallId, Report};
use crate::lane::{Job, Lane, ORDERS_BOUND, Order, Shared};
use crate::process::Surroundings;

/// Reports that wait for the controller; agents' lanes pause when it is that far behind.
const REPORTS_BOUND: usize = 256;

/// How agents are run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is the same for all.
    pub around: Surroundings,
    /// Most agents at once, stops and demotions not counted. At least 1.
    pub parallel: usize,
}

/// Too many orders wait for this resource; this one was dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("more than {ORDERS_BOUND} operations wait for resource {0}")]
pub struct Busy(pub String);

/// Runs operations: those of one resource one after the other, different resources side by side.
#[derive(Debug)]
pub struct Executor {
    shared: Shared,
    lanes: HashMap<String, mpsc::Sender<Order>>,
}

impl Executor {
    /// An executor and where it tells results. Call it inside a tokio runtime.
    pub fn new(settings: Settings) -> (Self, mpsc::Receiver<Report>) {
        let (reports, receiver) = mpsc::channel(REPORTS_BOUND);
        let shared = Shared {
            around: Arc::new(settings.around),
            places: Arc::new(Semaphore::new(settings.parallel.max(1))),
            reports,
        };
        (
            Self {
                shared,
                lanes: HashMap::new(),
            },
            receiver,
        )
    }

    /// Runs an operation, again and again if `interval` is not zero.
    ///
    /// # Errors
    /// [`Busy`]; nothing was changed.
    pub fn run(
        &mut self,
        call: CallId,
        operation: Operation,
        interval: Duration,
    ) -> Result<(), Busy> {
        let resource = operation.resource.clone();
        let job = Job {
            call,
            operation,
            interval,
            queued: Instant::now(),
        };
        self.order(&resource, Order::Run(job))
    }

    /// Ends a recurring operation; [`Report::Cancelled`] tells when it is gone.
    ///
    /// # Errors
    /// [`Busy`]; nothing was changed.
    pub fn cancel(
        &mut self,
        call: CallId,
        resource: &str,
        action: &str,
        interval: Duration,
    ) -> Result<(), Busy> {
        self.order(
            resource,
            Order::Cancel {
                call,
                action: action.to_owned(),
                interval,
            },
        )
    }

    /// Ends an operation that runs or waits; its [`Report::Ended`] tells when it is gone.
    ///
    /// # Errors
    /// [`Busy`]; nothing was changed.
    pub fn abort(&mut self, call: CallId, resource: &str) -> Result<(), Busy> {
        self.order(resource, Order::Abort(call))
    }

    /// Forgets a resource that is gone from the configuration, with its recurring operations.
    pub fn forget(&mut self, resource: &str) {
        self.lanes.remove(resource);
    }

    fn order(&mut self, resource: &str, order: Order) -> Result<(), Busy> {
        let shared = &self.shared;
        let lane = self.lanes.entry(resource.to_owned()).or_insert_with(|| {
            let (orders, receiver) = mpsc::channel(ORDERS_BOUND);
            tokio::spawn(Lane::new(shared.clone()).work(receiver));
            orders
        });
        lane.try_send(order).map_err(|_| Busy(resource.to_owned()))
    }
}
