//! What makes the connections to an endpoint other ones than those of others to the
//! same place: a client certificate, an authority, a proxy. Those of one must never
//! serve another.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::client_tls::ClientTls;
use crate::proxy::Proxy;

/// How an endpoint is connected to, where it says something of it. Two are equal if
/// all parts are; `Debug` prints no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Via {
    id: [u8; 32],
    tls: Option<ClientTls>,
    proxy: Option<Proxy>,
}

impl Via {
    /// `None` if nothing is said.
    #[must_use]
    pub fn new(tls: Option<ClientTls>, proxy: Option<Proxy>) -> Option<Arc<Self>> {
        if tls.is_none() && proxy.is_none() {
            return None;
        }
        let mut hash = Sha256::new();
        let parts = tls.as_ref().map(ClientTls::parts).unwrap_or_default();
        let proxy_text = proxy.as_ref().map(Proxy::text);
        for part in parts.into_iter().chain([proxy_text]) {
            // With its length before it, no part can pass for the end of another.
            hash.update(part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
            hash.update(part.unwrap_or_default().as_bytes());
        }
        Some(Arc::new(Self { id: hash.finalize().into(), tls, proxy }))
    }

    /// Another one has another.
    #[must_use]
    pub const fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// What it says of TLS.
    #[must_use]
    pub const fn tls(&self) -> Option<&ClientTls> {
        self.tls.as_ref()
    }

    /// The proxy that its requests go through.
    #[must_use]
    pub const fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }
}

impl Hash for Via {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Via").field("tls", &self.tls).field("proxy", &self.proxy).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(certificate: Option<&str>, key: Option<&str>, ca: Option<&str>, proxy: Option<&str>) -> Option<Arc<Via>> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let tls = ClientTls { client_certificate: text(certificate), client_key: text(key), ca: text(ca) };
        let proxy = proxy.map(|text| Proxy::parse(text).expect("a proxy in the test's own table"));
        Via::new(Some(tls).filter(|tls| *tls != ClientTls::default()), proxy)
    }

    #[test]
    fn whatever_differs_makes_another_one() {
        let all = [
            via(Some("a"), Some("b"), None, None),
            via(Some("a"), Some("c"), None, None),
            via(Some("ab"), Some(""), None, None),
            via(Some(""), Some("ab"), None, None),
            via(Some("a"), Some("b"), Some("c"), None),
            via(None, None, Some("c"), None),
            via(None, None, None, Some("http://a.test:1")),
            via(None, None, None, Some("socks5://a.test:1")),
            via(None, None, None, Some("http://a.test:2")),
            via(None, None, None, Some("http://u:p@a.test:1")),
            via(None, None, Some("c"), Some("http://a.test:1")),
        ];
        for (place, one) in all.iter().enumerate() {
            assert!(one.is_some());
            for other in all.iter().skip(place + 1) {
                assert_ne!(one, other);
            }
        }
        assert_eq!(via(Some("a"), Some("b"), None, None), via(Some("a"), Some("b"), None, None));
        assert_eq!(via(None, None, None, None), None);
    }
}
