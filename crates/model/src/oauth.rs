//! Tokens that an endpoint's requests get in with, by OAuth 2.0's client credentials
//! grant (RFC 6749, section 4.4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Uri;
use http::header::HeaderValue;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use crate::credentials;
use crate::validate::{self, FieldErrors, Problem};

/// Bytes of the client's id, its secret, the scope and the audience, each.
pub const MAX_PART_BYTES: usize = 2_048;

/// How a client asks for tokens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2 {
    /// Where tokens are asked for.
    pub token_url: String,
    /// Who asks.
    pub client_id: String,
    /// What it proves that with.
    pub client_secret: String,
    /// What the token is to be good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Whom the token is for, which some servers want to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Where id and secret stand.
    #[serde(default)]
    pub client_auth: ClientAuth,
}

/// Where a client's id and secret stand (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// In the header `authorization: Basic`.
    #[default]
    Basic,
    /// In the body.
    Body,
}

impl OAuth2 {
    /// Checks every part but the mask.
    pub(crate) fn check(&self, errors: &mut FieldErrors) {
        errors.check("auth.tokenUrl", token_url(&self.token_url));
        errors.check("auth.clientId", part(&self.client_id));
        errors.check("auth.clientSecret", part(&self.client_secret));
        errors.check("auth.scope", self.scope.as_deref().map_or(Ok(()), part));
        errors.check("auth.audience", self.audience.as_deref().map_or(Ok(()), part));
    }
}

fn token_url(text: &str) -> Result<(), Problem> {
    let url = validate::endpoint_url(text)?;
    if credentials::has_any(&url) {
        return Err("has a user name or a password; `clientId` and `clientSecret` are for that".into());
    }
    Ok(())
}

/// As RFC 6749 has it (appendix A): printable ASCII.
fn part(text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err("must not be empty".into());
    }
    if text.len() > MAX_PART_BYTES {
        return Err(format!("has {} bytes, at most {MAX_PART_BYTES} are allowed", text.len()));
    }
    if !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err("has characters other than printable ASCII".into());
    }
    Ok(())
}

/// The request for a token, ready to be sent. Not `Debug`: it is made of secrets.
#[derive(Clone)]
pub struct Grant {
    id: [u8; 32],
    /// Where to.
    pub uri: Uri,
    /// The header `authorization`, if it has one.
    pub authorization: Option<HeaderValue>,
    /// The body, `application/x-www-form-urlencoded`.
    pub body: Bytes,
}

impl Grant {
    /// `None` for what [`OAuth2::check`] refuses.
    pub(crate) fn new(oauth: &OAuth2) -> Option<Self> {
        let OAuth2 { token_url, client_id, client_secret, scope, audience, client_auth } = oauth;
        let uri = Url::parse(token_url).ok()?.as_str().parse().ok()?;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in [("scope", scope), ("audience", audience)] {
            form.extend_pairs(value.iter().map(|value| (name, value)));
        }
        let authorization = match client_auth {
            ClientAuth::Basic => Some(basic(client_id, client_secret)?),
            ClientAuth::Body => {
                form.append_pair("client_id", client_id).append_pair("client_secret", client_secret);
                None
            }
        };
        let parts = [Some(token_url), Some(client_id), Some(client_secret), scope.as_ref(), audience.as_ref()];
        let mut hash = Sha256::new_with_prefix([u8::from(*client_auth == ClientAuth::Body)]);
        for part in parts {
            // With its length before it, no part can pass for the end of another.
            hash.update(part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
            hash.update(part.map(String::as_bytes).unwrap_or_default());
        }
        Some(Self { id: hash.finalize().into(), uri, authorization, body: form.finish().into() })
    }

    /// The same for whoever asks for the same with the same secret.
    #[must_use]
    pub const fn id(&self) -> &[u8; 32] {
        &self.id
    }
}

/// Id and secret are encoded as in a form before they are put together (section 2.3.1).
fn basic(client_id: &str, client_secret: &str) -> Option<HeaderValue> {
    let encoded = |text: &str| Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
    let plain = Zeroizing::new(format!("{}:{}", *encoded(client_id), *encoded(client_secret)));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(&*plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grant").field("uri", &self.uri).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oauth(client_auth: ClientAuth) -> OAuth2 {
        OAuth2 {
            token_url: "https://id.test/token?x=1".to_owned(),
            client_id: "shop 17".to_owned(),
            client_secret: "s3cret/+".to_owned(),
            scope: Some("events write".to_owned()),
            audience: None,
            client_auth,
        }
    }

    #[test]
    fn id_and_secret_stand_where_they_are_wanted() {
        let grant = Grant::new(&oauth(ClientAuth::Basic)).expect("it is valid");
        assert_eq!(&grant.body[..], b"grant_type=client_credentials&scope=events+write");
        let expected = format!("Basic {}", STANDARD.encode("shop+17:s3cret%2F%2B"));
        assert_eq!(grant.authorization.expect("it has one"), expected.as_str());
        assert_eq!(grant.uri, "https://id.test/token?x=1");
        let grant = Grant::new(&OAuth2 { audience: Some("api".to_owned()), ..oauth(ClientAuth::Body) });
        let grant = grant.expect("it is valid");
        let body = "grant_type=client_credentials&scope=events+write&audience=api&client_id=shop+17&client_secret=s3cret%2F%2B";
        assert_eq!((&grant.body[..], grant.authorization.is_none()), (body.as_bytes(), true));
        assert!(!format!("{grant:?}").contains("s3cret"));
    }

    #[test]
    fn whoever_asks_for_another_thing_has_another_token() {
        let of = |change: fn(&mut OAuth2)| {
            let mut oauth = oauth(ClientAuth::Basic);
            change(&mut oauth);
            *Grant::new(&oauth).expect("it is valid").id()
        };
        let changes: [fn(&mut OAuth2); 7] = [
            |_| {},
            |oauth| oauth.token_url.push('0'),
            |oauth| oauth.client_id.push('0'),
            |oauth| oauth.client_secret.push('0'),
            |oauth| oauth.scope = None,
            |oauth| oauth.audience = Some(String::new()),
            |oauth| oauth.client_auth = ClientAuth::Body,
        ];
        let ids: std::collections::BTreeSet<_> = changes.iter().map(|change| of(*change)).collect();
        assert_eq!(ids.len(), changes.len());
        assert_eq!(of(|_| {}), of(|_| {}));
    }

    #[test]
    fn each_bad_part_is_named() {
        let problem = |change: fn(&mut OAuth2)| {
            let (mut oauth, mut errors) = (oauth(ClientAuth::Basic), FieldErrors::default());
            change(&mut oauth);
            oauth.check(&mut errors);
            errors.0.into_iter().map(|error| error.field).collect::<Vec<_>>()
        };
        assert_eq!(problem(|_| {}), Vec::<&str>::new());
        assert_eq!(problem(|oauth| oauth.token_url = "ftp://a.test".to_owned()), ["auth.tokenUrl"]);
        assert_eq!(problem(|oauth| oauth.token_url = "https://u:p@a.test".to_owned()), ["auth.tokenUrl"]);
        assert_eq!(problem(|oauth| oauth.client_id.clear()), ["auth.clientId"]);
        assert_eq!(problem(|oauth| oauth.client_secret.push('é')), ["auth.clientSecret"]);
        assert_eq!(problem(|oauth| oauth.scope = Some("a\n".to_owned())), ["auth.scope"]);
        assert_eq!(problem(|oauth| oauth.audience = Some("a".repeat(2_049))), ["auth.audience"]);
    }
}
