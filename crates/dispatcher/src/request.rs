//! The request of one attempt.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use postrider_model::job::{Job, Target};
use postrider_model::message;
use postrider_model::time::UnixMs;
use url::Url;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::options::SignatureHeaders;
use crate::sign::signatures;

/// The names of id, timestamp and signature by Standard Webhooks 1.0.0.
static WEBHOOK: [HeaderName; 3] = [
    HeaderName::from_static("webhook-id"),
    HeaderName::from_static("webhook-timestamp"),
    HeaderName::from_static("webhook-signature"),
];
/// The same, as Svix named them before.
static SVIX: [HeaderName; 3] = [
    HeaderName::from_static("svix-id"),
    HeaderName::from_static("svix-timestamp"),
    HeaderName::from_static("svix-signature"),
];
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("postrider/", env!("CARGO_PKG_VERSION")));
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const JSON: HeaderValue = HeaderValue::from_static(message::JSON);
/// The headers that we set ourselves, in number.
const OWN_HEADERS: usize = 11;

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

/// Puts the request together and signs it as of `at` (W7: same id and body in
/// every attempt, timestamp and signature made anew). `public_url` is the
/// target's without user name and password. The body is shared, not copied.
pub(crate) fn build(
    job: &Job,
    public_url: &Url,
    names: SignatureHeaders,
    at: UnixMs,
) -> Result<Request<Full<Bytes>>, Failure> {
    let uri: Uri = public_url
        .as_str()
        .parse()
        .map_err(|error| Failure::internal(format!("`{public_url}` cannot be asked for: {error}")))?;
    let mut request = Request::new(Full::new(job.body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers(job, names, at)?;
    Ok(request)
}

fn headers(job: &Job, names: SignatureHeaders, at: UnixMs) -> Result<HeaderMap, Failure> {
    let target = &*job.target;
    if target.secrets.is_empty() {
        return Err(Failure::internal("the endpoint has no active secret to sign with"));
    }
    let mut headers = HeaderMap::with_capacity(OWN_HEADERS + 1 + target.headers.len());
    if let Some(credentials) = basic_auth(&target.url) {
        headers.insert(header::AUTHORIZATION, credentials);
    }
    add_custom(&mut headers, target)?;

    let id = job.message.to_string();
    let timestamp_s = at.as_secs().to_string();
    let signature = signatures(&target.secrets, &id, &timestamp_s, &job.body);
    let values = [value("message id", id)?, value("timestamp", timestamp_s)?, value("signature", signature)?];
    let names = match names {
        SignatureHeaders::Webhook => &[&WEBHOOK][..],
        SignatureHeaders::Svix => &[&SVIX],
        SignatureHeaders::Both => &[&WEBHOOK, &SVIX],
    };
    for (name, value) in names.iter().flat_map(|names| names.iter().zip(&values)) {
        headers.insert(name, value.clone());
    }
    headers.insert(header::CONTENT_TYPE, content_type(&job.content_type)?);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(job.body.len()));
    headers.insert(header::ACCEPT_ENCODING, IDENTITY);
    headers.insert(header::USER_AGENT, USER_AGENT);
    Ok(headers)
}

/// Adds the endpoint's own headers. They come before ours, which win.
fn add_custom(headers: &mut HeaderMap, target: &Target) -> Result<(), Failure> {
    for (name, text) in &target.headers {
        let refused = |_| Failure::internal(format!("the endpoint's header {name:?} cannot be sent"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| refused(http::Error::from(error)))?;
        let mut value = HeaderValue::from_str(text).map_err(|error| refused(http::Error::from(error)))?;
        // Many carry credentials: kept out of logs and of HTTP/2's header table.
        value.set_sensitive(true);
        if !FRAMING.contains(&name) {
            headers.insert(name, value);
        }
    }
    Ok(())
}

fn content_type(text: &str) -> Result<HeaderValue, Failure> {
    if text == message::JSON {
        return Ok(JSON);
    }
    HeaderValue::from_str(text).map_err(|_| Failure::internal("the message's content type cannot be sent"))
}

fn value(what: &str, text: String) -> Result<HeaderValue, Failure> {
    HeaderValue::try_from(text).map_err(|_| Failure::internal(format!("the {what} cannot be sent")))
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
    use super::*;
    use postrider_model::credentials;
    use postrider_model::validate::endpoint_url;
    use proptest::prelude::*;

    #[test]
    fn user_name_and_password_become_a_header_and_leave_the_url() {
        for (text, credentials, public) in [
            ("http://user:pass@a.test/x", Some("user:pass"), "http://a.test/x"),
            ("http://user@a.test/", Some("user:"), "http://a.test/"),
            ("http://:p%40ss%3A@a.test/", Some(":p@ss:"), "http://a.test/"),
            ("http://a.test/?q=u:p@b", None, "http://a.test/?q=u:p@b"),
        ] {
            let url = Url::parse(text).expect("a URL in the test's table");
            let expected = credentials.map(|plain| format!("Basic {}", STANDARD.encode(plain)));
            let header = basic_auth(&url);
            assert_eq!(header.as_ref().and_then(|value| value.to_str().ok()), expected.as_deref(), "{text}");
            assert!(header.is_none_or(|value| value.is_sensitive()));
            assert_eq!(credentials::without(&url).as_str(), public);
        }
    }

    proptest! {
        /// Whatever is accepted as an endpoint's URL can be asked for, unchanged.
        #[test]
        fn every_endpoint_url_can_be_asked_for(rest in "(/[!-~é]{0,20}){0,3}(\\?[!-~ö]{0,30})?") {
            let Ok(url) = endpoint_url(&format!("https://user:pass@example.com:8443{rest}")) else { return Ok(()) };
            let url = credentials::without(&url);
            let uri: Uri = url.as_str().parse().map_err(|error| TestCaseError::fail(format!("{url}: {error}")))?;
            prop_assert_eq!(uri.path(), url.path());
            prop_assert_eq!(uri.query(), url.query());
            prop_assert_eq!(uri.authority().map(|authority| authority.as_str()), Some("example.com:8443"));
        }
    }
}
