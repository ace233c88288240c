//! The TLS client: 1.2 and 1.3, verified certificates, HTTP/2 or HTTP/1.1 by ALPN.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::options::Error;
use crate::stream::ALPN_H2;

/// Servers whose TLS sessions are remembered.
const REMEMBERED_SESSIONS: usize = 4_096;

/// The system's roots and `extra_roots` (DER), or `None` if there is no root at
/// all: then nothing could be verified, and `https` attempts say so.
pub(crate) fn connector(extra_roots: &[Vec<u8>]) -> Result<Option<TlsConnector>, Error> {
    let roots = roots(extra_roots)?;
    if roots.is_empty() {
        return Ok(None);
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(Error::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_H2.to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(REMEMBERED_SESSIONS);
    Ok(Some(TlsConnector::from(Arc::new(config))))
}

fn roots(extra_roots: &[Vec<u8>]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "failed to read some of the system's root certificates");
    }
    let (_, unusable) = roots.add_parsable_certificates(system.certs);
    if unusable > 0 {
        tracing::warn!(unusable, "some of the system's root certificates are not usable");
    }
    for (index, der) in extra_roots.iter().enumerate() {
        let added = roots.add(CertificateDer::from(der.as_slice()));
        added.map_err(|source| Error::ExtraRoot { number: index + 1, source })?;
    }
    if roots.is_empty() {
        tracing::warn!("no root certificate was found: every request to an https URL will fail");
    }
    Ok(roots)
}
