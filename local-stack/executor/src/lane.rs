//! The operations of one resource: one at a time, in the order in which they were asked for.
//!
//! A recurring operation runs again one interval after it ended, so that it never overlaps itself; it
//! gives way to whatever waits, and anything that changes the resource's state ends it for good.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::agent::{Operation, Outcome, Status};
use crate::call::{CallId, Report};
use crate::process::{self, Surroundings};
use crate::rc;

/// How long a monitor in flight may go on once it was cancelled. A healthy one ends by itself in much
/// less; a hung one must not use up the time that a stop has.
const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// Orders that wait for one resource. A transition has a handful of operations per resource.
pub(crate) const ORDERS_BOUND: usize = 64;

/// What a lane is told.
#[derive(Debug)]
pub(crate) enum Order {
    Run(Job),
    /// Ends a recurring operation.
    Cancel {
        call: CallId,
        action: String,
        interval: Duration,
    },
    /// Ends whatever runs now, if it is this call, and forgets it if it waits.
    Abort(CallId),
}

/// An operation with its call.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) call: CallId,
    pub(crate) operation: Operation,
    /// Zero for once.
    pub(crate) interval: Duration,
    pub(crate) queued: Instant,
}

/// What every lane shares.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) around: Arc<Surroundings>,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) reports: mpsc::Sender<Report>,
}

#[derive(Debug)]
struct Recurring {
    job: Job,
    due: Instant,
    /// What was reported last; only a change is news.
    last: Option<(Status, u8)>,
}

struct Running {
    job: Job,
    end: Pin<Box<dyn Future<Output = Outcome> + Send>>,
    cancel: Option<oneshot::Sender<()>>,
    /// When a cancelled one is ended.
    cancel_at: Option<Instant>,
    /// Calls of those who wait for it to be gone.
    cancelled_by: Vec<CallId>,
}

/// Works for one resource until its orders end.
pub(crate) struct Lane {
    shared: Shared,
    waiting: VecDeque<Job>,
    recurring: Vec<Recurring>,
    running: Option<Running>,
}

impl Lane {
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared,
            waiting: VecDeque::new(),
            recurring: Vec::new(),
            running: None,
        }
    }

    pub(crate) async fn work(mut self, mut orders: mpsc::Receiver<Order>) {
        loop {
            self.begin_next();
            let due = self.next_due();
            let cancel_at = self.running.as_ref().and_then(|running| running.cancel_at);
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.order(order).await,
                    // The daemon goes; what runs is left to its note.
                    None => return,
                },
                outcome = finished(self.running.as_mut()) => self.ended(outcome).await,
                () = until(due) => self.begin_recurring(),
                () = until(cancel_at) => self.end_running(),
            }
        }
    }

    async fn order(&mut self, order: Order) {
        match order {
            Order::Run(job) if job.interval.is_zero() => {
                if changes_state(&job.operation.action) {
                    self.cancel_all();
                }
                self.waiting.push_back(job);
            }
            Order::Run(job) => {
                self.recurring
                    .retain(|known| !same(&known.job, &job.operation.action, job.interval));
                let due = Instant::now();
                self.recurring.push(Recurring {
                    job,
                    due,
                    last: None,
                });
            }
            Order::Cancel {
                call,
                action,
                interval,
            } => {
                self.recurring
                    .retain(|known| !same(&known.job, &action, interval));
                let flying = self
                    .running
                    .as_mut()
                    .filter(|now| same(&now.job, &action, interval));
                match flying {
                    Some(running) => {
                        running.cancelled_by.push(call);
                        running
                            .cancel_at
                            .get_or_insert_with(|| Instant::now() + CANCEL_GRACE);
                    }
                    None => report_cancelled(self.tell(), call).await,
                }
            }
            Order::Abort(call) => {
                if self
                    .running
                    .as_ref()
                    .is_some_and(|running| running.job.call == call)
                {
                    self.end_running();
                } else if let Some(at) = self.waiting.iter().position(|job| job.call == call)
                    && let Some(job) = self.waiting.remove(at)
                {
                    report(self.tell(), &job, not_begun()).await;
                }
            }
        }
    }

    /// Something is about to change the resource: no recurring operation outlives that.
    fn cancel_all(&mut self) {
        self.recurring.clear();
        if let Some(running) = self
            .running
            .as_mut()
            .filter(|now| !now.job.interval.is_zero())
        {
            running
                .cancel_at
                .get_or_insert_with(|| Instant::now() + CANCEL_GRACE);
        }
    }

    fn begin_next(&mut self) {
        if self.running.is_none()
            && let Some(job) = self.waiting.pop_front()
        {
            self.begin(job);
        }
    }

    fn next_due(&self) -> Option<Instant> {
        if self.running.is_some() {
            return None;
        }
        self.recurring.iter().map(|recurring| recurring.due).min()
    }

    fn begin_recurring(&mut self) {
        let now = Instant::now();
        let due = self
            .recurring
            .iter_mut()
            .find(|recurring| recurring.due <= now);
        if let Some(recurring) = due {
            recurring.job.queued = now;
            let job = recurring.job.clone();
            self.begin(job);
        }
    }

    fn begin(&mut self, job: Job) {
        let (cancel, mut cancelled) = oneshot::channel();
        let shared = self.shared.clone();
        let operation = job.operation.clone();
        let queued = job.queued;
        let end = async move {
            // A stop never waits behind what only watches or starts.
            let place = if operation.action == "stop" || operation.action == "demote" {
                None
            } else {
                tokio::select! {
                    // The semaphore is never closed.
                    place = shared.places.acquire() => place.ok(),
                    _ = &mut cancelled => return not_begun(),
                }
            };
            let queue_time = queued.elapsed();
            let mut outcome = process::run(&operation, &shared.around, cancelled).await;
            outcome.queue_time = queue_time;
            drop(place);
            outcome
        };
        self.running = Some(Running {
            job,
            end: Box::pin(end),
            cancel: Some(cancel),
            cancel_at: None,
            cancelled_by: Vec::new(),
        });
    }

    fn end_running(&mut self) {
        if let Some(running) = &mut self.running {
            running.cancel_at = None;
            if let Some(cancel) = running.cancel.take() {
                // It ended by itself when this fails.
                let _ = cancel.send(());
            }
        }
    }

    async fn ended(&mut self, outcome: Outcome) {
        let Some(running) = self.running.take() else {
            return;
        };
        let job = running.job;
        if job.interval.is_zero() {
            report(self.tell(), &job, outcome).await;
            return;
        }
        for call in running.cancelled_by {
            report_cancelled(self.tell(), call).await;
        }
        let known = self
            .recurring
            .iter_mut()
            .find(|known| known.job.call == job.call);
        let Some(recurring) = known else {
            return;
        };
        recurring.due = Instant::now() + job.interval;
        let news = (outcome.status, outcome.rc);
        if recurring.last != Some(news) {
            recurring.last = Some(news);
            report(self.tell(), &job, outcome).await;
        }
    }

    fn tell(&self) -> mpsc::Sender<Report> {
        self.shared.reports.clone()
    }
}

async fn report(reports: mpsc::Sender<Report>, job: &Job, outcome: Outcome) {
    let report = Report::Ended {
        call: job.call,
        resource: job.operation.resource.clone(),
        action: job.operation.action.clone(),
        interval: job.interval,
        outcome,
    };
    // Nobody is left to be told when this fails.
    let _ = reports.send(report).await;
}

async fn report_cancelled(reports: mpsc::Sender<Report>, call: CallId) {
    let _ = reports.send(Report::Cancelled { call }).await;
}

/// Operations after which a monitor for the state before makes no sense.
fn changes_state(action: &str) -> bool {
    matches!(
        action,
        "start" | "stop" | "promote" | "demote" | "migrate_to" | "migrate_from"
    )
}

fn same(job: &Job, action: &str, interval: Duration) -> bool {
    job.operation.action == action && job.interval == interval
}

fn not_begun() -> Outcome {
    Outcome::without_run(Status::Cancelled, rc::ERROR, "was not begun")
}

async fn finished(running: Option<&mut Running>) -> Outcome {
    match running {
        Some(running) => running.end.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
