//! The witness's own test: two services that are started by hand at two sites must be seen as what
//! they are. The canary of the protocol itself is the script `canary`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::clock::Human;
use crate::witness::Witness;

/// How long the two services run beside each other.
const TOGETHER: Duration = Duration::from_millis(300);

/// Longest wait for a service to serve, or to be seen as gone.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Starts berlin under term 1, then paris under term 2, then kills berlin; says what was not seen.
pub(crate) fn check_witness() -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let socket = folder.path().join("witness.sock");
    let (sender, _sights) = channel();
    let witness = Witness::start(&socket, sender).map_err(|error| error.to_string())?;
    let mut berlin = Service::start("berlin", 1, folder.path(), &socket)?;
    wait_for("berlin does not serve", || witness.serving() == ["berlin"])?;
    let _paris = Service::start("paris", 2, folder.path(), &socket)?;
    wait_for("two are not seen", || witness.serving().len() == 2)?;
    sleep(TOGETHER);
    let (_, refused, stale) = witness.writes();
    if refused == 0 || stale > 0 {
        return Err(format!(
            "the store refused {refused} and accepted {stale} stale writes"
        ));
    }
    berlin.kill();
    wait_for("the end of berlin is not seen", || {
        witness.pids("berlin").is_empty()
    })?;
    let overlap = witness.verdict().overlap();
    if overlap < TOGETHER || overlap > TOGETHER + WAIT_MAX {
        return Err(format!(
            "an overlap of {} was seen as {}",
            Human(TOGETHER),
            Human(overlap)
        ));
    }
    Ok(format!(
        "overlap {} seen, {refused} stale writes refused, 0 accepted",
        Human(overlap)
    ))
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) -> Result<(), String> {
    let until = Instant::now() + WAIT_MAX;
    while !done() {
        if Instant::now() > until {
            return Err(format!("{what} within {}", Human(WAIT_MAX)));
        }
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// A service without an agent.
struct Service(Child);

impl Service {
    fn start(site: &str, term: u64, folder: &Path, witness: &Path) -> Result<Self, String> {
        let own: PathBuf = std::env::current_exe().map_err(|error| error.to_string())?;
        // Port 0: nobody asks them over HTTP here.
        let child = Command::new(own)
            .args([
                "serve",
                "--site",
                site,
                "--port",
                "0",
                "--term",
                &term.to_string(),
            ])
            .arg("--beats")
            .arg(folder)
            .arg("--witness")
            .arg(witness)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        Ok(Self(child))
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
