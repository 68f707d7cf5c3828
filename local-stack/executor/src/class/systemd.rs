//! Units of systemd, over its own D-Bus interface.
//!
//! ```text
//!          LoadUnit            Subscribe, StartUnit       JobRemoved(job, "done")
//!  begin ------------> loaded -----------------> job ---------------------------> ended
//!                        |                         \ any other result: an error
//!                        | monitor: ActiveState
//!                        +-> active, reloading, refreshing: running
//!                        +-> activating, deactivating, maintenance: looked at again
//!                        +-> anything else: not running
//! ```
//!
//! The manager's private socket is used where this program may: it works without a message bus, whose
//! own unit may be what is being started. Everywhere else the system bus is asked.
//!
//! While a unit is a resource, a setting that lasts as long as the machine runs keeps systemd from
//! restarting it on its own, and has the local stack stop before it when the machine goes down.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};
use zbus::export::futures_core::Stream;
use zbus::message::Type;
use zbus::zvariant::{OwnedObjectPath, OwnedValue};
use zbus::{Connection, MatchRule, MessageStream, connection};

use crate::agent::{Operation, Outcome, Status};
use crate::class::Places;
use crate::rc;

const MANAGER: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER_INTERFACE: &str = "org.freedesktop.systemd1.Manager";
const UNIT_INTERFACE: &str = "org.freedesktop.systemd1.Unit";
const SERVICE_INTERFACE: &str = "org.freedesktop.systemd1.Service";

/// The setting's file; the number makes it win over what the package brings.
const SETTING: &str = "50-interlock.conf";

/// Ends of jobs that may wait to be read. Only this kind of signal is read, and a machine has few jobs
/// at once.
const SIGNALS_MAX: usize = 1024;

/// Between two looks at a unit that is on its way.
const LOOK: Duration = Duration::from_millis(200);

/// Where systemd answers.
#[derive(Debug, Clone)]
pub struct Address {
    /// The manager's own socket; root's alone.
    pub private: PathBuf,
    /// The message bus.
    pub bus: PathBuf,
}

impl Default for Address {
    fn default() -> Self {
        Self {
            private: "/run/systemd/private".into(),
            bus: "/run/dbus/system_bus_socket".into(),
        }
    }
}

impl Address {
    /// A manager may answer here.
    pub(crate) fn is_there(&self) -> bool {
        self.private.exists() || self.bus.exists()
    }

    async fn connect(&self) -> zbus::Result<Connection> {
        match UnixStream::connect(&self.private).await {
            Ok(stream) => {
                let peer = connection::Builder::unix_stream(stream).p2p();
                peer.build().await
            }
            Err(_) => {
                let address = format!("unix:path={}", self.bus.display());
                connection::Builder::address(address.as_str())?
                    .build()
                    .await
            }
        }
    }
}

/// Runs an operation on a unit to its end.
pub(crate) async fn run(
    operation: &Operation,
    unit: &str,
    places: &Places,
    cancel: &mut oneshot::Receiver<()>,
) -> Outcome {
    let began = Instant::now();
    let until = began + operation.timeout;
    if !places.systemd.is_there() {
        let text = format!("{unit}: systemd does not run on this node");
        return Outcome::without_run(Status::NotInstalled, rc::NOT_INSTALLED, text);
    }
    let mut outcome = tokio::select! {
        outcome = act(&operation.action, unit, places) => {
            outcome.unwrap_or_else(|error| of_error(&operation.action, unit, &error))
        }
        _ = cancel => Outcome::without_run(Status::Cancelled, rc::ERROR, "ended on request"),
        () = sleep_until(until) => {
            let limit = operation.timeout.as_millis();
            let text = format!("{} of {unit} did not end within {limit} ms", operation.action);
            Outcome::without_run(Status::Timeout, rc::ERROR, text)
        }
    };
    outcome.exec_time = began.elapsed();
    outcome
}

async fn act(action: &str, unit: &str, places: &Places) -> zbus::Result<Outcome> {
    let complete = |code, text: String| Outcome::without_run(Status::Complete, code, text);
    let manager = Manager(places.systemd.connect().await?);
    let object = manager.load(unit).await?;
    let load = manager.word(&object, UNIT_INTERFACE, "LoadState").await?;
    if load == "not-found" {
        let text = format!("{unit} is not installed: systemd has no such unit");
        return Ok(Outcome::without_run(
            Status::NotInstalled,
            rc::NOT_INSTALLED,
            text,
        ));
    }
    match action {
        "monitor" | "status" => manager.look(unit, &object).await,
        "start" => {
            set(places, unit, &manager).await?;
            let result = manager.job("StartUnit", unit).await?;
            if result != "done" && result != "skipped" {
                let why = manager.why(&object).await;
                let text = format!("systemd's job to start {unit} ended as {result}{why}");
                return Ok(complete(rc::ERROR, text));
            }
            Ok(complete(rc::OK, String::new()))
        }
        "stop" => {
            let result = manager.job("StopUnit", unit).await?;
            if result != "done" && result != "skipped" {
                let text = format!("systemd's job to stop {unit} ended as {result}");
                return Ok(complete(rc::ERROR, text));
            }
            unset(places, unit, &manager).await?;
            Ok(complete(rc::OK, String::new()))
        }
        other => {
            let text = format!("units of systemd have no action {other}");
            Ok(complete(rc::NOT_IMPLEMENTED, text))
        }
    }
}

struct Manager(Connection);

impl Manager {
    async fn call<B>(&self, method: &str, body: &B) -> zbus::Result<zbus::Message>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        let connection = &self.0;
        connection
            .call_method(
                Some(MANAGER),
                MANAGER_PATH,
                Some(MANAGER_INTERFACE),
                method,
                body,
            )
            .await
    }

    async fn load(&self, unit: &str) -> zbus::Result<OwnedObjectPath> {
        let answer = self.call("LoadUnit", &(unit,)).await?;
        answer.body().deserialize()
    }

    /// A property that is a word.
    async fn word(
        &self,
        object: &OwnedObjectPath,
        interface: &str,
        name: &str,
    ) -> zbus::Result<String> {
        let answer = self
            .0
            .call_method(
                Some(MANAGER),
                object,
                Some("org.freedesktop.DBus.Properties"),
                "Get",
                &(interface, name),
            )
            .await?;
        let value: OwnedValue = answer.body().deserialize()?;
        Ok(String::try_from(value)?)
    }

    /// Whether a unit runs. A state in between is looked at again: it is no failure, and no success.
    async fn look(&self, unit: &str, object: &OwnedObjectPath) -> zbus::Result<Outcome> {
        loop {
            let state = self.word(object, UNIT_INTERFACE, "ActiveState").await?;
            let (code, text) = match state.as_str() {
                "active" | "reloading" | "refreshing" => (rc::OK, String::new()),
                "activating" | "deactivating" | "maintenance" => {
                    sleep(LOOK).await;
                    continue;
                }
                "failed" => {
                    let why = self.why(object).await;
                    (rc::NOT_RUNNING, format!("{unit} has failed{why}"))
                }
                other => (rc::NOT_RUNNING, format!("{unit} is {other}")),
            };
            return Ok(Outcome::without_run(Status::Complete, code, text));
        }
    }

    /// What systemd says about a failure, as the end of a sentence.
    async fn why(&self, object: &OwnedObjectPath) -> String {
        let result = self.word(object, SERVICE_INTERFACE, "Result").await;
        match result {
            Ok(result) if result != "success" => format!(" ({result})"),
            // Only services have one.
            _ => String::new(),
        }
    }

    /// Orders a job and waits for its end; what it ended as.
    async fn job(&self, method: &str, unit: &str) -> zbus::Result<String> {
        self.call("Subscribe", &()).await?;
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .interface(MANAGER_INTERFACE)?
            .member("JobRemoved")?
            .build();
        let mut ends = MessageStream::for_match_rule(rule, &self.0, Some(SIGNALS_MAX)).await?;
        let answer = self.call(method, &(unit, "replace")).await?;
        let job: OwnedObjectPath = answer.body().deserialize()?;
        loop {
            let next = std::future::poll_fn(|context| Pin::new(&mut ends).poll_next(context));
            let Some(message) = next.await else {
                let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                return Err(lost.into());
            };
            let message = message?;
            let body = message.body();
            let (_, ended, _, result): (u32, OwnedObjectPath, String, String) =
                body.deserialize()?;
            if ended == job {
                return Ok(result);
            }
        }
    }
}

fn setting(places: &Places, unit: &str) -> PathBuf {
    places.units.join(format!("{unit}.d")).join(SETTING)
}

/// Writes the unit's setting, if it is not there yet.
async fn set(places: &Places, unit: &str, manager: &Manager) -> zbus::Result<()> {
    let path = setting(places, unit);
    let mut text = format!(
        "# {unit} is a resource of the local stack.\n\
         [Unit]\nBefore=interlock-local-stack.service\n"
    );
    if unit.ends_with(".service") {
        // Writing to a string does not fail.
        let _ = write!(text, "\n[Service]\nRestart=no\n");
    }
    if std::fs::read_to_string(&path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    write_setting(&path, &text)?;
    manager.call("Reload", &()).await?;
    Ok(())
}

fn write_setting(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(path, text)
}

/// The unit is no resource of this node any more.
async fn unset(places: &Places, unit: &str, manager: &Manager) -> zbus::Result<()> {
    let path = setting(places, unit);
    if std::fs::remove_file(&path).is_err() {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        // Others may have settings there.
        let _ = std::fs::remove_dir(directory);
    }
    manager.call("Reload", &()).await?;
    Ok(())
}

/// What an error means for the resource.
fn of_error(action: &str, unit: &str, error: &zbus::Error) -> Outcome {
    let name = match error {
        zbus::Error::MethodError(name, _, _) => name.as_str(),
        _ => "",
    };
    match name.rsplit('.').next().unwrap_or_default() {
        "NoSuchUnit" if action == "stop" => Outcome::without_run(Status::Complete, rc::OK, ""),
        "NoSuchUnit" => Outcome::without_run(
            Status::NotInstalled,
            rc::NOT_INSTALLED,
            format!("{unit} is not installed: systemd has no such unit"),
        ),
        "AccessDenied" | "InteractiveAuthorizationRequired" => Outcome::without_run(
            Status::Error,
            rc::INSUFFICIENT_PRIVILEGES,
            format!("systemd does not let this user {action} {unit}"),
        ),
        _ => Outcome::without_run(Status::Error, rc::ERROR, format!("{unit}: {error}")),
    }
}
