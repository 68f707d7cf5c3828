//! `SIGHUP`: read configuration and certificates again, check them, and use them or keep the old.

use link::Link;
use ticket_config::Config;
use tokio::task::JoinHandle;

use crate::conversion::{self, Roster};

/// The new configuration, in force; or why the old one still is.
pub(crate) type Reloaded = Result<Box<Config>, String>;

/// A reload under way, if any. It runs beside the loop: files may be slow to read.
#[derive(Debug, Default)]
pub(crate) struct Reload {
    task: Option<JoinHandle<Reloaded>>,
}

impl Reload {
    /// Begins one. A signal during a reload starts it anew, because files may have changed since.
    pub(crate) fn start(&mut self, old: &Config, link: &Link) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        let (old, link) = (old.clone(), link.clone());
        self.task = Some(tokio::spawn(async move { reload(old, link).await }));
    }

    /// Waits for the end; for ever if none is under way. Dropping the future loses nothing.
    pub(crate) async fn done(&mut self) -> Reloaded {
        let Some(task) = &mut self.task else {
            return std::future::pending().await;
        };
        let done = task.await;
        self.task = None;
        done.unwrap_or_else(|error| Err(format!("the reload itself failed: {error}")))
    }
}

async fn reload(old: Config, link: Link) -> Reloaded {
    let read = tokio::task::spawn_blocking(move || read(&old)).await;
    let (config, settings) =
        read.unwrap_or_else(|error| Err(format!("reading the files failed: {error}")))?;
    link.reload(settings)
        .await
        .map_err(|error| error.to_string())?;
    Ok(Box::new(config))
}

/// Reads and compares; changes nothing.
fn read(old: &Config) -> Result<(Config, link::LinkConfig), String> {
    let main = old
        .files
        .first()
        .ok_or("it is not known which file to read")?;
    let config = ticket_config::load(main, old.member.as_deref()).map_err(|findings| {
        let lines: Vec<String> = findings.iter().map(|it| it.headline()).collect();
        lines.join("; ")
    })?;
    if let Some(what) = needs_restart(old, &config)? {
        return Err(format!(
            "{what} changed, which takes a restart (of every member, where it is about members, \
             tickets or their timings)"
        ));
    }
    let me = config.me().ok_or("this member is not in it")?.clone();
    let credentials = conversion::credentials(&config, &me).map_err(|error| error.to_string())?;
    let settings = conversion::link(&config, &me, credentials);
    Ok((config, settings))
}

/// The first thing that cannot change while we run.
fn needs_restart(old: &Config, new: &Config) -> Result<Option<&'static str>, String> {
    let unknown = "the configuration does not say which member this is";
    let (old_roster, new_roster) = (
        Roster::new(old).ok_or(unknown)?,
        Roster::new(new).ok_or(unknown)?,
    );
    let listen = |config: &Config| config.me().map(|me| me.listen.clone());
    let what = if conversion::protocol(old, &old_roster)? != conversion::protocol(new, &new_roster)?
    {
        Some("the cluster's name, members, tickets or timings")
    } else if old.cluster_manager != new.cluster_manager {
        Some("[cluster-manager]")
    } else if old.devices != new.devices {
        Some("[device]")
    } else if old.paths.state != new.paths.state || old.paths.run != new.paths.run {
        Some("[paths] state or run")
    } else if listen(old) != listen(new) {
        Some("the address to listen on")
    } else {
        None
    };
    Ok(what)
}
