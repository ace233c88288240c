//! TLS at the door over TCP: 1.2 and 1.3, HTTP/2 or HTTP/1.1 by ALPN.
//!
//! The files are read by who composes the service, and handed in as what they
//! hold. A certificate is replaced while the door is open: connections that are
//! there keep theirs, new ones get the new one.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use postrider_model::time::UnixMs;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, ServerConfig};
use tokio_rustls::TlsAcceptor;
use x509_cert::der::Decode as _;

/// What is spoken within TLS, the better first (RFC 7301).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The keys that ring signs with.
const KINDS: &str = "RSA of 2048 to 4096 bits, ECDSA on P-256 or P-384 and Ed25519 can be";

/// A certificate with its key and with the certificates that lead from it to an
/// authority: fit to be served.
pub struct Certificate {
    config: Arc<ServerConfig>,
    valid: Option<Validity>,
}

/// From when to when a certificate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub from: UnixMs,
    /// The last one.
    pub until: UnixMs,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// There is no certificate in PEM form (RFC 7468).
    #[error("holds no certificate in PEM form")]
    NoCertificate,
    /// A certificate cannot be read.
    #[error("holds a certificate that cannot be read: {0}")]
    BadCertificate(String),
    /// There is no private key in PEM form, or only an encrypted one.
    #[error("holds no private key in PEM form")]
    NoKey,
    /// The key cannot be read, or is of a kind that TLS has no use for.
    #[error("holds a private key that cannot be used: {0}")]
    BadKey(String),
    /// They do not belong together.
    #[error("is not the key of the certificate")]
    Mismatch,
}

impl Certificate {
    /// Reads certificates, the server's own first, and the key of that one. The key is PKCS #8, PKCS #1 or SEC 1.
    ///
    /// # Errors
    /// Something is missing or damaged, or they do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let unreadable = |error: &dyn fmt::Display| CertificateError::BadCertificate(error.to_string());
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|error| unreadable(&error))?;
        let own = chain.first().ok_or(CertificateError::NoCertificate)?;
        let valid = validity(own);
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => CertificateError::NoKey,
            error => CertificateError::BadKey(error.to_string()),
        })?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| CertificateError::BadKey(error.to_string()))?;
        let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateError::Mismatch,
            rustls::Error::InvalidCertificate(error) => unreadable(&error),
            rustls::Error::General(_) => CertificateError::BadKey(KINDS.to_owned()),
            error => CertificateError::BadKey(error.to_string()),
        })?;
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        Ok(Self { config: Arc::new(config), valid })
    }

    /// From when to when it counts; `None` if that cannot be read, which leaves
    /// the judgement to the clients.
    #[must_use]
    pub const fn validity(&self) -> Option<Validity> {
        self.valid
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("valid", &self.valid).finish_non_exhaustive()
    }
}

pub(crate) fn validity(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    let valid = certificate.tbs_certificate().validity();
    let at = |time: x509_cert::time::Time| UnixMs(0) + time.to_unix_duration();
    Some(Validity { from: at(valid.not_before), until: at(valid.not_after) })
}

/// The certificate that is served; copies share it.
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl Tls {
    /// Serves this certificate.
    #[must_use]
    pub fn new(certificate: Certificate) -> Self {
        Self(Arc::new(RwLock::new(certificate.config)))
    }

    /// Serves another one from the next connection on.
    pub fn replace(&self, certificate: Certificate) {
        *self.0.write() = certificate.config;
    }

    /// For one connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.read()))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate and its key, in PEM form.
    fn pair() -> (String, String) {
        let mut params = CertificateParams::new(vec!["api.test".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 15);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn a_certificate_says_until_when_it_counts() {
        let (certificate, key) = pair();
        let certificate = Certificate::from_pem(certificate.as_bytes(), key.as_bytes()).expect("a good pair");
        let valid = certificate.validity().expect("it can be read");
        // date -u -d 2026-01-01 +%s; date -u -d 2027-01-15 +%s
        assert_eq!(valid, Validity { from: UnixMs(1_767_225_600_000), until: UnixMs(1_799_971_200_000) });
    }

    #[test]
    fn what_cannot_be_served_says_why() {
        let ((certificate, key), (_, other)) = (pair(), pair());
        let broken = certificate.replacen("MII", "AAA", 1);
        let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        for (certificate, key, says) in [
            ("", key.as_str(), "holds no certificate in PEM form"),
            (key.as_str(), key.as_str(), "holds no certificate in PEM form"),
            (&broken, &key, "holds a certificate that cannot be read"),
            ("-----BEGIN CERTIFICATE-----\nAA", &key, "holds a certificate that cannot be read"),
            (&certificate, "", "holds no private key in PEM form"),
            (&certificate, &certificate, "holds no private key in PEM form"),
            (&certificate, &encrypted, "holds no private key in PEM form"),
            (&certificate, no_key, "holds a private key that cannot be used: RSA of 2048 to 4096 bits, ECDSA on"),
            (&certificate, &other, "is not the key of the certificate"),
        ] {
            let error = Certificate::from_pem(certificate.as_bytes(), key.as_bytes()).expect_err(says).to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }
}
