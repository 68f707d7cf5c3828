//! The cluster's own certificate authority: one Ed25519 key that vouches for every member.
//!
//! The authority's key is needed only to issue certificates; it can be kept offline. A member
//! needs three files: `ca.crt`, `NAME.crt` and `NAME.key` (the last readable by its owner alone).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;

use crate::credentials::{key_text, key_unreadable_by_others};
use crate::identity::{Identity, IdentityError};

/// File name of the authority's certificate.
pub const CA_CERTIFICATE: &str = "ca.crt";
/// File name of the authority's key.
pub const CA_KEY: &str = "ca.key";
/// How long an authority is good for: outlives the machines; replacing it touches every member.
pub const CA_VALIDITY: Duration = Duration::from_secs(20 * 365 * 86_400);
/// How long a member's certificate is good for unless asked otherwise: five years. Expiry refuses
/// newcomers, so too short a life is a risk to availability, and there is no renewal service.
pub const MEMBER_VALIDITY: Duration = Duration::from_secs(5 * 365 * 86_400);
/// A new certificate counts from this long ago: the clocks of members may differ by as much.
const BACKDATE: Duration = Duration::from_secs(3_600);

/// A certificate authority that could not be made, read or used.
#[derive(Debug, Error)]
pub enum CaError {
    /// A name cannot be written into a certificate. Nothing was written.
    #[error(transparent)]
    Name(#[from] IdentityError),
    /// The file exists already; keys are never overwritten. Nothing was written.
    #[error("{} exists already: remove it first, or use another directory", .0.display())]
    Exists(PathBuf),
    /// A file could not be read or written. Files written before this one stay.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The authority's key file can be read by others. Nothing was written.
    #[error(
        "{} can be read by others (mode {mode:03o}): run chmod 600 on it, and think about who \
         could have copied it", path.display()
    )]
    KeyExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Certificate or key are malformed, or do not belong together. Nothing was written.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate could not be generated. Nothing was written.
    #[error("the certificate could not be made: {0}")]
    Generate(#[from] rcgen::Error),
}

/// A cluster's certificate authority, with its key.
pub struct Ca {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, fresh from the authority.
pub struct Issued {
    /// Whom it is for.
    pub identity: Identity,
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The private key (PKCS#8), PEM. To be written with [`Issued::save`] or kept in memory.
    pub key_pem: String,
}

impl Ca {
    /// A new authority for a cluster, in memory.
    pub fn create(cluster: &str) -> Result<Self, CaError> {
        // Checks the cluster's name; role and name are only placeholders here.
        let cluster = Identity::new(cluster, "ca", "ca")?.cluster;
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Interlock");
        params
            .distinguished_name
            .push(DnType::CommonName, format!("cluster {cluster}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = SystemTime::now();
        params.not_before = (now - BACKDATE).into();
        params.not_after = (now + CA_VALIDITY).into();
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self {
            certificate_pem,
            issuer: Issuer::new(params, key),
        })
    }

    /// Reads an authority from `ca.crt` and `ca.key` in a directory.
    pub fn load(directory: &Path) -> Result<Self, CaError> {
        let certificate_path = directory.join(CA_CERTIFICATE);
        let key_path = directory.join(CA_KEY);
        let certificate_pem = read(&certificate_path)?;
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|e| malformed(&certificate_path, format!("no PEM certificate in it: {e}")))?;
        key_unreadable_by_others(&key_path)
            .map_err(|source| CaError::File {
                path: key_path.clone(),
                source,
            })?
            .map_err(|mode| CaError::KeyExposed {
                path: key_path.clone(),
                mode,
            })?;
        let key = key_text(&key_path).map_err(|source| CaError::File {
            path: key_path.clone(),
            source,
        })?;
        let key = KeyPair::from_pem(&key)
            .map_err(|e| malformed(&key_path, format!("no usable private key in it: {e}")))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der)
            .map_err(|e| malformed(&certificate_path, e.to_string()))?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            let reason = format!("is not the key of {}", certificate_path.display());
            return Err(malformed(&key_path, reason));
        }
        let issuer = Issuer::from_ca_cert_der(&der, key)
            .map_err(|e| malformed(&certificate_path, e.to_string()))?;
        Ok(Self {
            certificate_pem,
            issuer,
        })
    }

    /// The authority's certificate, PEM: what every member needs.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Writes `ca.crt` and `ca.key` (mode 0600). Refuses to overwrite either.
    pub fn save(&self, directory: &Path) -> Result<(), CaError> {
        let certificate = directory.join(CA_CERTIFICATE);
        refuse_existing(&certificate)?;
        write_new(
            &directory.join(CA_KEY),
            &self.issuer.key().serialize_pem(),
            0o600,
        )?;
        write_new(&certificate, &self.certificate_pem, 0o644)
    }

    /// A certificate for one member, good from an hour ago for `validity`.
    pub fn issue(&self, identity: &Identity, validity: Duration) -> Result<Issued, CaError> {
        let now = SystemTime::now();
        self.issue_between(identity, now - BACKDATE, now + validity)
    }

    /// A certificate for one member, good between two instants (tests issue expired ones).
    pub fn issue_between(
        &self,
        identity: &Identity,
        not_before: SystemTime,
        not_after: SystemTime,
    ) -> Result<Issued, CaError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Interlock");
        params
            .distinguished_name
            .push(DnType::CommonName, identity.name.clone());
        params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(identity.uri())?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        params.not_before = not_before.into();
        params.not_after = not_after.into();
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            identity: identity.clone(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

impl Issued {
    /// Writes `NAME.crt` and `NAME.key` (mode 0600). Refuses to overwrite either.
    pub fn save(&self, directory: &Path) -> Result<(), CaError> {
        let certificate = directory.join(certificate_file(&self.identity.name));
        refuse_existing(&certificate)?;
        write_new(
            &directory.join(key_file(&self.identity.name)),
            &self.key_pem,
            0o600,
        )?;
        write_new(&certificate, &self.certificate_pem, 0o644)
    }
}

/// File name of a member's certificate.
pub fn certificate_file(member: &str) -> String {
    format!("{member}.crt")
}

/// File name of a member's key.
pub fn key_file(member: &str) -> String {
    format!("{member}.key")
}

fn read(path: &Path) -> Result<String, CaError> {
    fs::read_to_string(path).map_err(|source| CaError::File {
        path: path.to_owned(),
        source,
    })
}

fn malformed(path: &Path, reason: String) -> CaError {
    CaError::Malformed {
        path: path.to_owned(),
        reason,
    }
}

fn refuse_existing(path: &Path) -> Result<(), CaError> {
    if path.exists() {
        return Err(CaError::Exists(path.to_owned()));
    }
    Ok(())
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), CaError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => CaError::Exists(path.to_owned()),
        _ => CaError::File {
            path: path.to_owned(),
            source,
        },
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)
}
