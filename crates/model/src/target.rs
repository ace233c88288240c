//! An endpoint as the requests to it need it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{InvalidUri, Uri};
use percent_encoding::percent_decode_str;
use url::Url;
use zeroize::Zeroizing;

use crate::auth::Auth;
use crate::credentials;
use crate::format::Format;
use crate::oauth::Grant;
use crate::secret::Secret;
use crate::signature::Signature;
use crate::via::Via;

/// Headers that frame the message or choose the host. An endpoint may not set
/// them; they are dropped here too, so that a gap in the check of endpoints
/// cannot become a smuggled request.
const FRAMING: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Who sends, in the words of CloudEvents' HTTP webhooks.
pub const REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");

/// An endpoint as the dispatcher needs it, with its secrets in the clear. Made by
/// [`Target::new`] once for all attempts, until the endpoint changes: what is
/// the same in each of them is prepared.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where to, without user name and password. Each outcome names it.
    pub url: Arc<Url>,
    /// The same as the client takes it.
    pub uri: Uri,
    /// The endpoint's own headers, already checked against the forbidden names,
    /// and its URL's user name and password. They go before those of the
    /// request, which win. `Debug` does not print their values.
    pub headers: HeaderMap,
    /// The active secrets, newest first; each signs, if the scheme allows that.
    pub secrets: Vec<Secret>,
    /// The scheme by which they sign.
    pub signature: Signature,
    /// The one deadline over resolve, connect, TLS, headers and body.
    pub timeout: Duration,
    /// What requests carry.
    pub format: Format,
    /// Where the events come from, if the format says so.
    pub source: String,
    /// How it is connected to, where the endpoint says something of it.
    pub via: Option<Arc<Via>>,
    /// The request for a token that its requests get in with, if they do.
    pub grant: Option<Arc<Grant>>,
}

/// An endpoint that no request can be made to. One that passed
/// [`crate::validate`] is none.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTarget {
    /// The URL is too long, or otherwise nothing that HTTP can ask for.
    #[error("`{url}` cannot be asked for: {source}")]
    Uri {
        /// The URL, without user name and password.
        url: Url,
        /// Why.
        source: InvalidUri,
    },
    /// The name or the value of a header has characters that no header may have.
    #[error("the endpoint's header {0:?} cannot be sent")]
    Header(String),
    /// What it authenticates with makes no header.
    #[error("the endpoint's `auth` cannot be sent")]
    Auth,
}

impl Target {
    /// The target of an endpoint with this URL and these headers of its own.
    ///
    /// # Errors
    /// The URL cannot be asked for, or a header cannot be sent.
    pub fn new(
        url: &Url,
        headers: &BTreeMap<String, String>,
        secrets: Vec<Secret>,
        timeout: Duration,
    ) -> Result<Self, InvalidTarget> {
        let headers = all_headers(url, headers)?;
        let url = credentials::without(url);
        match url.as_str().parse() {
            Ok(uri) => Ok(Self {
                url: Arc::new(url),
                uri,
                headers,
                secrets,
                signature: Signature::Standard,
                timeout,
                format: Format::Payload,
                source: String::new(),
                via: None,
                grant: None,
            }),
            Err(source) => Err(InvalidTarget::Uri { url, source }),
        }
    }

    /// The same, signed by another scheme with those of the secrets that fit it.
    #[must_use]
    pub fn signed_by(self, signature: Signature) -> Self {
        let secrets = self.secrets.into_iter().filter_map(|secret| signature.prepared(secret)).collect();
        Self { secrets, signature, ..self }
    }

    /// The same in another format, with the source of its events.
    #[must_use]
    pub fn in_format(self, format: Format, source: impl FnOnce() -> String) -> Self {
        let source = if format.has_source() { source() } else { String::new() };
        Self { format, source, ..self }
    }

    /// The same with what its requests get in with.
    ///
    /// # Errors
    /// It makes no header.
    pub fn with_auth(mut self, auth: Option<&Auth>) -> Result<Self, InvalidTarget> {
        if let Some(oauth) = auth.and_then(Auth::grant) {
            self.grant = Some(Arc::new(Grant::new(oauth).ok_or(InvalidTarget::Auth)?));
        } else if let Some(auth) = auth {
            let (name, value) = auth.header().ok_or(InvalidTarget::Auth)?;
            self.headers.insert(name, value);
        }
        Ok(self)
    }
}

impl Target {
    /// Names who sends, as CloudEvents' HTTP webhooks want it of whom a receiver has allowed
    /// (1.0.1, section 4.1). A name that no header can have is left out; configuration has none.
    pub fn name_origin(&mut self, origin: &str) {
        if let Ok(origin) = HeaderValue::from_str(origin) {
            self.headers.insert(REQUEST_ORIGIN, origin);
        }
    }
}

fn all_headers(url: &Url, own: &BTreeMap<String, String>) -> Result<HeaderMap, InvalidTarget> {
    let mut headers = HeaderMap::new();
    headers.extend(basic_auth(url).map(|credentials| (header::AUTHORIZATION, credentials)));
    for (name, text) in own {
        let refused = || InvalidTarget::Header(name.clone());
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused())?;
        let mut value = HeaderValue::from_str(text).map_err(|_| refused())?;
        // Many carry credentials: kept out of logs and of HTTP/2's header table.
        value.set_sensitive(true);
        if !FRAMING.contains(&name) {
            headers.insert(name, value);
        }
    }
    Ok(headers)
}

/// User name and password of the URL as RFC 7617 wants them. A header
/// `authorization` of the endpoint takes their place.
fn basic_auth(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut plain = Zeroizing::new(Vec::new());
    plain.extend(percent_decode_str(url.username()));
    plain.push(b':');
    plain.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(&*plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::validate::{self, endpoint_url};

    fn target(url: &str, headers: &[(&str, &str)]) -> Result<Target, InvalidTarget> {
        let url = Url::parse(url).expect("a URL in the test's own table");
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Target::new(&url, &headers, Vec::new(), Duration::from_secs(15))
    }

    #[test]
    fn user_name_and_password_become_a_header_and_leave_the_url() {
        for (text, credentials, public) in [
            ("http://user:pass@a.test/x", Some("user:pass"), "http://a.test/x"),
            ("http://user@a.test/", Some("user:"), "http://a.test/"),
            ("http://:p%40ss%3A@a.test/", Some(":p@ss:"), "http://a.test/"),
            ("http://a.test/?q=u:p@b", None, "http://a.test/?q=u:p@b"),
        ] {
            let target = target(text, &[]).expect("it can be asked for");
            let expected = credentials.map(|plain| format!("Basic {}", STANDARD.encode(plain)));
            let header = target.headers.get(header::AUTHORIZATION);
            assert_eq!(header.and_then(|value| value.to_str().ok()), expected.as_deref(), "{text}");
            assert_eq!(target.url.as_str(), public);
            assert_eq!(target.uri, public);
        }
    }

    #[test]
    fn own_headers_come_before_credentials_and_frame_nothing() {
        let headers = [("Authorization", "Bearer x"), ("Host", "internal"), ("Transfer-Encoding", "chunked")];
        let target = target("http://user:pass@a.test/", &headers).expect("it can be asked for");
        assert_eq!(target.headers.len(), 1);
        assert_eq!(target.headers.get(header::AUTHORIZATION).expect("it is its own"), "Bearer x");
    }

    #[test]
    fn debug_prints_no_credentials() {
        let target = target("http://us3r:pa55@a.test/", &[("X-Key", "t0ken")]).expect("it can be asked for");
        let shown = format!("{target:?}");
        for hidden in ["us3r", "pa55", "t0ken", &STANDARD.encode("us3r:pa55")] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_named_without_its_value() {
        for header in [("X-Né", "value"), ("", "value"), ("X-A", "val\nue")] {
            let error = target("http://a.test/", &[header]).expect_err("it cannot be sent").to_string();
            assert_eq!(error, format!("the endpoint's header {:?} cannot be sent", header.0));
        }
    }

    proptest! {
        /// Whatever is accepted as an endpoint's URL can be asked for, unchanged.
        #[test]
        fn every_endpoint_url_can_be_asked_for(rest in "(/[!-~é]{0,20}){0,3}(\\?[!-~ö]{0,30})?") {
            let Ok(url) = endpoint_url(&format!("https://user:pass@example.com:8443{rest}")) else { return Ok(()) };
            let target = target(url.as_str(), &[]).map_err(|error| TestCaseError::fail(format!("{url}: {error}")))?;
            prop_assert_eq!(target.uri.path(), target.url.path());
            prop_assert_eq!(target.uri.query(), target.url.query());
            prop_assert_eq!(target.uri.authority().map(|authority| authority.as_str()), Some("example.com:8443"));
        }

        /// So can whatever is accepted as its headers: names of the characters of RFC 9110, 5.6.2.
        #[test]
        fn every_header_of_an_endpoint_can_be_sent(name in "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}", value in "[ -~]{0,20}") {
            let headers = BTreeMap::from([(name.clone(), value.clone())]);
            prop_assume!(validate::headers(&headers).is_ok());
            let target = target("http://a.test/", &[(&name, &value)]).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(target.headers.len(), 1);
            prop_assert_eq!(target.headers.get(&name).map(HeaderValue::as_bytes), Some(value.as_bytes()));
        }
    }
}
