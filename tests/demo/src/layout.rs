//! The files of a run: one temporary folder with a folder per member, gone at the end.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::relay::Relay;
use crate::settings::{ARBITRATOR, Manager, SITES, Settings, TICKET, members};

/// The agent, as it is shipped.
const AGENT: &str = include_str!("../../../deploy/ocf/interlock/web");

/// Longest path of a unix socket that the kernel takes, without the closing zero.
const SOCKET_PATH_MAX: usize = 107;

/// The name of the cluster, bound into every certificate.
pub(crate) const CLUSTER: &str = "demo";

/// Paths and ports of one run.
#[derive(Debug)]
pub(crate) struct Layout {
    root: TempDir,
    ports: Vec<(String, u16)>,
    web: Vec<(String, u16)>,
}

impl Layout {
    /// Makes the folders and picks free ports.
    pub(crate) fn make() -> io::Result<Self> {
        let root = tempfile::Builder::new().prefix("interlock-").tempdir()?;
        let longest = root.path().join("c/berlin/run/local-stack.sock");
        if longest.as_os_str().len() > SOCKET_PATH_MAX {
            return Err(io::Error::other(format!(
                "{} is too long for a unix socket: set TMPDIR to a shorter folder, as /tmp",
                longest.display()
            )));
        }
        // All sockets are open at once, so that no port is given twice.
        let udp: Vec<UdpSocket> = members()
            .map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)))
            .collect::<Result<_, _>>()?;
        let tcp: Vec<TcpListener> = SITES
            .iter()
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .collect::<Result<_, _>>()?;
        let ports = members()
            .zip(&udp)
            .map(|(member, socket)| Ok((member.to_owned(), socket.local_addr()?.port())))
            .collect::<io::Result<_>>()?;
        let web = SITES
            .iter()
            .zip(&tcp)
            .map(|(site, socket)| Ok(((*site).to_owned(), socket.local_addr()?.port())))
            .collect::<io::Result<_>>()?;
        Ok(Self { root, ports, web })
    }

    /// Makes the folders that `ticket init` does not know, and the agent.
    pub(crate) fn furnish(&self) -> io::Result<()> {
        for site in SITES {
            for folder in ["stack", "guard", "web", "faults", "web/beats"] {
                private_folder(&self.of(site).join(folder))?;
            }
        }
        let ocf = self.ocf_root().join("resource.d/interlock");
        fs::create_dir_all(&ocf)?;
        write_executable(&ocf.join("web"), AGENT)
    }

    /// Leaves the folder behind at the end.
    pub(crate) fn keep(&mut self) {
        self.root.disable_cleanup(true);
    }

    /// The run's folder.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// A member's folder.
    pub(crate) fn of(&self, member: &str) -> PathBuf {
        self.cluster().join(member)
    }

    /// The folder that `ticket init` makes: it wants one of its own.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.root.path().join("c")
    }

    /// Where a member's control socket is.
    pub(crate) fn control(&self, member: &str) -> PathBuf {
        self.of(member).join(format!("run/{member}.sock"))
    }

    /// A member's configuration file.
    pub(crate) fn config(&self, member: &str) -> PathBuf {
        self.of(member).join("interlock.toml")
    }

    /// The witness's socket.
    pub(crate) fn witness(&self) -> PathBuf {
        self.root.path().join("witness.sock")
    }

    /// Where the agents are.
    pub(crate) fn ocf_root(&self) -> PathBuf {
        self.root.path().join("ocf")
    }

    /// A member's own UDP address.
    pub(crate) fn listen(&self, member: &str) -> SocketAddr {
        let port = self
            .ports
            .iter()
            .find(|(name, _)| name == member)
            .map_or(0, |known| known.1);
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    /// The port where a site's service answers.
    pub(crate) fn web_port(&self, site: &str) -> u16 {
        self.web
            .iter()
            .find(|(name, _)| name == site)
            .map_or(0, |known| known.1)
    }

    /// Writes a member's configuration: itself by its own address, the others through the relay.
    pub(crate) fn write_config(
        &self,
        member: &str,
        settings: &Settings,
        relay: &Relay,
    ) -> io::Result<()> {
        let mut text = format!(
            "[cluster]\nname = \"{CLUSTER}\"\nmember = \"{member}\"\ndrift = \"{}\"\n\n",
            settings.drift
        );
        for other in members() {
            let role = if other == ARBITRATOR {
                "arbitrator"
            } else {
                "site"
            };
            let address = if other == member {
                Some(self.listen(member))
            } else {
                relay.address(member, other)
            };
            let address = address.map_or_else(String::new, |address| address.to_string());
            text += &format!("[member.{other}]\nrole = \"{role}\"\naddress = [\"{address}\"]\n\n");
        }
        text += &ticket_table(settings);
        let folder = self.of(member);
        let folder = folder.display();
        text += &format!(
            "[paths]\npki = \"{folder}/pki\"\nstate = \"{folder}/state\"\nrun = \"{folder}/run\"\n"
        );
        if member != ARBITRATOR {
            text += &self.manager_table(member, settings);
        }
        fs::write(self.config(member), text)
    }

    fn manager_table(&self, site: &str, settings: &Settings) -> String {
        let folder = self.of(site);
        let folder = folder.display();
        match settings.manager {
            Manager::LocalStack => format!(
                "\n[cluster-manager]\nkind = \"local-stack\"\nsocket = \"{folder}/run/local-stack.sock\"\n\
                 guard = \"{folder}/run/guard.sock\"\n"
            ),
            Manager::Command => format!(
                "\n[cluster-manager]\nkind = \"command\"\ncommand = [\"{folder}/cluster\"]\n\
                 guard = \"{folder}/run/guard.sock\"\ntimeout = \"{}\"\n",
                toml_span(settings.command_timeout)
            ),
        }
    }

    /// Writes what a site's cluster manager needs: the CIB, or the command.
    pub(crate) fn write_cluster(&self, site: &str, settings: &Settings) -> io::Result<()> {
        let demo = std::env::current_exe()?;
        fs::write(
            self.of(site).join("cib.xml"),
            self.cib(site, settings, &demo),
        )?;
        write_executable(&self.of(site).join("cluster"), &self.command(site, &demo))
    }

    fn agent_parameters(&self, site: &str, demo: &Path) -> [(&'static str, String); 6] {
        let folder = self.of(site);
        [
            ("binary", demo.display().to_string()),
            ("port", self.web_port(site).to_string()),
            ("state", folder.join("web").display().to_string()),
            ("site", site.to_owned()),
            ("witness", self.witness().display().to_string()),
            ("faults", folder.join("faults").display().to_string()),
        ]
    }

    fn cib(&self, site: &str, settings: &Settings, demo: &Path) -> String {
        let parameters: String = self
            .agent_parameters(site, demo)
            .iter()
            .map(|(name, value)| {
                format!("          <nvpair id=\"web-{name}\" name=\"{name}\" value=\"{value}\"/>\n")
            })
            .collect();
        let budget = settings.stop_budget.as_millis();
        format!(
            r#"<cib crm_feature_set="3.20.5" validate-with="pacemaker-4.0" epoch="1" num_updates="0" admin_epoch="0">
  <configuration>
    <crm_config>
      <cluster_property_set id="options">
        <nvpair id="opt-fencing" name="stonith-enabled" value="false"/>
        <nvpair id="opt-quorum" name="no-quorum-policy" value="ignore"/>
      </cluster_property_set>
    </crm_config>
    <nodes>
      <node id="1" uname="{site}-1"/>
    </nodes>
    <resources>
      <primitive id="web" class="ocf" provider="interlock" type="web">
        <instance_attributes id="web-params">
{parameters}        </instance_attributes>
        <operations>
          <op id="web-start" name="start" interval="0" timeout="10s"/>
          <op id="web-stop" name="stop" interval="0" timeout="{budget}ms"/>
          <op id="web-monitor" name="monitor" interval="1s" timeout="5s"/>
        </operations>
      </primitive>
    </resources>
    <constraints>
      <rsc_ticket id="web-needs-{TICKET}" rsc="web" ticket="{TICKET}" loss-policy="stop"/>
    </constraints>
  </configuration>
  <status/>
</cib>
"#
        )
    }

    /// The command of a site that is driven by one: it runs the same agent.
    fn command(&self, site: &str, demo: &Path) -> String {
        let exports: String = self
            .agent_parameters(site, demo)
            .iter()
            .map(|(name, value)| format!("export OCF_RESKEY_{name}='{value}'\n"))
            .collect();
        let agent = self.ocf_root().join("resource.d/interlock/web");
        format!(
            r#"#!/bin/sh
# VERB TICKET TERM DEADLINE_MS, as a site agent calls it. Drives the web agent directly.
{exports}
agent='{agent}'
faults='{faults}'
record='{record}'
if [ -r "$faults/$1" ]; then
    read -r kind much <"$faults/$1"
    case "$kind" in
    hang) while :; do sleep 3600; done ;;
    fail) echo "the drill in $faults/$1 makes $1 fail" >&2; exit 1 ;;
    slow) sleep "${{much:-1}}" ;;
    esac
fi
case "$1" in
grant) export INTERLOCK_TERM="$3"; "$agent" start && echo "$3" >"$record" ;;
extend) exit 0 ;;
stop | revoke) "$agent" stop && rm -f "$record" ;;
standby)
    case "$4" in
    on) "$agent" stop ;;
    off) export INTERLOCK_TERM="$3"; "$agent" start ;;
    esac
    ;;
status)
    "$agent" monitor 2>/dev/null
    case $? in
    0) echo "granted $(cat "$record" 2>/dev/null || echo 0)" ;;
    7) echo stopped ;;
    *) exit 1 ;;
    esac
    ;;
*) exit 0 ;;
esac
"#,
            agent = agent.display(),
            faults = self.of(site).join("faults").display(),
            record = self.of(site).join("web/granted").display(),
        )
    }
}

fn ticket_table(settings: &Settings) -> String {
    let mode = if settings.manual { "manual" } else { "auto" };
    let mut text = format!("[ticket.{TICKET}]\nmode = \"{mode}\"\n");
    if !settings.manual {
        text += &format!(
            "lease = \"{}\"\nacquire-after = \"{}\"\nstop-budget = \"{}\"\n",
            toml_span(settings.lease),
            toml_span(settings.acquire_after),
            toml_span(settings.stop_budget)
        );
    }
    text + &format!("prefer = [\"{}\"]\n\n", SITES.join("\", \""))
}

fn toml_span(span: std::time::Duration) -> String {
    format!("{}ms", span.as_millis())
}

fn private_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

fn write_executable(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}
