//! TLS to the cluster: whom this program believes, what it shows of itself, and what is said when the
//! two do not come together.
//!
//! ```text
//!  tls_ca ─▶ chain of the node's certificate ─▶ its names ─▶ encrypted
//!                 signed by one of them?         the address that was called,
//!                                                 or a host of the URL, or tls_name
//! ```
//!
//! The driver knows the nodes of a cluster by their addresses alone, and rustls compares a certificate
//! with what was called. So a certificate has to be for the address of its node. Where it is for a name,
//! it is believed when that is the name of a host of the URL, or what `tls_name` says, which then is the
//! only one. There is no way to do without: who does not look at certificates talks to anybody.
//!
//! `ring` does the arithmetic, as for buckets ([`crate::blob`]). The provider is named here, not taken
//! from the process: the driver brings a second one, with which there is no default.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use scylla::errors::{
    BrokenConnectionErrorKind, ConnectionError, ConnectionSetupRequestErrorKind,
    FrameHeaderParseError,
};

use super::url::{Cluster, Tls};

/// Most certificates read from one file: the authorities of a whole system are some hundreds.
pub const CERTIFICATES_MAX: usize = 4_096;

/// What connections to this cluster are made with; reads the files the URL names.
///
/// # Errors
/// For the operator: a file that is not there, or has not what it should. Never with what is in it.
pub(super) fn config(tls: &Tls, cluster: &Cluster) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier {
        roots: roots(tls.ca.as_deref())?,
        names: Names::of(tls, cluster),
        provider: provider.clone(),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        // Stricter than rustls' own in nothing but the names.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder
            .with_client_auth_cert(certificates("tls_cert", cert)?, private_key(key)?)
            .map_err(|error| {
                format!(
                    "tls_key={} does not fit tls_cert={}: {error}; give the key this certificate was made for",
                    key.display(),
                    cert.display()
                )
            })?,
    };
    Ok(Arc::new(config))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca else {
        // Some of a system may be unusable; what counts is that there are others.
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        return if roots.is_empty() {
            Err("this machine has no certificates of authorities; name the one that signs for the cluster: tls_ca=FILE".to_owned())
        } else {
            Ok(roots)
        };
    };
    for certificate in certificates("tls_ca", file)? {
        roots.add(certificate).map_err(|error| {
            format!(
                "tls_ca={} has a certificate that cannot be used: {error}",
                file.display()
            )
        })?;
    }
    Ok(roots)
}

fn certificates(option: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let told = |why: &dyn std::fmt::Display| format!("{option}={}: {why}", file.display());
    let found = CertificateDer::pem_file_iter(file)
        .map_err(|error| told(&error))?
        .take(CERTIFICATES_MAX)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| told(&error))?;
    if found.is_empty() {
        return Err(told(
            &"there is no certificate in it; it is to be PEM: -----BEGIN CERTIFICATE-----",
        ));
    }
    Ok(found)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| {
        let why = match error {
            rustls::pki_types::pem::Error::NoItemsFound => {
                "there is no private key in it; it is to be PEM without a passphrase: -----BEGIN PRIVATE KEY-----".to_owned()
            }
            // What else it says of a file that could be read may quote it.
            rustls::pki_types::pem::Error::Io(error) => error.to_string(),
            _ => "it is broken PEM".to_owned(),
        };
        format!("tls_key={}: {why}", file.display())
    })
}

/// Which names a certificate may be for.
#[derive(Debug)]
enum Names {
    /// This one.
    Only(ServerName<'static>),
    /// The address of the node, or one of these: the hosts of the URL.
    Called(Vec<ServerName<'static>>),
}

impl Names {
    fn of(tls: &Tls, cluster: &Cluster) -> Self {
        if let Some(name) = &tls.name {
            return Self::Only(name.clone());
        }
        let hosts = cluster.nodes.iter().filter_map(|node| {
            let (host, _) = node.rsplit_once(':')?;
            let name = ServerName::try_from(host.to_owned()).ok()?;
            // An address is good for its own node only.
            matches!(name, ServerName::DnsName(_)).then_some(name)
        });
        Self::Called(hosts.collect())
    }
}

/// Decides about the certificate of a node.
#[derive(Debug)]
struct Verifier {
    roots: RootCertStore,
    names: Names,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        called: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        match &self.names {
            Names::Only(name) => verify_server_name(&certificate, name)?,
            Names::Called(hosts) => verify_server_name(&certificate, called).or_else(|error| {
                let of_a_host = |host| verify_server_name(&certificate, host).is_ok();
                hosts.iter().any(of_a_host).then_some(()).ok_or(error)
            })?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// What the operator does about a connection that TLS, or that there is none, prevented; `None` when it
/// was something else.
pub(super) fn advice(cluster: &Cluster, error: &ConnectionError) -> Option<String> {
    let (broken, io) = inside(error);
    let said = io.and_then(cause);
    // What becomes of the client's own certificate is told after the handshake, or not at all.
    let client = |tls: &Tls| match tls.client {
        None => {
            "if it wants certificates of its clients (require_client_auth), give one: tls_cert=FILE&tls_key=FILE"
        }
        Some(_) => {
            "check that the certificate in tls_cert is signed by an authority in its truststore, and has not expired"
        }
    };
    Some(match (&cluster.tls, said) {
        (None, _) if broken => "it ends the connection at the first request: if it wants TLS (client_encryption_options in cassandra.yaml), add tls=on&tls_ca=FILE; if not, check that HOST:PORT are those of CQL".to_owned(),
        (Some(tls), Some(rustls::Error::InvalidCertificate(why))) => of_certificate(tls, why),
        (Some(tls), Some(alert @ rustls::Error::AlertReceived(_))) => {
            format!("it refuses the connection ({alert}); {}", client(tls))
        }
        (Some(_), Some(error @ rustls::Error::InvalidMessage(_))) => format!(
            "no TLS is spoken there ({error}); enable client_encryption_options in cassandra.yaml, or give the port that has TLS, or leave tls=on out if the network is private"
        ),
        (Some(_), Some(error)) => format!("TLS failed: {error}"),
        // What it said may be lost when it closes the connection.
        (Some(tls), None) if broken => format!(
            "it ends the connection at the first request; {}; else see its log",
            client(tls)
        ),
        _ => return None,
    })
}

/// Whether a connection that was made broke again, and what reading or writing said then.
fn inside(error: &ConnectionError) -> (bool, Option<&io::Error>) {
    let broken = match error {
        ConnectionError::IoError(error) => return (false, Some(error)),
        ConnectionError::BrokenConnection(broken) => broken,
        ConnectionError::ConnectionSetupRequestError(setup) => match setup.get_error() {
            ConnectionSetupRequestErrorKind::BrokenConnection(broken) => broken,
            _ => return (false, None),
        },
        _ => return (false, None),
    };
    let io = match broken.downcast_ref() {
        Some(BrokenConnectionErrorKind::FrameHeaderParseError(
            FrameHeaderParseError::HeaderIoError(error),
        )) => Some(error),
        Some(BrokenConnectionErrorKind::WriteError(error)) => Some(error),
        _ => None,
    };
    (true, io)
}

fn of_certificate(tls: &Tls, why: &CertificateError) -> String {
    let told = |advice: &str| format!("its certificate is not believed: {why}; {advice}");
    match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => match &tls.ca {
            Some(file) => told(&format!(
                "give the certificate of the authority that signed it, as PEM, in tls_ca (now {})",
                file.display()
            )),
            None => {
                told("give the certificate of the authority that signed it, as PEM: tls_ca=FILE")
            }
        },
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            told(
                "give it a subjectAltName with the address of its node, or say which name it has: tls_name=NAME",
            )
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            told("renew it, or correct the clock of this machine or of the node")
        }
        _ => told("make the node another one"),
    }
}

/// What TLS said, if it was TLS.
fn cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[cfg(test)]
mod tests;
