//! Headers that keep browsers from making more of an answer than it is.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, HeaderValue, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// Answers tell what only their reader may know.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// For a year browsers ask this host, at whichever port, over TLS only (RFC 6797).
const ONLY_TLS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Adds what every answer has, and where it is wanted that browsers keep to TLS.
pub(super) fn add(headers: &mut HeaderMap, only_tls: bool) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(CACHE_CONTROL, NO_STORE);
    if only_tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, ONLY_TLS);
    }
}
