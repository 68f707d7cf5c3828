//! Where a member is reached: `host`, `host:port`, `192.0.2.1:9929`, `[2001:db8::1]:9929`, or
//! `srv:_interlock._udp.example` for a service record that names hosts and ports.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Our port: booth's, which firewalls of such sites have open already.
pub const DEFAULT_PORT: u16 = 9929;

/// Longest DNS name.
const HOST_MAX: usize = 253;

/// One address of a member.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A numeric address.
    Ip(SocketAddr),
    /// A host name (A and AAAA records) and a port.
    Host {
        /// The name, in lower case.
        host: String,
        /// The port.
        port: u16,
    },
    /// A service name (SRV records).
    Service(String),
}

impl Address {
    /// Reads one. The error says what is wrong, to be followed by what to write.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("srv:") {
            return host_name(name, true).map(Self::Service);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (ip, after) = rest.split_once(']').ok_or("`[` without `]`")?;
            let ip: Ipv6Addr = ip
                .parse()
                .map_err(|_| format!("`{ip}` is not an IPv6 address"))?;
            let port = match after.strip_prefix(':') {
                Some(port) => parse_port(port)?,
                None if after.is_empty() => DEFAULT_PORT,
                None => return Err("what follows `]` must be a colon and a port".to_owned()),
            };
            return known(IpAddr::V6(ip), port);
        }
        // Several colons: an IPv6 address without brackets, so without a port.
        if text.matches(':').count() > 1 {
            let ip: Ipv6Addr = text.parse().map_err(|_| "not an IPv6 address".to_owned())?;
            return known(IpAddr::V6(ip), DEFAULT_PORT);
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => (text, DEFAULT_PORT),
        };
        // Digits and dots alone are meant as an IPv4 address, never as a name.
        if !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
        {
            let ip: Ipv4Addr = host
                .parse()
                .map_err(|_| format!("`{host}` is not an IPv4 address"))?;
            return known(IpAddr::V4(ip), port);
        }
        host_name(host, false).map(|host| Self::Host { host, port })
    }

    /// The port, where the address names one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Ip(address) => Some(address.port()),
            Self::Host { port, .. } => Some(*port),
            Self::Service(_) => None,
        }
    }

    /// Where a member with this address listens unless it is told: a loopback address is meant as it
    /// is; behind any other there may be a translation, so all interfaces.
    pub(crate) fn listen(&self) -> SocketAddr {
        match self {
            Self::Ip(address) if address.ip().is_loopback() => *address,
            other => (
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                other.port().unwrap_or(DEFAULT_PORT),
            )
                .into(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Service(name) => write!(f, "srv:{name}"),
        }
    }
}

fn known(ip: IpAddr, port: u16) -> Result<Address, String> {
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(format!("nobody can be reached at {ip}"));
    }
    Ok(Address::Ip((ip, port).into()))
}

fn parse_port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| format!("`{text}` is not a port; a port is a number from 1 to 65535"))
}

/// A DNS name, in lower case. Service names start labels with an underscore.
fn host_name(name: &str, underscore: bool) -> Result<String, String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err("the host name is missing".to_owned());
    }
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let body = if underscore {
            label.strip_prefix('_').unwrap_or(label)
        } else {
            label
        };
        (1..=63).contains(&label.len())
            && !body.is_empty()
            && body.bytes().all(inner)
            && !body.starts_with('-')
            && !body.ends_with('-')
    };
    if name.len() > HOST_MAX || !name.split('.').all(label) {
        return Err(format!("`{name}` is not a host name"));
    }
    Ok(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_form() {
        let cases = [
            ("b.example", "b.example:9929"),
            ("B.Example:77", "b.example:77"),
            ("b.example.", "b.example:9929"),
            ("192.0.2.1", "192.0.2.1:9929"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("2001:db8::1", "[2001:db8::1]:9929"),
            ("[2001:db8::1]", "[2001:db8::1]:9929"),
            ("[::1]:5", "[::1]:5"),
            (
                "srv:_interlock._udp.b.example",
                "srv:_interlock._udp.b.example",
            ),
        ];
        for (text, written) in cases {
            assert_eq!(
                Address::parse(text).map(|address| address.to_string()),
                Ok(written.into())
            );
        }
    }

    #[test]
    fn refuses_what_cannot_be_reached() {
        for text in [
            "",
            ":9929",
            "b.example:",
            "b.example:0",
            "b.example:65536",
            "b_x.example",
            "-b",
            "1.2.3",
            "300.1.1.1",
            "[::1",
            "[::1]x",
            "[::1]:0",
            "0.0.0.0",
            "[::]:9929",
            "224.0.0.1",
            "a b",
            "b..example",
            "srv:",
            "1:2:3",
            "http://b.example",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(text in "(srv:_a\\._udp\\.[a-z]{1,9}|[a-z][a-z0-9-]{0,5}[a-z](:[1-9][0-9]{0,3})?|[0-9:.\\[\\]]{0,20})") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
            }
        }
    }
}
