//! What a connection is good for.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use http::Uri;
use http::uri::{Authority, Scheme};
use postrider_model::via::Via;

/// A scheme, a host and a port, and by which certificate, authority and proxy it is reached
/// where an endpoint says so. Any connection to it serves any request to it.
/// It is compared as it is written: a parsed URL has its host in small letters.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    secure: bool,
    authority: Authority,
    via: Option<Arc<Via>>,
}

impl Origin {
    /// The origin of an absolute URI without user name and password, if it has a host.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let authority = uri.authority()?.clone();
        let origin = Self { secure: uri.scheme() == Some(&Scheme::HTTPS), authority, via: None };
        (!origin.host().is_empty()).then_some(origin)
    }

    /// The same, reached so.
    pub(crate) fn through(self, via: Option<&Arc<Via>>) -> Self {
        Self { via: via.cloned(), ..self }
    }

    /// How it is reached, where an endpoint says so.
    pub(crate) fn via(&self) -> Option<&Via> {
        self.via.as_deref()
    }

    /// Whether TLS protects it.
    pub(crate) const fn secure(&self) -> bool {
        self.secure
    }

    /// The name or address. An IPv6 address stands in brackets in a URI, and a
    /// full name may end in a dot; neither is part of it.
    pub(crate) fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches([']', '.'])
    }

    /// The port, that of the scheme where the URI names none.
    pub(crate) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.secure { 443 } else { 80 })
    }

    /// As the header `host` has it: host, and the port where the URI names one.
    pub(crate) fn authority(&self) -> &str {
        self.authority.as_str()
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        self.secure == other.secure && self.authority() == other.authority() && self.via == other.via
    }
}

impl Eq for Origin {}

/// That of [`Authority`] goes byte by byte, and each request looks here twice.
impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.authority().hash(state);
        self.secure.hash(state);
        if let Some(via) = &self.via {
            via.hash(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_taken_apart_for_the_socket_and_left_whole_for_the_header() {
        for (uri, secure, host, port, authority) in [
            ("http://a.test/x?y", false, "a.test", 80, "a.test"),
            ("https://a.test./", true, "a.test", 443, "a.test."),
            ("https://[2001:db8::1]:8443/", true, "2001:db8::1", 8443, "[2001:db8::1]:8443"),
        ] {
            let origin = Origin::of(&Uri::from_static(uri)).expect("it has a host");
            assert_eq!((origin.secure(), origin.host(), origin.port()), (secure, host, port), "{uri}");
            assert_eq!(origin.authority(), authority);
        }
        assert!(Origin::of(&Uri::from_static("/x")).is_none());
    }
}
