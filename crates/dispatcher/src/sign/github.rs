//! As GitHub signs its webhooks: HMAC-SHA256 over the body, in hexadecimal.
//!
//! There is one signature, and receivers compare it with the one that they make:
//! the newest secret signs alone.

use std::fmt::Write as _;

use http::HeaderName;
use postrider_model::secret::Secret;

/// Where the signature goes.
pub(crate) static HEADER: HeaderName = HeaderName::from_static("x-hub-signature-256");

/// The value of [`HEADER`]; `None` if none of the secrets is a text.
pub(crate) fn signature(secrets: &[Secret], body: &[u8]) -> Option<String> {
    let key = secrets.iter().find_map(Secret::text_key)?;
    let mut value = String::from("sha256=");
    write_hex(&key.sign(&[body]), &mut value);
    Some(value)
}

/// Bytes as two lower-case digits each.
pub(super) fn write_hex(bytes: &[u8], into: &mut String) {
    for byte in bytes {
        // A string takes whatever is written to it.
        let _ = write!(into, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use postrider_model::signature::Signature;

    use super::*;

    fn secret(text: &str) -> Secret {
        let secret = Signature::Github.parse_secret(text).expect("long enough");
        Signature::Github.prepared(secret).expect("it fits")
    }

    #[test]
    fn the_published_vector_matches() {
        let value = signature(&[secret("It's a Secret to Everybody")], b"Hello, World!").expect("there is a secret");
        assert_eq!(value, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    }

    #[test]
    fn the_newest_secret_signs_alone() {
        let (new, old) = (secret("the new one"), secret("the old one"));
        let alone = signature(std::slice::from_ref(&new), b"{}");
        assert_eq!(signature(&[new, old.clone()], b"{}"), alone);
        assert_ne!(signature(&[old], b"{}"), alone);
        assert_eq!(signature(&[], b"{}"), None);
    }
}
