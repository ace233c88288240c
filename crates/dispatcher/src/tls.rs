//! The TLS client: 1.2 and 1.3, verified certificates, HTTP/2 or HTTP/1.1 by ALPN.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use postrider_model::via::Via;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::identity::{Identity, unreadable};
use crate::options::Error;
use crate::stream::ALPN_H2;

/// Servers whose TLS sessions are remembered.
const REMEMBERED_SESSIONS: usize = 4_096;

/// Endpoints with a certificate or authorities of their own whose sessions are remembered. When there are
/// more all are forgotten, and made again as they are needed.
const MAX_IDENTITIES: usize = 1_024;
/// Sessions that are remembered of each.
const SESSIONS_OF_IDENTITY: usize = 8;

/// What TLS connections are made with. An endpoint with a certificate or authorities of
/// its own shares nothing with others, session tickets neither.
pub(crate) struct Tls {
    roots: Option<Arc<RootCertStore>>,
    identity: Option<Identity>,
    usual: Option<TlsConnector>,
    own: Mutex<HashMap<[u8; 32], TlsConnector>>,
}

impl Tls {
    /// The system's roots and `extra_roots` (DER). If there is no root at all nothing could
    /// be verified, and `https` attempts say so. `identity` is for those that have none of their own.
    pub(crate) fn new(extra_roots: &[Vec<u8>], identity: Option<Identity>) -> Result<Self, Error> {
        let roots = roots(extra_roots)?;
        let roots = (!roots.is_empty()).then(|| Arc::new(roots));
        let usual = roots.clone().map(|roots| connector(roots, identity.as_ref(), REMEMBERED_SESSIONS));
        let usual = usual.transpose().map_err(Error::Tls)?;
        Ok(Self { roots, identity, usual, own: Mutex::default() })
    }

    /// None at all.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn none() -> Self {
        Self { roots: None, identity: None, usual: None, own: Mutex::default() }
    }

    /// For a connection that is made so; `None` if nothing could be verified.
    pub(crate) fn connector(&self, via: Option<&Via>) -> Result<Option<TlsConnector>, rustls::Error> {
        let Some((via, tls)) = via.and_then(|via| Some((via, via.tls()?))) else { return Ok(self.usual.clone()) };
        if let Some(known) = self.own.lock().get(via.id()) {
            return Ok(Some(known.clone()));
        }
        let trusted = match &tls.ca {
            Some(ca) => Some(Arc::new(authorities(ca)?)),
            None => self.roots.clone(),
        };
        let Some(trusted) = trusted else { return Ok(None) };
        let identity = match tls.client_certificate.as_deref().zip(tls.client_key.as_deref()) {
            Some((certificate, key)) => Some(Identity::from_pem(certificate.as_bytes(), key.as_bytes())?),
            None => self.identity.clone(),
        };
        let made = connector(trusted, identity.as_ref(), SESSIONS_OF_IDENTITY)?;
        let mut own = self.own.lock();
        if own.len() >= MAX_IDENTITIES {
            own.clear();
        }
        own.insert(*via.id(), made.clone());
        Ok(Some(made))
    }
}

fn connector(
    roots: Arc<RootCertStore>,
    identity: Option<&Identity>,
    sessions: usize,
) -> Result<TlsConnector, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_cert_resolver(identity.resolver()),
    };
    config.alpn_protocols = vec![ALPN_H2.to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(sessions);
    Ok(TlsConnector::from(Arc::new(config)))
}

fn authorities(pem: &str) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(unreadable)?)?;
    }
    Ok(roots)
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
