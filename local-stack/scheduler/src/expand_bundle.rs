//! The resources of a bundle: per replica a container, perhaps an address, perhaps a connection;
//! and a clone of the primitive inside.

use std::fmt::Write as _;

use cib::{Document, Element, ElementId};

use crate::expand::{self, Connection, INNER, REPLICA, nvpair, op, primitive, set};
use crate::text;

const KEY: &str = "/etc/pacemaker/authkey";
const LOGS: &str = "/var/log/pacemaker/bundles";

struct Mount<'a> {
    source: &'a str,
    target: &'a str,
    options: Option<&'a str>,
    per_replica: bool,
}

struct Bundle<'a> {
    id: &'a str,
    agent: &'static str,
    engine: Element<'a>,
    network: Option<Element<'a>>,
    inner: Option<Element<'a>>,
    promoted_max: i64,
    replicas: i64,
    per_host: i64,
    mounts: Vec<Mount<'a>>,
    ports: Vec<(&'a str, &'a str)>,
}

/// Most instances of a clone, or replicas of a bundle: each costs memory whether or not it runs, and
/// ten times the largest known cluster's nodes is more than anybody can place. More are not made.
pub(crate) const INSTANCES_MAX: i32 = 1_000;

/// How many replicas a bundle has, how many of them per host, how many promoted; from its engine.
pub(crate) fn counts(bundle: Element<'_>) -> Option<(i64, i64, i64, &'static str)> {
    let (engine, agent) = ["docker", "podman"]
        .into_iter()
        .find_map(|name| bundle.child(name).map(|e| (e, name)))?;
    let count = |name| engine.attr(name).and_then(text::leading_int);
    let promoted = count("promoted-max")
        .or_else(|| count("masters"))
        .unwrap_or(0)
        .max(0);
    let replicas = match engine.attr("replicas") {
        None if promoted > 0 => promoted,
        _ => count("replicas").unwrap_or(1).max(1),
    };
    let replicas = replicas.min(INSTANCES_MAX.into());
    let mut per_host = count("replicas-per-host").unwrap_or(1).max(1);
    let network = bundle.child("network");
    let has = |name| network.is_some_and(|n| n.attr(name).is_some());
    if !has("ip-range-start") && has("control-port") {
        per_host = 1;
    }
    Some((replicas, per_host, promoted, agent))
}

/// Writes what `bundle` implies into `to`.
pub(crate) fn expand(document: &Document, bundle: Element<'_>, to: &mut Document) {
    let Some((replicas, per_host, promoted_max, agent)) = counts(bundle) else {
        return;
    };
    let Some(engine) = bundle.child(agent) else {
        return;
    };
    let mut this = Bundle {
        id: bundle.id(),
        agent,
        engine,
        network: bundle.child("network"),
        inner: bundle.child("primitive"),
        promoted_max,
        replicas,
        per_host,
        mounts: Vec::new(),
        ports: Vec::new(),
    };
    if this.inner.is_some() && !this.reachable() {
        return;
    }
    this.read_ports();
    this.read_mounts(bundle);
    let parent = bundle.key();
    if let Some(inner) = this.inner {
        this.write_clone(inner, document, to, parent);
    }
    let addresses = this.addresses();
    let hosts = this.host_options(&addresses);
    for (number, address) in addresses.iter().enumerate() {
        let replica = to.append(parent, REPLICA);
        to.set_attr(replica, "id", &format!("{}-replica-{number}", this.id));
        let container = this.write_container(to, replica, number, address.as_deref(), &hosts);
        if let Some(address) = address {
            to.set_attr(replica, "address", address);
            this.write_address(to, replica, number, address);
        }
        if this.inner.is_some() {
            this.write_connection(
                document,
                to,
                replica,
                number,
                (&container, address.as_deref()),
            );
        }
    }
}

impl<'a> Bundle<'a> {
    fn network(&self, name: &str) -> Option<&'a str> {
        self.network.and_then(|n| n.attr(name))
    }

    /// Whether the cluster can reach into the containers.
    fn reachable(&self) -> bool {
        self.network("ip-range-start").is_some() || self.network("control-port").is_some()
    }

    fn read_ports(&mut self) {
        for mapping in self.network.into_iter().flat_map(Element::children) {
            let port = mapping.attr("port");
            let source = port
                .or_else(|| mapping.attr("range"))
                .filter(|s| !s.is_empty());
            if let Some(source) = source {
                let target = port.and_then(|_| mapping.attr("internal-port"));
                self.ports.push((source, target.unwrap_or(source)));
            }
        }
        if self.inner.is_some() {
            let port = self.network("control-port").unwrap_or(expand::DEFAULT_PORT);
            self.ports.push((port, port));
        }
    }

    fn read_mounts(&mut self, bundle: Element<'a>) {
        let mut logs = false;
        for mapping in bundle
            .child("storage")
            .into_iter()
            .flat_map(Element::children)
        {
            let whole = mapping.attr("source-dir");
            let source = whole.or_else(|| mapping.attr("source-dir-root"));
            let (Some(source), Some(target)) = (source, mapping.attr("target-dir")) else {
                continue;
            };
            logs |= target == "/var/log";
            let options = mapping.attr("options");
            self.mounts.push(Mount {
                source,
                target,
                options,
                per_replica: whole.is_none(),
            });
        }
        if self.inner.is_some() {
            self.mounts.push(Mount {
                source: KEY,
                target: KEY,
                options: None,
                per_replica: false,
            });
            if !logs {
                let (source, target) = (LOGS, "/var/log");
                self.mounts.push(Mount {
                    source,
                    target,
                    options: None,
                    per_replica: true,
                });
            }
        }
    }

    fn write_clone(
        &self,
        inner: Element<'_>,
        document: &Document,
        to: &mut Document,
        parent: ElementId,
    ) {
        let clone = to.append(parent, INNER);
        let suffix = if self.promoted_max > 0 {
            "master"
        } else {
            "clone"
        };
        to.set_attr(clone, "id", &format!("{}-{suffix}", self.id));
        let meta = set(
            to,
            clone,
            "meta_attributes",
            &format!("{}-clone-meta", self.id),
        );
        nvpair(to, meta, "ordered", "true");
        nvpair(to, meta, "clone-max", &self.replicas.to_string());
        nvpair(to, meta, "clone-node-max", &self.per_host.to_string());
        nvpair(
            to,
            meta,
            "globally-unique",
            if self.per_host > 1 { "true" } else { "false" },
        );
        if self.promoted_max > 0 {
            nvpair(to, meta, "promotable", "true");
            nvpair(to, meta, "promoted-max", &self.promoted_max.to_string());
        }
        to.append_copy(clone, document, inner.key());
    }

    fn addresses(&self) -> Vec<Option<String>> {
        let mut next = self.network("ip-range-start").map(str::to_owned);
        let mut all = Vec::new();
        for _ in 0..self.replicas {
            all.push(next.clone());
            next = next.as_deref().and_then(next_address);
        }
        all
    }

    fn host_options(&self, addresses: &[Option<String>]) -> String {
        let add_host = self
            .network("add-host")
            .and_then(text::parse_bool)
            .unwrap_or(true);
        let mut out = String::new();
        for (number, address) in addresses.iter().enumerate() {
            if let Some(address) = address {
                let _ = if add_host {
                    write!(out, " --add-host={}-{number}:{address}", self.id)
                } else {
                    write!(out, " --hosts-entry={address}={}-{number}", self.id)
                };
            }
        }
        out
    }

    fn write_container(
        &self,
        to: &mut Document,
        replica: ElementId,
        number: usize,
        address: Option<&str>,
        hosts: &str,
    ) -> String {
        let id = clean(&format!("{}-{}-{number}", self.id, self.agent));
        let container = primitive(to, replica, &id, "heartbeat", self.agent);
        let name = format!("{}-attributes-{number}", self.id);
        let attributes = set(to, container, "instance_attributes", &name);
        let (options, points) = self.run_options(number, address, hosts);
        nvpair(
            to,
            attributes,
            "image",
            self.engine.attr("image").unwrap_or(""),
        );
        for (name, value) in [
            ("allow_pull", "true"),
            ("force_kill", "false"),
            ("reuse", "false"),
        ] {
            nvpair(to, attributes, name, value);
        }
        nvpair(to, attributes, "run_opts", &options);
        nvpair(to, attributes, "mount_points", &points);
        let command = self.engine.attr("run-command");
        let default = self.inner.map(|_| "/usr/sbin/pacemaker-remoted");
        if let Some(command) = command.or(default) {
            nvpair(to, attributes, "run_cmd", command);
        }
        nvpair(to, attributes, "monitor_cmd", "/bin/true");
        let ops = to.append(container, "operations");
        op(to, ops, &id, ["monitor", "60s"], "");
        id
    }

    fn run_options(&self, number: usize, address: Option<&str>, hosts: &str) -> (String, String) {
        let mut out = String::new();
        let mut points = String::new();
        if self.agent == "docker" {
            out.push_str(" --restart=no");
        }
        if self.network("ip-range-start").is_some() {
            let _ = write!(out, " -h {}-{number}", self.id);
        }
        out.push_str(" -e PCMK_stderr=1");
        let net = self.engine.attr("network");
        if let Some(net) = net {
            let _ = write!(out, " --net={net}");
        }
        let port = self.network("control-port").unwrap_or(expand::DEFAULT_PORT);
        let _ = write!(out, " -e PCMK_remote_port={port}");
        for mount in &self.mounts {
            let source = if mount.per_replica {
                let source = format!("{}/{}-{number}", mount.source, self.id);
                if !points.is_empty() {
                    points.push(',');
                }
                points.push_str(&source);
                source
            } else {
                mount.source.to_owned()
            };
            let _ = write!(out, " -v {source}:{}", mount.target);
            if let Some(options) = mount.options {
                let _ = write!(out, ":{options}");
            }
        }
        for (source, target) in &self.ports {
            if let Some(address) = address {
                let _ = write!(out, " -p {address}:{source}:{target}");
            } else if net != Some("host") {
                let _ = write!(out, " -p {source}:{target}");
            }
        }
        if let Some(options) = self.engine.attr("options") {
            let _ = write!(out, " {options}");
        }
        // A blank stays even when there are no entries: it is part of recorded digests.
        out.push(' ');
        out.push_str(hosts);
        (out, points)
    }

    fn write_address(&self, to: &mut Document, replica: ElementId, number: usize, address: &str) {
        let id = clean(&format!("{}-ip-{address}", self.id));
        let ip = primitive(to, replica, &id, "heartbeat", "IPaddr2");
        let name = format!("{}-attributes-{number}", self.id);
        let attributes = set(to, ip, "instance_attributes", &name);
        nvpair(to, attributes, "ip", address);
        if let Some(nic) = self.network("host-interface") {
            nvpair(to, attributes, "nic", nic);
        }
        nvpair(
            to,
            attributes,
            "cidr_netmask",
            self.network("host-netmask").unwrap_or("32"),
        );
        let ops = to.append(ip, "operations");
        op(to, ops, &id, ["monitor", "60s"], "");
    }

    fn write_connection(
        &self,
        document: &Document,
        to: &mut Document,
        replica: ElementId,
        number: usize,
        (container, address): (&str, Option<&str>),
    ) {
        let mut name = format!("{}-{number}", self.id);
        let resources = document
            .root()
            .child("configuration")
            .and_then(|c| c.child("resources"));
        let taken = |id: &str| {
            let mut all = resources.into_iter().flat_map(Element::descendants);
            all.any(|e| e.id() == id && expand::is_resource(e))
        };
        if taken(&name) {
            let inner = self.inner.map_or("", Element::id);
            name = format!("pcmk-internal-{inner}:{number}-remote-{number}");
        }
        let port = self.network("control-port").unwrap_or(expand::DEFAULT_PORT);
        let connection = Connection {
            name: &name,
            launcher: container,
            allow_migrate: None,
            is_managed: None,
            start_timeout: None,
            address: Some(address.unwrap_or("#uname")),
            port: Some(port),
        };
        connection.write(to, replica);
    }
}

fn clean(id: &str) -> String {
    id.replace([':', '#'], ".")
}

fn next_address(last: &str) -> Option<String> {
    let parts: Vec<u32> = last.split('.').map_while(|p| p.parse().ok()).collect();
    match *parts.as_slice() {
        [a, b, c, d] if c <= 253 => {
            if d > 253 {
                Some(format!("{a}.{b}.{}.1", c + 1))
            } else {
                Some(format!("{a}.{b}.{c}.{}", d + 1))
            }
        }
        _ => None,
    }
}
