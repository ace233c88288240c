//! The proxy that requests go through: HTTP's `CONNECT` (RFC 9110, section 9.3.6),
//! or SOCKS 5 (RFC 1928).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use http::header::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;
use zeroize::Zeroizing;

use crate::credentials;
use crate::validate::Problem;

/// Bytes of a proxy's URL.
pub const MAX_PROXY_BYTES: usize = 1_024;
/// Bytes of a user name and of a password.
const MAX_USER_BYTES: usize = 255;
/// The same of both together, of SOCKS.
const MAX_SOCKS_USER_BYTES: usize = 128;
/// What the library that speaks SOCKS has room for: greeting, user and password, and the name, one behind the other.
const SOCKS_BYTES: usize = 262;

/// How one speaks to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    /// `CONNECT`, with the address that the guard has seen.
    Http,
    /// SOCKS 5, with the address that the guard has seen.
    Socks5,
    /// SOCKS 5, with the name: the proxy looks it up.
    Socks5h,
}

/// A proxy. `Debug` prints neither user nor password.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    text: String,
    kind: ProxyKind,
    host: String,
    port: u16,
    user: Option<(String, String)>,
}

impl Proxy {
    /// Reads `http://`, `socks5://` or `socks5h://`, a host and a port, with a user and a
    /// password before them or without.
    ///
    /// # Errors
    /// It is none of these.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        const FORM: &str = "must be `http://`, `socks5://` or `socks5h://`, then a host and a port";
        if text.len() > MAX_PROXY_BYTES {
            return Err(format!("has {} bytes, at most {MAX_PROXY_BYTES} are allowed", text.len()));
        }
        if text.chars().any(|c| c.is_control() || c == ' ' || c == '\\') {
            return Err("contains a space, a backslash or a control character".into());
        }
        let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
        let kind = match scheme {
            "http" => ProxyKind::Http,
            "socks5" => ProxyKind::Socks5,
            "socks5h" => ProxyKind::Socks5h,
            _ => return Err(FORM.into()),
        };
        // Hosts of these schemes are those of HTTP.
        let url = Url::parse(&format!("http://{rest}")).map_err(|error| format!("is no valid URL: {error}"))?;
        let host = url.host_str().filter(|host| !host.trim_matches('.').is_empty()).ok_or(FORM)?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("has something behind the port".into());
        }
        let without_user = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let uri: Uri = format!("http://{without_user}").parse().map_err(|_| FORM.to_owned())?;
        let port = uri.port_u16().ok_or("names no port")?;
        if port == 0 {
            return Err("has the port 0, to which nothing can connect".into());
        }
        if credentials::is_masked(&url) {
            return Err(format!(
                "has `{}` in the place of user name and password, which are not shown: for another proxy give them \
                 anew",
                credentials::MASK
            ));
        }
        let user = user_of(&url)?;
        if kind != ProxyKind::Http
            && user.as_ref().is_some_and(|(name, password)| name.len() + password.len() > MAX_SOCKS_USER_BYTES)
        {
            return Err(format!("has more than {MAX_SOCKS_USER_BYTES} bytes in user and password together"));
        }
        let host = host.trim_start_matches('[').trim_end_matches([']', '.']).to_owned();
        Ok(Self { text: text.to_owned(), kind, host, port, user })
    }

    /// Checks that it can be told the name of a URL's host, if it is one that is told names.
    ///
    /// # Errors
    /// The name is too long beside the user and the password.
    pub fn check_host(&self, url: &Url) -> Result<(), Problem> {
        let name = url.domain().unwrap_or_default().len();
        let user = self.user().map_or(0, |(name, password)| 3 + name.len() + password.len());
        let room = SOCKS_BYTES - 10 - user;
        if self.kind == ProxyKind::Socks5h && name > room {
            return Err(format!(
                "has room for names of {room} bytes beside user and password; that of the URL has {name}"
            ));
        }
        Ok(())
    }

    /// As it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How one speaks to it.
    #[must_use]
    pub const fn kind(&self) -> ProxyKind {
        self.kind
    }

    /// Its name or address, an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The user and the password that it asks for.
    #[must_use]
    pub fn user(&self) -> Option<(&str, &str)> {
        self.user.as_ref().map(|(name, password)| (name.as_str(), password.as_str()))
    }

    /// The same as `proxy-authorization: Basic` has them.
    #[must_use]
    pub fn basic(&self) -> Option<HeaderValue> {
        let (name, password) = self.user()?;
        let plain = Zeroizing::new(format!("{name}:{password}"));
        let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(&*plain))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Where it is, as a URL that the guard can judge.
    #[must_use]
    pub fn place(&self) -> Option<Url> {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        Url::parse(&format!("http://{host}:{}/", self.port)).ok()
    }

    fn is_at(&self, other: &Self) -> bool {
        (self.kind, &self.host, self.port) == (other.kind, &other.host, other.port)
    }
}

fn user_of(url: &Url) -> Result<Option<(String, String)>, Problem> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let decoded = |part: &str| match percent_decode_str(part).decode_utf8() {
        Ok(text) if text.chars().any(char::is_control) => Err("has a control character in user or password".to_owned()),
        Ok(text) if text.len() > MAX_USER_BYTES => {
            Err(format!("has more than {MAX_USER_BYTES} bytes in user or password"))
        }
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err("has a user or a password that is not UTF-8".to_owned()),
    };
    let (name, password) = (decoded(url.username())?, decoded(url.password().unwrap_or_default())?);
    if name.contains(':') {
        return Err("has a user with a colon, at which it would end".into());
    }
    Ok(Some((name, password)))
}

/// Whether both lead through the same proxy, or through none; whom it lets in does not matter.
pub(crate) fn is_same(one: Option<&str>, other: Option<&str>) -> bool {
    if one == other {
        return true;
    }
    let parsed = |text: Option<&str>| text.and_then(|text| Proxy::parse(text).ok());
    parsed(one).zip(parsed(other)).is_some_and(|(one, other)| one.is_at(&other))
}

/// A new proxy with the present one's user and password in the place of the mask, if
/// it is the same.
#[must_use]
pub fn kept(new: String, present: Option<&str>) -> String {
    let Some(present) = present.and_then(|text| Proxy::parse(text).ok()) else { return new };
    let mask = format!("{}@", credentials::MASK);
    let Some((scheme, rest)) = new.split_once("://") else { return new };
    let bare = rest.strip_prefix(&mask).and_then(|place| Proxy::parse(&format!("{scheme}://{place}")).ok());
    if bare.is_some_and(|bare| bare.is_at(&present)) { present.text } else { new }
}

/// Whether nobody comes to see requests who did not before: the proxy is the same, by
/// whatever user, or there is none any more. What is no proxy is refused anyway.
#[must_use]
pub(crate) fn is_same_way(before: Option<&str>, after: Option<&str>) -> bool {
    let Some(Ok(after)) = after.map(Proxy::parse) else { return true };
    before.and_then(|before| Proxy::parse(before).ok()).is_some_and(|before| before.is_at(&after))
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({:?}, {}:{})", self.kind, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        let user = |name: &'static str, password: &'static str| Some((name, password));
        for (text, kind, host, port, expected) in [
            ("http://proxy.test:3128", ProxyKind::Http, "proxy.test", 3128, None),
            ("http://Proxy.test:80/", ProxyKind::Http, "proxy.test", 80, None),
            ("socks5://u:p%40ss@192.0.2.1:1080", ProxyKind::Socks5, "192.0.2.1", 1080, user("u", "p@ss")),
            ("socks5h://u@[2001:db8::1]:1080", ProxyKind::Socks5h, "2001:db8::1", 1080, user("u", "")),
        ] {
            let proxy = Proxy::parse(text).expect(text);
            assert_eq!(
                (proxy.kind(), proxy.host(), proxy.port(), proxy.user()),
                (kind, host, port, expected),
                "{text}"
            );
            assert_eq!(proxy.place().and_then(|url| url.port_or_known_default()), Some(port));
        }
        let basic = Proxy::parse("http://Aladdin:open%20sesame@a.test:1").expect("it is one").basic();
        assert_eq!(basic.expect("it has a user"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for text in [
            "",
            "proxy.test:3128",
            "https://proxy.test:3128",
            "ftp://proxy.test:1",
            "HTTP://proxy.test:1",
            "http://proxy.test",
            "socks5://proxy.test",
            "http://:3128",
            "http://proxy.test:0",
            "http://proxy.test:99999",
            "http://proxy.test:1/x",
            "http://proxy.test:1?x",
            "http://proxy.test:1#x",
            "http://pro xy.test:1",
            "http://***@proxy.test:1",
            "http://a%00:b@proxy.test:1",
            "http://a%3Ab:c@proxy.test:1",
            "http://%ff@a.test:1",
            "http://./:1",
            "http://proxy.test:",
            "http:///a.test:1",
        ] {
            assert!(Proxy::parse(text).is_err(), "{text}");
        }
        for (text, is_taken) in
            [("socks5://{}:p@a.test:1", true), ("socks5h://{}:pp@a.test:1", false), ("http://{}:pp@a.test:1", true)]
        {
            assert_eq!(Proxy::parse(&text.replace("{}", &"u".repeat(127))).is_ok(), is_taken, "{text}");
        }
        assert!(Proxy::parse(&format!("http://{}@a.test:1", "u".repeat(256))).is_err());
        assert!(Proxy::parse(&format!("http://a.test:1/{}", "u".repeat(MAX_PROXY_BYTES))).is_err());
    }

    #[test]
    fn a_name_that_is_too_long_for_it_is_refused() {
        let label = "a".repeat(60);
        let url = |bytes: usize| {
            let name = format!("{label}.{label}.{label}.{label}");
            Url::parse(&format!("https://{}/", &name[..bytes])).expect("a URL in the test's own table")
        };
        let user = format!("u:{}@", "p".repeat(127));
        for (proxy, bytes, is_taken) in [
            ("socks5h://a.test:1".to_owned(), 243, true),
            (format!("socks5h://{user}a.test:1"), 121, true),
            (format!("socks5h://{user}a.test:1"), 123, false),
            (format!("socks5://{user}a.test:1"), 243, true),
            (format!("http://{user}a.test:1"), 243, true),
        ] {
            let proxy = Proxy::parse(&proxy).expect("a proxy in the test's own table");
            assert_eq!(proxy.check_host(&url(bytes)).is_ok(), is_taken, "{proxy:?} {bytes}");
        }
    }

    #[test]
    fn the_mask_keeps_user_and_password_for_the_same_proxy_only() {
        let present = "socks5://u5er:pa55@proxy.test:1080";
        assert!(!format!("{:?}", Proxy::parse(present)).contains("pa55"));
        for (new, expected) in [
            ("socks5://***@proxy.test:1080", present),
            ("socks5://***@proxy.test:1081", "socks5://***@proxy.test:1081"),
            ("socks5h://***@proxy.test:1080", "socks5h://***@proxy.test:1080"),
            ("socks5://***@other.test:1080", "socks5://***@other.test:1080"),
            ("socks5://new:er@proxy.test:1080", "socks5://new:er@proxy.test:1080"),
            ("socks5://proxy.test:1080", "socks5://proxy.test:1080"),
        ] {
            assert_eq!(kept(new.to_owned(), Some(present)), expected);
        }
        let masked = credentials::masked(present);
        assert_eq!(
            (masked.as_str(), kept(masked.clone(), Some(present)).as_str()),
            ("socks5://***@proxy.test:1080", present)
        );
        assert_eq!(kept(masked.clone(), None), masked);
    }
}
