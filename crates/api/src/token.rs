//! Bearer tokens: JSON Web Tokens (RFC 7519) in the compact form of RFC 7515,
//! signed with HMAC-SHA256 and nothing else.
//!
//! The one algorithm is fixed here and not chosen by the token, so `none` and
//! the public-key confusions cannot be asked for. The hash, the MAC with its
//! constant-time comparison and the encoding come from libraries; what is
//! written here is the framing. (The library for tokens wants a process-wide
//! cryptography provider, and those that it offers bring RSA along.)

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use postrider_model::id::{AppId, OrgId};
use postrider_model::time::UnixMs;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

/// How far the clocks of two machines may differ.
pub const LEEWAY: Duration = Duration::from_secs(60);
/// Bytes of a token at most; those made here have about 250.
pub const MAX_TOKEN_BYTES: usize = 8_192;

/// The key that signs tokens. RFC 7518, section 3.2, wants 32 bytes or more.
/// It is wiped from memory when dropped and never printed by `Debug`.
#[derive(Clone)]
pub struct TokenSecret(Zeroizing<Vec<u8>>);

impl TokenSecret {
    /// A key from its bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length (RFC 2104)");
        mac.chain_update(signed)
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(..)")
    }
}

/// Whom a token speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A whole tenant.
    Org(OrgId),
    /// One application of a tenant and nothing beside it.
    Application {
        /// The tenant.
        org: OrgId,
        /// The application.
        app: AppId,
    },
}

/// Why a token is not accepted. The caller is told only that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no signed token, or says what cannot be read.
    #[error("token is malformed")]
    Malformed,
    /// It names another algorithm than HS256, or extensions that must be understood.
    #[error("token is not signed with HS256 alone")]
    Algorithm,
    /// Its signature is not made with our key.
    #[error("token has a wrong signature")]
    Signature,
    /// It is too old.
    #[error("token has expired")]
    Expired,
    /// It is not valid yet.
    #[error("token is not valid yet")]
    NotYet,
    /// Its subject is neither a tenant nor an application of one.
    #[error("token has no subject `org_...`, nor `app_...` with an `org`")]
    Subject,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    crit: Option<serde_json::Value>,
}

/// Times are seconds since the epoch; fractions are allowed (RFC 7519, section 2).
/// Those written here are whole: some readers take nothing else.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) org: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "whole_seconds")]
    pub(crate) iat: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nbf: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "whole_seconds")]
    pub(crate) exp: Option<f64>,
}

#[expect(clippy::ref_option, reason = "serde gives a reference to the field")]
fn whole_seconds<S: serde::Serializer>(seconds: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    seconds.map(|seconds| seconds as i64).serialize(serializer)
}

/// Makes a token that speaks for a tenant until `ttl` after `now`.
#[must_use]
pub fn create(secret: &TokenSecret, org: OrgId, ttl: Duration, now: UnixMs) -> String {
    issue(secret, Claims { sub: org.to_string(), ..Claims::default() }, ttl, now)
}

/// Makes a token that reaches one application of a tenant until `ttl` after `now`.
#[must_use]
pub fn create_for_application(secret: &TokenSecret, org: OrgId, app: AppId, ttl: Duration, now: UnixMs) -> String {
    issue(secret, Claims { sub: app.to_string(), org: Some(org.to_string()), ..Claims::default() }, ttl, now)
}

fn issue(secret: &TokenSecret, claims: Claims, ttl: Duration, now: UnixMs) -> String {
    let seconds = |at: UnixMs| Some(at.as_secs() as f64);
    let claims = Claims { iat: seconds(now), exp: seconds(now + ttl), ..claims };
    sign(secret, r#"{"alg":"HS256","typ":"JWT"}"#, &claims)
}

pub(crate) fn sign(secret: &TokenSecret, header: &str, claims: &Claims) -> String {
    signed(secret, header.as_bytes(), &serde_json::to_vec(claims).expect("claims are texts and numbers"))
}

/// A token with these bytes as its header and claims.
pub(crate) fn signed(secret: &TokenSecret, header: &[u8], claims: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = secret.mac(&signed).finalize().into_bytes();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Checks a token and says whom it speaks for. `exp` and `nbf` hold, with
/// [`LEEWAY`], where the token has them.
///
/// # Errors
/// The token is not to be accepted.
pub fn verify(secret: &TokenSecret, token: &str, now: UnixMs) -> Result<Subject, TokenError> {
    Verified::read(secret, token)?.at(now)
}

/// What a token with a good signature says.
#[derive(Clone, Copy)]
pub(crate) struct Verified {
    /// Whom it speaks for, whatever the time.
    pub(crate) subject: Option<Subject>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

impl Verified {
    /// Checks all but the times.
    pub(crate) fn read(secret: &TokenSecret, token: &str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header: Header = decode(header)?;
        if header.alg != "HS256" || header.crit.is_some() {
            return Err(TokenError::Algorithm);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| TokenError::Malformed)?;
        secret.mac(signed).verify_slice(&signature).map_err(|_| TokenError::Signature)?;
        let claims: Claims = decode(claims)?;
        Ok(Self { subject: subject(&claims), exp: claims.exp, nbf: claims.nbf })
    }

    /// Whom the token speaks for at this time.
    pub(crate) fn at(&self, now: UnixMs) -> Result<Subject, TokenError> {
        let now = now.as_u64() as f64 / 1_000.0;
        if self.exp.is_some_and(|exp| now >= exp + LEEWAY.as_secs_f64()) {
            return Err(TokenError::Expired);
        }
        if self.nbf.is_some_and(|nbf| now < nbf - LEEWAY.as_secs_f64()) {
            return Err(TokenError::NotYet);
        }
        self.subject.ok_or(TokenError::Subject)
    }
}

fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    // The derived readers would take an array for an object.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(TokenError::Malformed);
    }
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}

fn subject(claims: &Claims) -> Option<Subject> {
    match &claims.org {
        None => claims.sub.parse().ok().map(Subject::Org),
        Some(org) => Some(Subject::Application { org: org.parse().ok()?, app: claims.sub.parse().ok()? }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_model::id::RawId;

    const NOW: UnixMs = UnixMs(1_800_000_000_000);
    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

    fn secret() -> TokenSecret {
        TokenSecret::new(b"0123456789abcdef0123456789abcdef".to_vec())
    }

    fn org() -> OrgId {
        OrgId(RawId::new(UnixMs(1), 2, [3; 6]))
    }

    fn claims() -> Claims {
        Claims { sub: org().to_string(), ..Claims::default() }
    }

    /// The example of RFC 7515, appendix A.1: its signature is the one that we make.
    #[test]
    fn the_published_example_has_our_signature() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let key = TokenSecret::new(URL_SAFE_NO_PAD.decode(key).expect("the published key"));
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let made = URL_SAFE_NO_PAD.encode(key.mac(signed).finalize().into_bytes());
        assert_eq!(made, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn a_token_speaks_for_its_tenant_until_it_expires() {
        let token = create(&secret(), org(), Duration::from_secs(3_600), NOW);
        assert_eq!(verify(&secret(), &token, NOW), Ok(Subject::Org(org())));
        assert_eq!(verify(&secret(), &token, NOW + Duration::from_secs(3_659)), Ok(Subject::Org(org())));
        assert_eq!(verify(&secret(), &token, NOW + Duration::from_secs(3_660)), Err(TokenError::Expired));
    }

    #[test]
    fn the_times_of_a_token_are_whole_numbers() {
        let token = create(&secret(), org(), Duration::from_secs(3_600), NOW);
        let claims: serde_json::Value = decode(token.split('.').nth(1).expect("three parts")).expect("JSON");
        assert_eq!(claims.get("iat"), Some(&serde_json::json!(1_800_000_000)));
        assert_eq!(claims.get("exp"), Some(&serde_json::json!(1_800_003_600)));
    }

    #[test]
    fn times_with_a_fraction_are_accepted() {
        let claims = format!(r#"{{"sub":"{}","iat":1799999999.5,"exp":1800000000.5}}"#, org());
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(secret().mac(&signed).finalize().into_bytes());
        let token = format!("{signed}.{signature}");
        assert_eq!(verify(&secret(), &token, NOW), Ok(Subject::Org(org())));
        assert_eq!(verify(&secret(), &token, NOW + Duration::from_secs(61)), Err(TokenError::Expired));
    }

    #[test]
    fn a_token_without_times_is_accepted_and_one_from_the_future_is_not() {
        assert_eq!(verify(&secret(), &sign(&secret(), HEADER, &claims()), NOW), Ok(Subject::Org(org())));
        let nbf = Some(NOW.as_secs() as f64 + 60.0);
        let token = sign(&secret(), HEADER, &Claims { nbf, ..claims() });
        assert_eq!(verify(&secret(), &token, NOW), Ok(Subject::Org(org())));
        assert_eq!(verify(&secret(), &token, NOW - Duration::from_secs(1)), Err(TokenError::NotYet));
    }

    #[test]
    fn another_algorithm_key_or_content_is_refused() {
        let good = sign(&secret(), HEADER, &claims());
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"hs256"}"#, r#"{"alg":"HS512"}"#, r#"{"alg":"RS256"}"#] {
            assert_eq!(verify(&secret(), &sign(&secret(), header, &claims()), NOW), Err(TokenError::Algorithm));
        }
        let critical = sign(&secret(), r#"{"alg":"HS256","crit":["b64"]}"#, &claims());
        assert_eq!(verify(&secret(), &critical, NOW), Err(TokenError::Algorithm));
        assert_eq!(verify(&TokenSecret::new(vec![7; 32]), &good, NOW), Err(TokenError::Signature));
        let (signed, _) = good.rsplit_once('.').expect("three parts");
        assert_eq!(verify(&secret(), &format!("{signed}."), NOW), Err(TokenError::Signature));
        for text in ["", ".", "..", "a.b", signed, &format!("{good}="), &"a".repeat(MAX_TOKEN_BYTES + 1)] {
            assert!(verify(&secret(), text, NOW).is_err(), "{text}");
        }
    }

    #[test]
    fn the_subject_is_a_tenant_or_an_application_of_one() {
        let app = AppId(RawId::new(UnixMs(4), 5, [6; 6]));
        let made = |sub: String, org: Option<String>| {
            verify(&secret(), &sign(&secret(), HEADER, &Claims { sub, org, ..Claims::default() }), NOW)
        };
        let both = made(app.to_string(), Some(org().to_string()));
        assert_eq!(both, Ok(Subject::Application { org: org(), app }));
        assert_eq!(made(app.to_string(), None), Err(TokenError::Subject));
        assert_eq!(made(org().to_string(), Some(org().to_string())), Err(TokenError::Subject));
        assert_eq!(made("org_short".to_owned(), None), Err(TokenError::Subject));
    }
}
