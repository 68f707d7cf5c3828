//! Who a member is: cluster, role and name, as its certificate states them.

use std::fmt;

use thiserror::Error;

/// Longest cluster, role or member name, in bytes: fits a DNS label, so that names can be hosts.
pub const NAME_BYTES_MAX: usize = 63;

/// The scheme of the URI in a certificate's subject alternative name.
const SCHEME: &str = "interlock://";

/// A member of a cluster, in a role.
///
/// The only source of a peer's identity is its certificate; an address or a message never is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The cluster whose certificate authority vouches for the member.
    pub cluster: String,
    /// What the member does there, e.g. `site` or `arbitrator`. The link gives it no meaning.
    pub role: String,
    /// The member's name, unique in the cluster.
    pub name: String,
}

/// A name that cannot be part of an [`Identity`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum IdentityError {
    /// A part has a character outside `a-z 0-9 - _ .`, is empty, or is too long. Nothing changed.
    #[error(
        "{part} name {value:?} cannot be used: write 1 to {NAME_BYTES_MAX} of the characters \
         a-z, 0-9, '-', '_' and '.'"
    )]
    BadName {
        /// Which part: `cluster`, `role` or `member`.
        part: &'static str,
        /// What was given.
        value: String,
    },
    /// The text is not `interlock://CLUSTER/ROLE/NAME`. Nothing changed.
    #[error("{0:?} is not of the form interlock://CLUSTER/ROLE/NAME")]
    BadUri(String),
}

impl Identity {
    /// An identity of checked parts.
    pub fn new(cluster: &str, role: &str, name: &str) -> Result<Self, IdentityError> {
        Ok(Self {
            cluster: checked("cluster", cluster)?,
            role: checked("role", role)?,
            name: checked("member", name)?,
        })
    }

    /// Reads `interlock://CLUSTER/ROLE/NAME`.
    pub fn from_uri(uri: &str) -> Result<Self, IdentityError> {
        let bad = || IdentityError::BadUri(uri.chars().take(3 * NAME_BYTES_MAX).collect());
        let rest = uri.strip_prefix(SCHEME).ok_or_else(bad)?;
        let mut parts = rest.split('/');
        let (Some(cluster), Some(role), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        Self::new(cluster, role, name)
    }

    /// The URI written into certificates.
    pub fn uri(&self) -> String {
        format!("{SCHEME}{}/{}/{}", self.cluster, self.role, self.name)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of cluster {}", self.role, self.name, self.cluster)
    }
}

fn checked(part: &'static str, value: &str) -> Result<String, IdentityError> {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    if value.is_empty() || value.len() > NAME_BYTES_MAX || !value.bytes().all(fine) {
        return Err(IdentityError::BadName {
            part,
            value: value.chars().take(80).collect(),
        });
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_round_trip() {
        let id = Identity::new("shop", "site", "berlin").unwrap();
        assert_eq!(id.uri(), "interlock://shop/site/berlin");
        assert_eq!(Identity::from_uri(&id.uri()).unwrap(), id);
    }

    #[test]
    fn bad_names_are_refused() {
        for uri in [
            "",
            "interlock://shop/site",
            "interlock://shop/site/berlin/x",
            "interlock://shop//berlin",
            "interlock://shop/site/Ber lin",
            "https://shop/site/berlin",
            "interlock://shop/site/berlin\0",
        ] {
            assert!(Identity::from_uri(uri).is_err(), "{uri:?} was taken");
        }
        assert!(Identity::new("shop", "site", &"x".repeat(64)).is_err());
    }
}
