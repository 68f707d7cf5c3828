//! A peer's address as configured: text, before any name is resolved.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::config::DEFAULT_PORT;

/// Where a peer may be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A literal address.
    Ip(SocketAddr),
    /// A host to be resolved to A and AAAA records.
    Host {
        /// Its name.
        name: String,
        /// UDP port.
        port: u16,
    },
    /// A service to be resolved to SRV records, which name hosts and ports.
    Service {
        /// The whole name, e.g. `_interlock._udp.example.org`.
        name: String,
    },
}

/// An address that cannot be read. Nothing changed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is not an address: write host, host:port, [v6-address]:port or \
     srv:_interlock._udp.domain"
)]
pub struct AddressError(String);

impl Address {
    /// Reads one configured address.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let bad = || AddressError(text.chars().take(300).collect());
        if let Some(name) = text.strip_prefix("srv:") {
            let fine = name.starts_with('_') && is_name(name);
            return if fine {
                Ok(Self::Service {
                    name: name.to_owned(),
                })
            } else {
                Err(bad())
            };
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 {
                Err(bad())
            } else {
                Ok(Self::Ip(address))
            };
        }
        let bare = text
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Self::Ip(SocketAddr::new(ip, DEFAULT_PORT)));
        }
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, port.parse().map_err(|_| bad())?),
            None => (text, DEFAULT_PORT),
        };
        // A name of digits and dots only is a mistyped address, e.g. 192.0.2.300.
        let numeric = name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if port == 0 || numeric || !is_name(name) {
            return Err(bad());
        }
        Ok(Self::Host {
            name: name.to_owned(),
            port,
        })
    }
}

/// Whether DNS could know the name: labels of 1 to 63 letters, digits, `-` and `_`.
fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Result<Address, AddressError> {
        Ok(Address::Host {
            name: name.to_owned(),
            port,
        })
    }

    #[test]
    fn every_form_is_read() {
        let ip = |t: &str| Ok(Address::Ip(t.parse().unwrap()));
        assert_eq!(Address::parse("192.0.2.1:7"), ip("192.0.2.1:7"));
        assert_eq!(Address::parse("192.0.2.1"), ip("192.0.2.1:9929"));
        assert_eq!(Address::parse("[2001:db8::1]:7"), ip("[2001:db8::1]:7"));
        assert_eq!(Address::parse("[2001:db8::1]"), ip("[2001:db8::1]:9929"));
        assert_eq!(Address::parse("2001:db8::1"), ip("[2001:db8::1]:9929"));
        assert_eq!(
            Address::parse("berlin.example"),
            host("berlin.example", 9929)
        );
        assert_eq!(Address::parse("localhost:17001"), host("localhost", 17001));
        let service = Address::Service {
            name: "_interlock._udp.example.org".to_owned(),
        };
        assert_eq!(
            Address::parse("srv:_interlock._udp.example.org"),
            Ok(service)
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            ":",
            "host:",
            "host:0",
            "host:70000",
            "192.0.2.300",
            "a b",
            "srv:",
            "srv:x",
            "[::1",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?} was taken");
        }
    }
}
