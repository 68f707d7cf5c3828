//! A member's credentials: its certificate and key, and the authority that it trusts.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ring::hmac;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use x509_parser::extensions::GeneralName;

use crate::ca;
use crate::crypto::provider;
use crate::identity::Identity;

/// Largest certificate or key file that is read: a PEM file of ours has about 1 kB, a bundle of
/// authorities some more.
const PEM_BYTES_MAX: u64 = 256 * 1024;

/// Where a member's credentials are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pki {
    /// The authority's certificate (several, while an authority is being replaced).
    pub ca: PathBuf,
    /// The member's certificate.
    pub certificate: PathBuf,
    /// The member's private key.
    pub key: PathBuf,
}

impl Pki {
    /// The usual file names (`ca.crt`, `NAME.crt`, `NAME.key`) in one directory.
    pub fn in_directory(directory: &Path, member: &str) -> Self {
        Self {
            ca: directory.join(ca::CA_CERTIFICATE),
            certificate: directory.join(ca::certificate_file(member)),
            key: directory.join(ca::key_file(member)),
        }
    }
}

/// Credentials that cannot be used. In every case nothing changed: a running link keeps the
/// credentials it has.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The private key can be read by others than its owner.
    #[error(
        "{} can be read by others (mode {mode:03o}): run chmod 600 on it; if somebody may have \
         copied it, issue a new certificate", path.display()
    )]
    KeyExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The certificate belongs to another cluster.
    #[error(
        "{} is a certificate of cluster {found}, this configuration is of cluster {expected}: \
         issue one with this cluster's authority", path.display()
    )]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// The configuration's cluster.
        expected: String,
        /// The certificate's cluster.
        found: String,
    },
    /// The certificate names another member, or another role.
    #[error(
        "{} is the certificate of {found}, this member is {expected}: give it its own certificate",
        path.display()
    )]
    OtherMember {
        /// The file.
        path: PathBuf,
        /// The member that the configuration names.
        expected: String,
        /// The member that the certificate names.
        found: String,
    },
    /// The certificate was signed by another authority than the one given.
    #[error(
        "{} was not signed by {}: it comes from another authority", path.display(), ca.display()
    )]
    OtherAuthority {
        /// The member's certificate.
        path: PathBuf,
        /// The authority's certificate.
        ca: PathBuf,
    },
    /// The certificate is over, or not good yet.
    #[error("{} {reason}: issue a new certificate, or set this machine's clock", path.display())]
    NotValidNow {
        /// The file.
        path: PathBuf,
        /// `expired 3 days ago` or `is not valid before ...`.
        reason: String,
    },
    /// Certificate and private key do not belong together.
    #[error("{} is not the key of {}", key.display(), certificate.display())]
    KeyMismatch {
        /// The key file.
        key: PathBuf,
        /// The certificate file.
        certificate: PathBuf,
    },
}

/// A member's certificate and key with the authority that it trusts, checked against each other.
#[derive(Clone)]
pub struct Credentials {
    pub(crate) identity: Identity,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Arc<PrivateKeyDer<'static>>,
    pub(crate) not_after: SystemTime,
}

impl Credentials {
    /// Reads and checks the credentials of `member`: the key is its owner's alone, belongs to the
    /// certificate, and the certificate is this member's, signed by the authority and good now.
    pub fn load(pki: &Pki, member: &Identity) -> Result<Self, CredentialsError> {
        let ca_pem = read_bounded(&pki.ca)?;
        let certificate_pem = read_bounded(&pki.certificate)?;
        key_unreadable_by_others(&pki.key)
            .map_err(|source| CredentialsError::File {
                path: pki.key.clone(),
                source,
            })?
            .map_err(|mode| CredentialsError::KeyExposed {
                path: pki.key.clone(),
                mode,
            })?;
        let key_pem = read_bounded(&pki.key)?;
        Self::from_pem(&ca_pem, &certificate_pem, &key_pem, pki, member)
    }

    /// The same from text in memory; `pki` only names the places in error messages.
    pub fn from_pem(
        ca_pem: &str,
        certificate_pem: &str,
        key_pem: &str,
        pki: &Pki,
        member: &Identity,
    ) -> Result<Self, CredentialsError> {
        let mut roots = RootCertStore::empty();
        for der in certificates(&pki.ca, ca_pem)? {
            roots
                .add(der)
                .map_err(|e| malformed(&pki.ca, e.to_string()))?;
        }
        let chain = certificates(&pki.certificate, certificate_pem)?;
        let facts = Facts::of(&chain[0]).map_err(|e| malformed(&pki.certificate, e))?;
        check_member(&pki.certificate, &facts.identity, member)?;
        check_validity(&pki.certificate, &facts, SystemTime::now())?;
        check_signature(pki, &roots, &chain)?;
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
            .map_err(|e| malformed(&pki.key, format!("no PEM private key in it: {e}")))?;
        check_key(pki, &chain, &key)?;
        Ok(Self {
            identity: facts.identity,
            roots: Arc::new(roots),
            chain,
            key: Arc::new(key),
            not_after: facts.not_after,
        })
    }

    /// The member that these credentials prove.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// When the certificate expires.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// A secret of this member for one purpose, the same after every restart.
    pub(crate) fn derived_secret(&self, purpose: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.secret_der());
        let mut secret = [0; 32];
        secret.copy_from_slice(hmac::sign(&key, purpose.as_bytes()).as_ref());
        secret
    }
}

/// What the link reads out of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) identity: Identity,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

impl Facts {
    pub(crate) fn of(der: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, certificate) =
            x509_parser::parse_x509_certificate(der).map_err(|e| format!("not X.509: {e}"))?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|e| format!("subject alternative name: {e}"))?
            .ok_or("the certificate names no member (no subject alternative name)")?;
        let mut uris = names
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            });
        let (Some(uri), None) = (uris.next(), uris.next()) else {
            return Err("the certificate must name exactly one member by URI".to_owned());
        };
        let identity = Identity::from_uri(uri).map_err(|e| e.to_string())?;
        let validity = certificate.validity();
        Ok(Self {
            identity,
            not_before: instant(validity.not_before.timestamp()),
            not_after: instant(validity.not_after.timestamp()),
        })
    }
}

fn instant(unix_seconds: i64) -> SystemTime {
    let span = Duration::from_secs(unix_seconds.unsigned_abs());
    if unix_seconds < 0 {
        SystemTime::UNIX_EPOCH - span
    } else {
        SystemTime::UNIX_EPOCH + span
    }
}

fn check_member(
    path: &Path,
    found: &Identity,
    expected: &Identity,
) -> Result<(), CredentialsError> {
    if found.cluster != expected.cluster {
        return Err(CredentialsError::OtherCluster {
            path: path.to_owned(),
            expected: expected.cluster.clone(),
            found: found.cluster.clone(),
        });
    }
    if found != expected {
        return Err(CredentialsError::OtherMember {
            path: path.to_owned(),
            expected: expected.to_string(),
            found: found.to_string(),
        });
    }
    Ok(())
}

fn check_validity(path: &Path, facts: &Facts, now: SystemTime) -> Result<(), CredentialsError> {
    let not_valid = |reason| {
        Err(CredentialsError::NotValidNow {
            path: path.to_owned(),
            reason,
        })
    };
    if let Ok(ago) = now.duration_since(facts.not_after) {
        return not_valid(format!("expired {} ago", rough(ago)));
    }
    if let Ok(ahead) = facts.not_before.duration_since(now) {
        return not_valid(format!("is not valid before {} from now", rough(ahead)));
    }
    Ok(())
}

/// A span for people: the largest fitting unit.
pub(crate) fn rough(span: Duration) -> String {
    match span.as_secs() {
        s if s >= 2 * 86_400 => format!("{} days", s / 86_400),
        s if s >= 2 * 3_600 => format!("{} hours", s / 3_600),
        s if s >= 120 => format!("{} minutes", s / 60),
        s => format!("{s} seconds"),
    }
}

fn check_signature(
    pki: &Pki,
    roots: &RootCertStore,
    chain: &[CertificateDer<'static>],
) -> Result<(), CredentialsError> {
    crate::tls::verify_chain(&chain[0], &chain[1..], roots, None).map_err(|_| {
        CredentialsError::OtherAuthority {
            path: pki.certificate.clone(),
            ca: pki.ca.clone(),
        }
    })
}

fn check_key(
    pki: &Pki,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<(), CredentialsError> {
    let signing = provider()
        .key_provider
        .load_private_key(key.clone_key())
        .map_err(|e| malformed(&pki.key, format!("no usable private key: {e}")))?;
    CertifiedKey::new(chain.to_vec(), signing)
        .keys_match()
        .map_err(|_| CredentialsError::KeyMismatch {
            key: pki.key.clone(),
            certificate: pki.certificate.clone(),
        })
}

fn certificates(path: &Path, pem: &str) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(malformed(path, "no PEM certificate in it".to_owned())),
        Err(e) => Err(malformed(path, format!("no PEM certificate in it: {e}"))),
    }
}

fn malformed(path: &Path, reason: String) -> CredentialsError {
    CredentialsError::Malformed {
        path: path.to_owned(),
        reason,
    }
}

fn read_bounded(path: &Path) -> Result<String, CredentialsError> {
    key_text(path).map_err(|source| CredentialsError::File {
        path: path.to_owned(),
        source,
    })
}

/// A whole small text file; anything larger than a PEM file can be is refused unread.
pub(crate) fn key_text(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > PEM_BYTES_MAX {
        let reason = format!("larger than {PEM_BYTES_MAX} bytes: not a PEM file");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    fs::read_to_string(path)
}

/// `Ok(Err(mode))` when group or others may read (or write) the key file.
pub(crate) fn key_unreadable_by_others(path: &Path) -> io::Result<Result<(), u32>> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    Ok(if mode & 0o077 == 0 { Ok(()) } else { Err(mode) })
}
