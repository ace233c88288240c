//! Configuration values that are secrets: neither shown nor repeated in errors,
//! and wiped from memory when they are dropped.

use std::fmt;

use postrider_model::credentials;
use postrider_model::proxy::Proxy;
use zeroize::Zeroizing;

use super::value::{Raw, Value, quoted};
use crate::secrets::{KEY_BYTES, Keys, parse_keys};

/// Shortest `auth.jwt_secret`, in bytes: the output of HMAC-SHA256 (RFC 7518, section 3.2).
pub(crate) const MIN_JWT_SECRET_BYTES: usize = 32;

/// The secret that tokens are signed with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct JwtSecret(Zeroizing<String>);

impl JwtSecret {
    /// The secret, to sign and verify with.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for JwtSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JwtSecret(..)")
    }
}

impl Value for JwtSecret {
    const TYPE: &'static str = "a text of at least 32 bytes";
    const SECRET: bool = true;

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        let text = raw.text::<Self>()?;
        match text.len() {
            0..MIN_JWT_SECRET_BYTES => {
                Err(format!("has {} bytes, at least {MIN_JWT_SECRET_BYTES} are needed", text.len()))
            }
            _ => Ok(Self(Zeroizing::new(text.to_owned()))),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quoted("<redacted>"))
    }
}

/// The proxy that requests go through. User and password in it are never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProxySetting(pub(crate) Proxy);

impl Value for ProxySetting {
    const TYPE: &'static str = "`http://`, `socks5://` or `socks5h://` with a host and a port";
    const SECRET: bool = true;

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        Proxy::parse(raw.text::<Self>()?).map(Self)
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&credentials::masked(self.0.text())))
    }
}

/// The store's keys.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoreKey(Keys);

impl StoreKey {
    /// The keys, to open the store with.
    pub(crate) fn expose(&self) -> &Keys {
        &self.0
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(..)")
    }
}

impl Value for StoreKey {
    const TYPE: &'static str = "32 bytes in base64";
    const SECRET: bool = true;

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        let text = raw.text::<Self>()?;
        parse_keys(text).map(Self).ok_or_else(|| format!("is no key of {KEY_BYTES} bytes in base64"))
    }

    fn show(&self) -> Option<String> {
        Some(quoted("<redacted>"))
    }
}
