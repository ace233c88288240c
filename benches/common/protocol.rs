//! What a receiver speaks, and the certificate with which it does.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::Failure;

/// Where every receiver is.
const HOST: &str = "127.0.0.1";

/// What requests are made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS 1.3.
    Https,
    /// HTTP/2 over TLS 1.3.
    Http2,
}

/// A certificate that signs itself, and its key, both as PEM.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    key: String,
}

impl Identity {
    /// A new one for the receivers' address.
    pub(crate) fn new() -> Result<Self, Failure> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![HOST.to_owned()])?.self_signed(&key)?;
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// The receiver's side of TLS.
    pub(crate) fn acceptor(&self, protocol: Protocol) -> Result<TlsAcceptor, Failure> {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        config.alpn_protocols = protocol.alpn();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl Protocol {
    /// The scheme of its URLs.
    pub(crate) const fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https | Self::Http2 => "https",
        }
    }

    /// The sender's side of TLS, trusting this certificate only.
    pub(crate) fn connector(self, certificate: &str) -> Result<TlsConnector, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificate.as_bytes())?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = self.alpn();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn alpn(self) -> Vec<Vec<u8>> {
        vec![if self == Self::Http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }]
    }
}
