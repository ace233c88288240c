//! Where the body of a request ends (RFC 9112, section 6).
//!
//! The HTTP library refuses what has no certain end, but lets encodings pass that it does
//! not undo, as long as `chunked` comes last: to a proxy that reads the list in another way
//! the request would end somewhere else.

use axum::response::{IntoResponse as _, Response};
use http::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};

use crate::error::ApiError;

/// The answer to a request whose body is encoded in a way other than `chunked`, once. Nothing
/// more is read from its connection.
pub(super) fn refusal(headers: &HeaderMap) -> Option<Response> {
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |encoding: &HeaderValue| encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    if encodings.next().is_none_or(is_chunked) && encodings.next().is_none() {
        return None;
    }
    let detail = "transfer-encoding: only `chunked`, given once, is understood";
    let mut answer = ApiError::new(StatusCode::BAD_REQUEST, "transfer_encoding", detail).into_response();
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunked_is_given_once_and_alone() {
        let refused = |encodings: &[&'static str]| {
            let named = encodings.iter().map(|encoding| (TRANSFER_ENCODING, HeaderValue::from_static(encoding)));
            refusal(&named.collect()).is_some()
        };
        for understood in [&[][..], &["chunked"], &["Chunked"], &[" chunked\t"]] {
            assert!(!refused(understood), "{understood:?}");
        }
        for other in
            [&["gzip, chunked"][..], &["identity, chunked"], &["chunked", "chunked"], &["chunked, chunked"], &[""]]
        {
            assert!(refused(other), "{other:?}");
        }
    }
}
