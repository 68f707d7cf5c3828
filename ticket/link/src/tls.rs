//! TLS 1.3 both ways: who is let in, and with which parameters.

use std::fmt;
use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerMisbehaved,
    RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::credentials::{Credentials, Facts};
use crate::crypto::provider;

/// The protocol that members speak; a change of the link's framing gets a new number.
pub(crate) const ALPN: &[u8] = b"interlock/1";

/// What dialled members are called in TLS. Never looked at: who they are is in the certificate.
pub(crate) const SERVER_NAME: &str = "member.interlock.invalid";

/// Whether a certificate was signed by one of `roots`, and, with a time, is good then.
pub(crate) fn verify_chain(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &RootCertStore,
    now: Option<UnixTime>,
) -> Result<(), Error> {
    let algorithms = provider().signature_verification_algorithms;
    let parsed = ParsedCertificate::try_from(leaf)?;
    let now = now.unwrap_or_else(UnixTime::now);
    verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms.all)
}

/// Lets in those whom the cluster's authority vouches for; used by both ends of a connection.
///
/// Members' certificates are good for both ends, so one check (the stricter server one) serves.
/// That the name and role are the expected ones is checked after the handshake, before anything
/// else is read, because only then can the refusal say which member was expected.
struct Vouched {
    roots: Arc<RootCertStore>,
    cluster: String,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Vouched {
    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        verify_chain(leaf, intermediates, &self.roots, Some(now)).map_err(|e| self.explain(leaf, e))
    }

    /// Turns "unknown issuer" into what is most likely wrong.
    fn explain(&self, leaf: &CertificateDer<'_>, error: Error) -> Error {
        let unknown = matches!(
            error,
            Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature
            )
        );
        let Ok(facts) = Facts::of(leaf) else {
            return error;
        };
        if !unknown {
            return error;
        }
        let mine = &self.cluster;
        let reason = if facts.identity.cluster == *mine {
            format!(
                "certificate of {} from another authority than ours",
                facts.identity
            )
        } else {
            format!(
                "certificate of another cluster: {}, we are {mine}",
                facts.identity
            )
        };
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Refusal(
            reason,
        )))))
    }
}

impl fmt::Debug for Vouched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vouched")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

/// A reason as an error, so that rustls can carry it.
#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl ServerCertVerifier for Vouched {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(leaf, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerMisbehaved(
            PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Vouched {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(leaf, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerMisbehaved(
            PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn vouched(credentials: &Credentials) -> Arc<Vouched> {
    Arc::new(Vouched {
        roots: credentials.roots.clone(),
        cluster: credentials.identity.cluster.clone(),
        algorithms: provider().signature_verification_algorithms,
    })
}

/// The dialling side: presents our certificate, keeps no session.
pub(crate) fn client(credentials: &Credentials) -> Result<QuicClientConfig, Error> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(vouched(credentials))
        .with_client_auth_cert(credentials.chain.clone(), credentials.key.clone_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    QuicClientConfig::try_from(config).map_err(|e| Error::General(e.to_string()))
}

/// The answering side: demands a certificate, issues no tickets, takes no early data.
pub(crate) fn server(credentials: &Credentials) -> Result<QuicServerConfig, Error> {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(vouched(credentials))
        .with_single_cert(credentials.chain.clone(), credentials.key.clone_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    QuicServerConfig::try_from(config).map_err(|e| Error::General(e.to_string()))
}
