//! What must hold of whatever a client gives as its token. Run by `fuzz/`, and by
//! a test over the corpus there.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postrider_model::time::UnixMs;
use serde_json::Value;

use crate::token::{LEEWAY, MAX_TOKEN_BYTES, Subject, TokenSecret, create, create_for_application, signed, verify};

const NOW: UnixMs = UnixMs(1_800_000_000_000);

/// A token's header and claims, with a line feed between them. As they stand
/// they are no token; signed with the key they may be one.
///
/// # Panics
/// The law is broken.
pub(crate) fn token(bytes: &[u8]) {
    let secret = TokenSecret::new(vec![7; 32]);
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert!(verify(&secret, text, NOW).is_err(), "nobody can sign without the key");
    }
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let (header, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let text = signed(&secret, header, claims);
    for forged in forgeries(&text, header.first().copied().unwrap_or_default()) {
        assert!(verify(&secret, &forged, NOW).is_err(), "{forged} is not what was signed");
    }
    assert!(verify(&TokenSecret::new(vec![8; 32]), &text, NOW).is_err(), "the key is another");
    let Ok(subject) = verify(&secret, &text, NOW) else { return };
    assert!(text.len() <= MAX_TOKEN_BYTES);
    // What stands in fields that nobody reads may be text that is none.
    let (Ok(header), Ok(claims)) = (serde_json::from_slice::<Value>(header), serde_json::from_slice::<Value>(claims))
    else {
        return;
    };
    assert_eq!(header["alg"], "HS256");
    assert_eq!(header["crit"], Value::Null);
    holds_now(&claims);
    let again = match subject {
        Subject::Org(org) => {
            assert_eq!((&claims["sub"], &claims["org"]), (&org.to_string().into(), &Value::Null));
            create(&secret, org, Duration::from_secs(1), NOW)
        }
        Subject::Application { org, app } => {
            assert_eq!((&claims["sub"], &claims["org"]), (&app.to_string().into(), &org.to_string().into()));
            create_for_application(&secret, org, app, Duration::from_secs(1), NOW)
        }
    };
    assert_eq!(verify(&secret, &again, NOW), Ok(subject));
}

fn holds_now(claims: &Value) {
    let (now, leeway) = (NOW.as_secs() as f64, LEEWAY.as_secs_f64());
    assert!(claims["exp"].as_f64().is_none_or(|exp| now < exp + leeway), "it has expired: {claims}");
    assert!(claims["nbf"].as_f64().is_none_or(|nbf| now >= nbf - leeway), "it is not valid yet: {claims}");
}

/// The same token with one thing changed.
fn forgeries(token: &str, place: u8) -> Vec<String> {
    let (head, signature) = token.rsplit_once('.').expect("it was made with dots");
    let at = usize::from(place) % signature.len();
    let other = if signature.as_bytes().get(at) == Some(&b'A') { "B" } else { "A" };
    let mut changed = signature.to_owned();
    changed.replace_range(at..=at, other);
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let claims = head.split_once('.').map(|(_, claims)| claims).unwrap_or_default();
    vec![
        format!("{head}."),
        format!("{head}.{changed}"),
        format!("{head}.{signature}="),
        format!("{head}.{signature}.{signature}"),
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_law_holds_for_the_corpus() {
        postrider_proof::corpus("token", super::token);
    }
}
