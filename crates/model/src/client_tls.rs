//! What an endpoint says of TLS: with which certificate its requests prove who they
//! come from, and which authorities its server's certificate may be of.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::credentials::MASK;
use crate::validate::FieldErrors;

/// Bytes of each part: certificates with those that lead to their authority.
pub const MAX_PEM_BYTES: usize = 32 * 1_024;

/// Each in PEM form (RFC 7468). `Debug` prints no key.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientTls {
    /// The certificate, its own first, then those that lead from it to an authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// The key of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<String>,
    /// Authorities that are trusted in the place of the system's and the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

impl ClientTls {
    /// The same with the mask in the place of the key.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut shown = self.clone();
        if let Some(key) = &mut shown.client_key {
            MASK.clone_into(key);
        }
        shown
    }

    /// Whether the key is the mask.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.client_key.as_deref() == Some(MASK)
    }

    pub(crate) fn parts(&self) -> [Option<&str>; 3] {
        [self.client_certificate.as_deref(), self.client_key.as_deref(), self.ca.as_deref()]
    }

    /// Checks what needs no knowledge of certificates; that is the doors' matter.
    /// Fields are named as the API has them, below `tls`.
    pub(crate) fn check(&self, errors: &mut FieldErrors) {
        let fields = ["tls.clientCertificate", "tls.clientKey", "tls.ca"];
        let bad = fields.into_iter().zip(self.parts()).find_map(|(field, part)| match part.map(str::len)? {
            0 => Some((field, "must not be empty".to_owned())),
            1..=MAX_PEM_BYTES => None,
            bytes => Some((field, format!("has {bytes} bytes, at most {MAX_PEM_BYTES} are allowed"))),
        });
        if let Some((field, problem)) = bad {
            return errors.check(field, Err(problem));
        }
        let missing = |beside| Err(format!("is missing beside `{beside}`"));
        match self.parts() {
            [None, None, None] => {
                errors.check("tls", Err("has neither a client certificate nor `ca`".to_owned()));
            }
            [Some(_), None, _] => errors.check("tls.clientKey", missing("clientCertificate")),
            [None, Some(_), _] => errors.check("tls.clientCertificate", missing("clientKey")),
            _ if self.is_masked() => {
                let problem = format!(
                    "is `{MASK}`, which stands for the key that is not shown; it stays with its certificate, with \
                     scheme, host and port, the proxy and `ca`: give it anew"
                );
                errors.check("tls.clientKey", Err(problem));
            }
            _ => {}
        }
    }
}

/// What an endpoint says after a change: `given` is what was asked for, if anything
/// was; the present key stays with its certificate and the place of its requests.
#[must_use]
pub fn changed(present: Option<ClientTls>, given: Option<Option<ClientTls>>, same_place: bool) -> Option<ClientTls> {
    match given {
        None if same_place => present,
        // With the mask it is not valid, so it must be given anew or removed.
        None => present.map(|tls| tls.masked()),
        Some(given) => given.map(|mut given| {
            if let Some(present) = present.filter(|_| same_place && given.is_masked())
                && present.client_certificate == given.client_certificate
            {
                given.client_key = present.client_key;
            }
            given
        }),
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("client_certificate", &self.client_certificate.is_some())
            .field("client_key", &self.client_key.as_ref().map(|_| MASK))
            .field("ca", &self.ca.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(certificate: Option<&str>, key: Option<&str>, ca: Option<&str>) -> ClientTls {
        let text = |text: Option<&str>| text.map(str::to_owned);
        ClientTls { client_certificate: text(certificate), client_key: text(key), ca: text(ca) }
    }

    fn problems(tls: &ClientTls) -> Vec<&'static str> {
        let mut errors = FieldErrors::default();
        tls.check(&mut errors);
        errors.0.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn each_bad_part_is_named() {
        let long = "x".repeat(MAX_PEM_BYTES + 1);
        for (given, named) in [
            (tls(Some("c"), Some("k"), None), vec![]),
            (tls(None, None, Some("a")), vec![]),
            (tls(None, None, None), vec!["tls"]),
            (tls(Some("c"), None, None), vec!["tls.clientKey"]),
            (tls(None, Some("k"), Some("a")), vec!["tls.clientCertificate"]),
            (tls(Some("c"), Some(MASK), None), vec!["tls.clientKey"]),
            (tls(Some(""), None, None), vec!["tls.clientCertificate"]),
            (tls(None, Some(""), None), vec!["tls.clientKey"]),
            (tls(None, None, Some("")), vec!["tls.ca"]),
            (tls(Some(&long), None, None), vec!["tls.clientCertificate"]),
            (tls(Some("c"), Some(&long), None), vec!["tls.clientKey"]),
            (tls(None, None, Some(&long)), vec!["tls.ca"]),
        ] {
            assert_eq!(problems(&given), named, "{given:?}");
        }
    }

    #[test]
    fn the_key_stays_with_its_certificate_and_its_place() {
        let present = tls(Some("c"), Some("s3cret"), Some("a"));
        let shown = present.masked();
        assert!(!format!("{present:?} {shown:?}").contains("s3cret"));
        let after = |given, same_place| changed(Some(present.clone()), given, same_place);
        assert_eq!(after(Some(Some(shown.clone())), true), Some(present.clone()));
        assert_eq!(after(None, true), Some(present.clone()));
        assert_eq!(after(Some(None), true), None);
        let other_ca = tls(Some("c"), Some(MASK), None);
        assert_eq!(after(Some(Some(other_ca)), true), Some(tls(Some("c"), Some("s3cret"), None)));
        for moved in [
            after(Some(Some(shown)), false),
            after(None, false),
            after(Some(Some(tls(Some("other"), Some(MASK), None))), true),
        ] {
            assert_eq!(problems(&moved.expect("it is refused, not dropped")), ["tls.clientKey"]);
        }
        let authority = tls(None, None, Some("a"));
        assert_eq!(changed(Some(authority.clone()), None, false), Some(authority), "it is no secret");
    }
}
