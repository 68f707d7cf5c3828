//! Starting and ending: sockets, threads, signals.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use membership::{NodeId, NodeList};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use thiserror::Error;
use tokio::sync::{oneshot, watch};

use crate::config::Config;
use crate::device::{self, DeviceLink};
use crate::disk::{self, Disk};
use crate::engine::{Ending, Engine, Parts};
use crate::keys::{Keys, Settings, Teller};
use crate::nodes;
use crate::store::Store;
use crate::transport::Transport;

/// Who may use the socket: its owner and group.
const SOCKET_MODE: u32 = 0o660;

/// The daemon could not start. Nothing is running, nothing was changed.
#[derive(Debug, Error)]
pub enum StartError {
    /// The socket for applications.
    #[error("{}: {source}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another daemon answers there.
    #[error("{}: another messaging daemon answers there: end it first", .0.display())]
    Running(PathBuf),
    /// An address for datagrams.
    #[error("cannot use UDP {address}: {source}")]
    Address {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Certificates, names, links.
    #[error("{0}")]
    Link(String),
    /// Durable keys.
    #[error("{0}")]
    Store(String),
    /// Others have removed this node, and would refuse it.
    #[error(
        "this node was removed from the site ({} says so): to have it back, add it at another node, and \
         remove {} here before it starts", .0.display(), .0.display()
    )]
    Removed(PathBuf),
    /// Something else that the system refused.
    #[error("{0}")]
    System(#[from] io::Error),
}

/// A running daemon; it ends when told, or when dropped.
pub struct Daemon {
    stop: Option<oneshot::Sender<()>>,
    engine: Option<JoinHandle<io::Result<Ending>>>,
    keys: Option<JoinHandle<()>>,
    settings: Arc<watch::Sender<Settings>>,
    socket: PathBuf,
}

impl Daemon {
    /// Starts it: its loop and its links are threads of this process.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        let (stop, stopped) = oneshot::channel();
        Self::start_until(config, stop, async move {
            // Told to stop, or dropped.
            let _ = stopped.await;
        })
    }

    fn start_until(
        config: Config,
        stop: oneshot::Sender<()>,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Self, StartError> {
        let file = config;
        let me = file.me().map(|node| NodeId(node.id));
        let me = me.ok_or_else(|| StartError::Link("this node is not configured".to_owned()))?;
        let contents = disk::load(&file.state).map_err(StartError::Store)?;
        let store = Store::new(me, contents);
        let list = stored_list(&file, me)?;
        let config = nodes::in_force(&file, &list, &store);
        let mut limits = Vec::new();
        if rustix::process::setpriority_process(None, -20).is_err() {
            limits.push("no priority over other processes: run it with CAP_SYS_NICE".to_owned());
        }
        let wake: Arc<OwnedFd> = Arc::new(
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(io::Error::from)?,
        );
        let (queue, news) = channel();
        let teller = Teller {
            queue,
            wake: wake.clone(),
        };
        let beat_every = config.core(me).heartbeat_every;
        let transport = Transport::bind(&config, beat_every)
            .map_err(|(address, source)| StartError::Address { address, source })?;
        let wanted = 4 << 20;
        if transport.receive_buffer() < wanted {
            limits.push(format!(
                "the system keeps only {} kB for us while we are busy: run it with CAP_NET_ADMIN, or raise \
                 net.core.rmem_max",
                transport.receive_buffer() >> 10
            ));
        }
        let listener = listen(&config.socket)?;
        let (settings, told) = watch::channel(Settings {
            config: config.clone(),
            round: 0,
        });
        let settings = Arc::new(settings);
        let incarnation = random()?;
        let device = device::halves(&config, me, incarnation);
        let (device, device_link) = device.unzip();
        let keys = start_keys(told, teller, device_link, end)?;
        let disk = Disk::start(&config.state, wake.clone())?;
        let socket = config.socket.clone();
        let mut engine = Engine::new(Parts {
            store,
            file,
            config,
            list,
            settings: Arc::clone(&settings),
            me,
            incarnation,
            transport,
            listener,
            keys: news,
            wake,
            disk,
            limits,
            device,
        })?;
        let engine = std::thread::Builder::new()
            .name("messaging".to_owned())
            .spawn(move || engine.run())?;
        Ok(Self {
            stop: Some(stop),
            engine: Some(engine),
            keys: Some(keys),
            settings,
            socket,
        })
    }

    /// Ends it: goodbye to the peers and the clients.
    ///
    /// # Errors
    /// The loop had ended by itself before, and why.
    pub fn stop(mut self) -> io::Result<()> {
        drop(self.stop.take());
        self.wait().map(|_| ())
    }

    /// Reads certificate, key and authority again, as SIGHUP does. Connections that are there go on;
    /// what is wrong with the files is logged and changes nothing.
    pub fn reload(&self) {
        reload(&self.settings);
    }

    fn wait(&mut self) -> io::Result<Ending> {
        let panicked = || io::Error::other("the messaging loop panicked");
        let ended = self.engine.take().map_or(Ok(Ending::Told), |engine| {
            engine.join().unwrap_or_else(|_| Err(panicked()))
        });
        drop(self.stop.take());
        if let Some(keys) = self.keys.take() {
            keys.join().map_err(|_| panicked())?;
        }
        // Gone already if somebody has removed it.
        let _ = std::fs::remove_file(&self.socket);
        ended
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.wait();
    }
}

/// Runs the daemon until SIGTERM or SIGINT; SIGHUP reads the certificate again. `ready` is called once
/// it answers. When this node's own addresses change, it starts again on the new ones.
///
/// # Errors
/// [`StartError`].
pub fn run(config: Config, ready: impl FnOnce()) -> Result<(), StartError> {
    let mut ready = Some(ready);
    loop {
        let (stop, mut never) = oneshot::channel();
        let mut daemon = Daemon::start_until(config.clone(), stop, async move {
            tokio::select! {
                biased;
                () = signalled() => {}
                // The loop has ended by itself.
                _ = &mut never => {}
            }
        })?;
        if let Some(ready) = ready.take() {
            ready();
        }
        if daemon.wait()? != Ending::Moved {
            return Ok(());
        }
    }
}

fn reload(settings: &watch::Sender<Settings>) {
    settings.send_modify(|settings| settings.round += 1);
}

/// The nodes as they were agreed last, or as the file has them.
fn stored_list(file: &Config, me: NodeId) -> Result<NodeList, StartError> {
    let stored = disk::load_nodes(&file.state).map_err(StartError::Store)?;
    match stored {
        Some(list) if !list.nodes().contains(me) => {
            Err(StartError::Removed(disk::nodes_file(&file.state)))
        }
        Some(list) => Ok(list),
        None => Ok(nodes::first_list(file)),
    }
}

async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        // Without handlers the signals end the process by themselves.
        return std::future::pending().await;
    };
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// A number that no process of this node has had.
fn random() -> Result<u64, StartError> {
    let mut bytes = [0; 8];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| StartError::Link("the system gives no random numbers".to_owned()))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Starts the thread of the links, and waits until they are bound.
fn start_keys(
    settings: watch::Receiver<Settings>,
    teller: Teller,
    device: Option<DeviceLink>,
    end: impl Future<Output = ()> + Send + 'static,
) -> Result<JoinHandle<()>, StartError> {
    let (tell, bound) = channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let thread = std::thread::Builder::new()
        .name("keys".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let bound = async {
                    if let Some(half) = device {
                        let config = settings.borrow().config.clone();
                        device::serve(&config, teller.clone(), half).await?;
                    }
                    Keys::bind(settings, teller).await
                };
                match bound.await {
                    Ok(keys) => {
                        // The starter waits for this; if it has gone, the end comes at once.
                        let _ = tell.send(Ok(()));
                        keys.run(end).await;
                    }
                    Err(why) => {
                        let _ = tell.send(Err(why));
                    }
                }
            });
        })?;
    match bound.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(why)) => Err(StartError::Link(why)),
        Err(_) => Err(StartError::Link("the links' thread has ended".to_owned())),
    }
}

fn listen(path: &Path) -> Result<UnixListener, StartError> {
    let fault = |source| StartError::Socket {
        path: path.to_owned(),
        source,
    };
    if UnixStream::connect(path).is_ok() {
        return Err(StartError::Running(path.to_owned()));
    }
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(fault)?;
    }
    // Left over from a daemon that was killed: nobody answers there.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).map_err(fault)?;
    listener.set_nonblocking(true).map_err(fault)?;
    let mode = std::fs::Permissions::from_mode(SOCKET_MODE);
    std::fs::set_permissions(path, mode).map_err(fault)?;
    Ok(listener)
}
