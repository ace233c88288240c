//! What an endpoint's requests get in with, beside their signature: one header
//! that is made of it, or of a token that is asked for with it.
//!
//! As everything in [`credentials`], it is never shown, a mask
//! that comes back keeps it, and it stays with its place.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::credentials::{self, MASK};
use crate::oauth::OAuth2;
use crate::validate::{self, FieldErrors, Problem};

/// Bytes of a user name and of a password.
pub const MAX_USER_BYTES: usize = 1_024;
/// Bytes of a bearer token: with the scheme before it, it is a header's value.
pub const MAX_TOKEN_BYTES: usize = 4_000;

/// How an endpoint's requests authenticate. `Debug` prints no secret, which is wiped from memory
/// when this is dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Auth {
    /// `authorization: Basic` (RFC 7617).
    Basic {
        /// The user; the secret where there is no password, as with services whose keys are users.
        username: String,
        /// The password.
        password: String,
    },
    /// `authorization: Bearer` (RFC 6750).
    Bearer {
        /// The token.
        token: String,
    },
    /// A header of its own.
    ApiKey {
        /// The header's name.
        header: String,
        /// Its value.
        value: String,
    },
    /// `authorization: Bearer` with tokens that are asked for.
    #[serde(rename = "oauth2")]
    OAuth2(OAuth2),
}

impl Auth {
    /// The types, as the API spells them.
    pub const TYPES: [&'static str; 4] = ["basic", "bearer", "apiKey", "oauth2"];

    /// The same with the mask in the place of what is secret.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut shown = self.clone();
        MASK.clone_into(shown.secret_mut().1);
        shown
    }

    /// Puts the present secret in the place of the mask.
    fn keep(&mut self, mut present: Self) {
        let same_type = std::mem::discriminant(self) == std::mem::discriminant(&present);
        // The secret goes to this place, so it stays with it.
        if let (Self::OAuth2(own), Self::OAuth2(present)) = (&*self, &present)
            && !credentials::is_same_place(&present.token_url, &own.token_url)
        {
            return;
        }
        let (name, secret) = self.secret_mut();
        if same_type && secret == MASK && present.secret_mut().0 == name {
            secret.clone_from(present.secret_mut().1);
        }
    }

    /// The one part that is secret, and its field.
    fn secret_mut(&mut self) -> (&'static str, &mut String) {
        match self {
            Self::Basic { username, password } if password.is_empty() => ("auth.username", username),
            Self::Basic { password, .. } => ("auth.password", password),
            Self::Bearer { token } => ("auth.token", token),
            Self::ApiKey { value, .. } => ("auth.value", value),
            Self::OAuth2(oauth) => ("auth.clientSecret", &mut oauth.client_secret),
        }
    }

    /// The header that it sets.
    #[must_use]
    pub fn header_name(&self) -> &str {
        match self {
            Self::Basic { .. } | Self::Bearer { .. } | Self::OAuth2(_) => AUTHORIZATION.as_str(),
            Self::ApiKey { header, .. } => header,
        }
    }

    /// The request for the token that the header is made of.
    pub(crate) fn grant(&self) -> Option<&OAuth2> {
        if let Self::OAuth2(oauth) = self { Some(oauth) } else { None }
    }

    /// That header; `None` for what [`Self::check`] refuses, and where a token is to be asked for.
    pub(crate) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let name = HeaderName::from_bytes(self.header_name().as_bytes()).ok()?;
        let text = Zeroizing::new(match self {
            Self::Basic { username, password } => {
                let plain = Zeroizing::new(format!("{username}:{password}"));
                format!("Basic {}", STANDARD.encode(&*plain))
            }
            Self::Bearer { token } => format!("Bearer {token}"),
            Self::ApiKey { value, .. } => value.clone(),
            Self::OAuth2(_) => return None,
        });
        let mut value = HeaderValue::from_str(&text).ok()?;
        // Kept out of logs and of HTTP/2's header table.
        value.set_sensitive(true);
        Some((name, value))
    }

    /// Checks every part; fields are named as the API has them, below `auth`.
    pub(crate) fn check(&self, errors: &mut FieldErrors) {
        let mut look = self.clone();
        let (field, secret) = look.secret_mut();
        if secret == MASK {
            let problem = format!(
                "is `{MASK}`, which stands for what is not shown and goes to no other scheme, host or port, by no \
                 other proxy and under no other `tls.ca` by itself: give it anew"
            );
            errors.check(field, Err(problem));
            return;
        }
        match self {
            Self::Basic { username, password } => {
                errors.check("auth.username", user_name(username, password));
                errors.check("auth.password", text(password, MAX_USER_BYTES));
            }
            Self::Bearer { token } => errors.check("auth.token", bearer_token(token)),
            Self::ApiKey { header, value } => {
                errors.check("auth.header", validate::header_name(header));
                let value = if value.is_empty() { Err("must not be empty".to_owned()) } else { header_value(value) };
                errors.check("auth.value", value);
            }
            Self::OAuth2(oauth) => oauth.check(errors),
        }
    }
}

fn user_name(username: &str, password: &str) -> Result<(), Problem> {
    if username.is_empty() && password.is_empty() {
        return Err("must not be empty beside an empty password".into());
    }
    if username == MASK {
        return Err(format!("is `{MASK}`, which stands for a user that is not shown: give it anew"));
    }
    if username.contains(':') {
        return Err("contains a colon, at which it would end".into());
    }
    text(username, MAX_USER_BYTES)
}

fn text(text: &str, max_bytes: usize) -> Result<(), Problem> {
    if text.len() > max_bytes {
        return Err(format!("has {} bytes, at most {max_bytes} are allowed", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("contains a control character".into());
    }
    Ok(())
}

fn bearer_token(token: &str) -> Result<(), Problem> {
    if token.is_empty() {
        return Err("must not be empty".into());
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has characters other than visible ASCII".into());
    }
    text(token, MAX_TOKEN_BYTES)
}

fn header_value(value: &str) -> Result<(), Problem> {
    if value.len() > validate::MAX_HEADER_VALUE_BYTES {
        return Err(format!("has {} bytes, at most {} are allowed", value.len(), validate::MAX_HEADER_VALUE_BYTES));
    }
    if !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Err("has characters other than printable ASCII".into());
    }
    Ok(())
}

/// What an endpoint authenticates with after a change: `given` is what was asked
/// for, if anything was; the present one stays with the place of its requests.
#[must_use]
pub fn changed(present: Option<Auth>, given: Option<Option<Auth>>, same_place: bool) -> Option<Auth> {
    match given {
        None if same_place => present,
        // With the mask it is not valid, so it must be given anew or removed.
        None => present.map(|auth| auth.masked()),
        Some(given) => given.map(|mut given| {
            if let Some(present) = present.filter(|_| same_place) {
                given.keep(present);
            }
            given
        }),
    }
}

impl Zeroize for Auth {
    fn zeroize(&mut self) {
        self.secret_mut().1.zeroize();
    }
}

impl ZeroizeOnDrop for Auth {}

impl Drop for Auth {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { .. } => f.write_str("Basic(..)"),
            Self::Bearer { .. } => f.write_str("Bearer(..)"),
            Self::ApiKey { header, .. } => write!(f, "ApiKey({header:?}, ..)"),
            Self::OAuth2(_) => f.write_str("OAuth2(..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::ClientAuth;

    fn basic(username: &str, password: &str) -> Auth {
        Auth::Basic { username: username.to_owned(), password: password.to_owned() }
    }

    fn bearer(token: &str) -> Auth {
        Auth::Bearer { token: token.to_owned() }
    }

    fn api_key(header: &str, value: &str) -> Auth {
        Auth::ApiKey { header: header.to_owned(), value: value.to_owned() }
    }

    fn oauth(token_url: &str, secret: &str) -> Auth {
        Auth::OAuth2(OAuth2 {
            token_url: token_url.to_owned(),
            client_id: "shop".to_owned(),
            client_secret: secret.to_owned(),
            scope: None,
            audience: None,
            client_auth: ClientAuth::Basic,
        })
    }

    fn all() -> [Auth; 5] {
        let oauth = oauth("https://id.test/token", "cl13nt");
        [basic("till", "pa55"), basic("k3y", ""), bearer("t0ken"), api_key("x-key", "v4lue"), oauth]
    }

    fn problems(auth: &Auth) -> Vec<&'static str> {
        let mut errors = FieldErrors::default();
        auth.check(&mut errors);
        errors.0.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn it_becomes_one_header() {
        for (auth, name, value) in [
            (basic("Aladdin", "open sesame"), "authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            (basic("k3y", ""), "authorization", "Basic azN5Og=="),
            (bearer("mF_9.B5f-4.1JqM"), "authorization", "Bearer mF_9.B5f-4.1JqM"),
            (api_key("X-Key", "v"), "x-key", "v"),
        ] {
            let (found, text) = auth.header().expect("it is valid");
            assert_eq!((found.as_str(), text.to_str().expect("text")), (name, value));
            assert!(text.is_sensitive());
        }
    }

    #[test]
    fn what_is_dropped_is_wiped() {
        const fn is_wiped_when_dropped<T: ZeroizeOnDrop>() {}
        const { is_wiped_when_dropped::<Auth>() };
        for mut auth in all() {
            auth.zeroize();
            let json = serde_json::to_string(&auth).expect("it is plain");
            assert!(!["pa55", "k3y", "t0ken", "v4lue", "cl13nt"].iter().any(|wiped| json.contains(wiped)), "{json}");
        }
    }

    #[test]
    fn what_is_shown_has_no_secret_and_may_be_written_back_to_the_same_place_only() {
        for auth in all() {
            let (debug, shown) = (format!("{auth:?}"), auth.masked());
            let json = serde_json::to_string(&shown).expect("it is plain");
            for hidden in ["pa55", "k3y", "t0ken", "v4lue", "cl13nt"] {
                assert!(!debug.contains(hidden) && !json.contains(hidden), "{debug} {json}");
            }
            assert_eq!(changed(Some(auth.clone()), Some(Some(shown.clone())), true), Some(auth.clone()));
            assert_eq!(changed(Some(auth.clone()), None, true), Some(auth.clone()));
            assert_eq!(changed(Some(auth.clone()), Some(None), true), None);
            for moved in
                [changed(Some(auth.clone()), Some(Some(shown)), false), changed(Some(auth.clone()), None, false)]
            {
                assert_eq!(problems(&moved.expect("it is refused, not dropped")).len(), 1, "{auth:?}");
            }
        }
        let present = oauth("https://id.test/token", "cl13nt");
        let same = oauth("https://id.test/other", MASK);
        assert_eq!(
            changed(Some(present.clone()), Some(Some(same)), true),
            Some(oauth("https://id.test/other", "cl13nt"))
        );
        let elsewhere = oauth("https://evil.test/token", MASK);
        assert_eq!(
            changed(Some(present), Some(Some(elsewhere.clone())), true),
            Some(elsewhere),
            "the secret would go there"
        );
        for other in [bearer(MASK), basic("x", MASK)] {
            assert_eq!(
                changed(Some(basic("k3y", "")), Some(Some(other.clone())), true),
                Some(other),
                "of another kind"
            );
        }
    }

    #[test]
    fn each_bad_part_is_named() {
        for auth in all() {
            assert!(problems(&auth).is_empty(), "{auth:?}");
        }
        for (auth, field) in [
            (basic("", ""), "auth.username"),
            (basic("a:b", "c"), "auth.username"),
            (basic("a\n", "c"), "auth.username"),
            (basic(&"a".repeat(1_025), "c"), "auth.username"),
            (basic("a", "c\0"), "auth.password"),
            (basic("a", &"c".repeat(1_025)), "auth.password"),
            (bearer(""), "auth.token"),
            (bearer("a b"), "auth.token"),
            (bearer("é"), "auth.token"),
            (bearer(&"a".repeat(4_001)), "auth.token"),
            (api_key("", "v"), "auth.header"),
            (api_key("x y", "v"), "auth.header"),
            (api_key("Host", "v"), "auth.header"),
            (api_key("webhook-id", "v"), "auth.header"),
            (api_key(&"x".repeat(257), "v"), "auth.header"),
            (api_key("x-key", ""), "auth.value"),
            (api_key("x-key", "a\r\nb"), "auth.value"),
            (api_key("x-key", &"v".repeat(4_097)), "auth.value"),
        ] {
            assert_eq!(problems(&auth), [field], "{auth:?}");
        }
    }

    #[test]
    fn the_types_are_those_that_are_written() {
        for (auth, name) in [basic("a", "b"), bearer("t"), api_key("h", "v"), oauth("u", "s")].iter().zip(Auth::TYPES) {
            assert_eq!(serde_json::to_value(auth).expect("it is plain")["type"], name);
        }
    }
}
