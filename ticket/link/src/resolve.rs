//! Names to addresses. The only module that knows how; the rest asks the trait [`Resolve`].

use std::fs;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::proto::rr::RData;
use thiserror::Error;
use tracing::debug;

use crate::address::Address;

/// Most addresses taken from one name; more would only slow down the round of attempts.
pub const ADDRESSES_MAX: usize = 16;
/// Largest hosts file that is read: ad-blocking lists reach megabytes, ours never do.
const HOSTS_BYTES_MAX: u64 = 1 << 20;
/// How long one name server may take for one question, and how often it is asked.
const SERVER_PATIENCE: Duration = Duration::from_secs(1);
const SERVER_ATTEMPTS_MAX: usize = 2;
const HOSTS: &str = "/etc/hosts";

/// A name that could not be resolved just now. It is asked again with the next attempt.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{name} cannot be resolved: {reason}")]
pub struct ResolveError {
    /// The name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// The future of one resolution.
pub type Resolution<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, ResolveError>> + Send + 'a>>;

/// Turns a configured address into socket addresses, best first.
pub trait Resolve: Send + Sync + 'static {
    /// Looks up a host (A, AAAA) or a service (SRV, then A and AAAA of its targets). Must not
    /// block the thread; the caller bounds the time.
    fn resolve<'a>(&'a self, address: &'a Address) -> Resolution<'a>;
}

/// The system's names: `/etc/hosts`, then the servers of `/etc/resolv.conf`.
///
/// Both files are read anew for each lookup. Lookups are rare (a peer is down or moved), and
/// between them nothing is kept: no cache that could be stale, no memory, no timers.
#[derive(Clone, Debug, Default)]
pub struct SystemNames {
    /// Asked instead of the servers of `/etc/resolv.conf`.
    server: Option<SocketAddr>,
}

impl SystemNames {
    /// Names from one server (and `/etc/hosts`), whatever `/etc/resolv.conf` says.
    pub fn of_server(server: SocketAddr) -> Self {
        Self {
            server: Some(server),
        }
    }
}

impl Resolve for SystemNames {
    fn resolve<'a>(&'a self, address: &'a Address) -> Resolution<'a> {
        Box::pin(async move {
            let mut found = match address {
                Address::Ip(address) => vec![*address],
                Address::Host { name, port } => self.host(name, *port).await?,
                Address::Service { name } => self.service(name).await?,
            };
            found.truncate(ADDRESSES_MAX);
            Ok(found)
        })
    }
}

impl SystemNames {
    async fn host(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        let local = hosts_file_entry(name);
        if !local.is_empty() {
            return Ok(with_port(local, port));
        }
        let resolver = self.resolver(name)?;
        let found = resolver
            .lookup_ip(absolute(name))
            .await
            .map_err(|e| failed(name, &e))?;
        Ok(with_port(found.iter().collect(), port))
    }

    async fn service(&self, name: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let resolver = self.resolver(name)?;
        let answer = resolver
            .srv_lookup(absolute(name))
            .await
            .map_err(|e| failed(name, &e))?;
        let mut targets: Vec<(u16, u16, String, u16)> = Vec::new();
        for record in answer.answers() {
            if let RData::SRV(srv) = &record.data {
                // Smaller priority first, larger weight first among equals: all are tried anyway.
                let rank = (srv.priority, u16::MAX - srv.weight);
                targets.push((rank.0, rank.1, srv.target.to_utf8(), srv.port));
            }
        }
        targets.sort();
        targets.truncate(ADDRESSES_MAX);
        let mut found = Vec::new();
        let mut failure = None;
        for (_, _, target, port) in targets {
            match self.host(&target, port).await {
                Ok(addresses) => found.extend(addresses),
                Err(e) => failure = Some(e),
            }
        }
        match (found.is_empty(), failure) {
            (true, Some(failure)) => Err(failure),
            (true, None) => Err(failed(name, &"it has no SRV records")),
            (false, _) => Ok(found),
        }
    }

    fn resolver(&self, name: &str) -> Result<TokioResolver, ResolveError> {
        let mut builder = match self.server {
            Some(server) => {
                TokioResolver::builder_with_config(one_server(server), Default::default())
            }
            None => TokioResolver::builder_tokio()
                .map_err(|e| failed(name, &format!("no name servers in /etc/resolv.conf ({e})")))?,
        };
        let options = builder.options_mut();
        // The usual five seconds would use up all our patience on the first dead server.
        options.timeout = options.timeout.min(SERVER_PATIENCE);
        options.attempts = options.attempts.min(SERVER_ATTEMPTS_MAX);
        options.use_hosts_file = ResolveHosts::Never;
        options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        builder.build().map_err(|e| failed(name, &e))
    }
}

fn one_server(server: SocketAddr) -> ResolverConfig {
    let mut udp = ConnectionConfig::udp();
    udp.port = server.port();
    let mut tcp = ConnectionConfig::tcp();
    tcp.port = server.port();
    let server = NameServerConfig::new(server.ip(), true, vec![udp, tcp]);
    ResolverConfig::from_parts(None, Vec::new(), vec![server])
}

fn failed(name: &str, reason: &dyn ToString) -> ResolveError {
    ResolveError {
        name: name.to_owned(),
        reason: reason.to_string(),
    }
}

/// A name with dots is taken as it stands: search domains would only add wrong answers.
fn absolute(name: &str) -> String {
    if name.contains('.') && !name.ends_with('.') {
        format!("{name}.")
    } else {
        name.to_owned()
    }
}

fn with_port(addresses: Vec<IpAddr>, port: u16) -> Vec<SocketAddr> {
    addresses
        .into_iter()
        .map(|ip| SocketAddr::new(ip, port))
        .collect()
}

/// What `/etc/hosts` says; `localhost` is known even without that file (RFC 6761).
fn hosts_file_entry(name: &str) -> Vec<IpAddr> {
    let short_enough = fs::metadata(HOSTS).is_ok_and(|m| m.len() <= HOSTS_BYTES_MAX);
    let text = if short_enough {
        fs::read_to_string(HOSTS).unwrap_or_default()
    } else {
        String::new()
    };
    let found = hosts_entry(&text, name);
    if found.is_empty() && name.trim_end_matches('.').eq_ignore_ascii_case("localhost") {
        debug!("localhost is not in {HOSTS}");
        return vec![
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
    }
    found
}

fn hosts_entry(text: &str, name: &str) -> Vec<IpAddr> {
    let wanted = name.trim_end_matches('.');
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(Ok(ip)) = words.next().map(str::parse) else {
            continue;
        };
        if words.any(|w| w.eq_ignore_ascii_case(wanted)) && !found.contains(&ip) {
            found.push(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests;
