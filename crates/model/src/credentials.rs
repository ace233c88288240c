//! What an endpoint's requests get in with: user name and password in its URL,
//! and headers. They are never shown, and they stay with their place, which is scheme,
//! host and port, the proxy on the way there, and the authorities that say who is
//! there: for another place they must be given anew, or whoever may change an
//! endpoint could have them sent to himself.
//!
//! User name and password are sent as a header. Where a URL is shown a mask
//! stands in their place, and a URL that comes back with the mask keeps them.

use std::collections::BTreeMap;

use url::Url;

use crate::client_tls::ClientTls;
use crate::endpoint::EndpointFields;
use crate::proxy;

/// What stands in the place of a credential.
pub const MASK: &str = "***";

/// What the names of headers have in them whose values are credentials, in lower case. All of
/// `authorization`, `proxy-authorization`, `www-authenticate`, `x-api-key`, `x-auth-token` and
/// `x-access-token` are among them.
const IN_HEADER_NAMES: [&str; 8] =
    ["authorization", "authenticate", "token", "secret", "password", "api-key", "apikey", "credential"];

/// Whether the value of a header is a credential, by its name: once set it is not shown again.
#[must_use]
pub fn is_in_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    IN_HEADER_NAMES.iter().any(|part| name.contains(part))
}

/// Puts the mask in the place of credentials in headers that were set for another
/// place. Headers with the mask are not valid, so they must be given anew or removed.
pub fn leave_behind(headers: &mut BTreeMap<String, String>, same_place: bool) {
    if same_place {
        return;
    }
    for (_, value) in headers.iter_mut().filter(|(name, _)| is_in_header(name)) {
        MASK.clone_into(value);
    }
}

/// Whether an endpoint's requests stay at their place with a change to this URL and this
/// proxy, and what was asked for of `tls`, if anything was. To go without a proxy, or
/// without authorities of its own, gives nobody anything to read.
#[must_use]
pub fn stay(present: &EndpointFields, url: &str, proxy: Option<&str>, tls: Option<&Option<ClientTls>>) -> bool {
    let ca_of = |tls: Option<&ClientTls>| tls.and_then(|tls| tls.ca.clone());
    let before = ca_of(present.tls.as_ref());
    let after = tls.map_or_else(|| before.clone(), |tls| ca_of(tls.as_ref()));
    is_same_place(&present.url, url)
        && proxy::is_same_way(present.proxy.as_deref(), proxy)
        && (after.is_none() || after == before)
}

/// Whether two URLs have the same scheme, host and port. What is no URL is no other
/// place: a new endpoint had none before, and a bad URL is refused.
#[must_use]
pub fn is_same_place(before: &str, after: &str) -> bool {
    let (Ok(before), Ok(after)) = (Url::parse(before), Url::parse(after)) else { return true };
    before.origin() == after.origin()
}

/// A URL without user name and password, as it is asked for and recorded.
#[must_use]
pub fn without(url: &Url) -> Url {
    let mut url = url.clone();
    // Only a URL without a host can refuse, and it has no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

/// The text of an endpoint's URL as it is shown.
#[must_use]
pub fn masked(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) if has_any(&url) => {
            let mut shown = without(&url);
            let _ = shown.set_username(MASK);
            shown.into()
        }
        Ok(_) => text.to_owned(),
        // What cannot be read is not stored; if it were, it could hide anything.
        Err(_) => MASK.to_owned(),
    }
}

/// The text of a URL after a change, `given` if it was: with the present one's user name
/// and password in the place of the mask as long as it is the same place, and for
/// another with the mask, which is not valid, unless they were given anew.
#[must_use]
pub fn kept(given: Option<String>, present: &str, same_place: bool) -> String {
    let Some(new) = given else { return if same_place { present.to_owned() } else { masked(present) } };
    let (Ok(mut url), Ok(present)) = (Url::parse(&new), Url::parse(present)) else { return new };
    if !same_place || !is_masked(&url) || !has_any(&present) {
        return new;
    }
    // They are percent-encoded already, which these leave as it is.
    let _ = url.set_username(present.username());
    let _ = url.set_password(present.password());
    url.into()
}

/// Whether the mask is where user name and password should be.
#[must_use]
pub fn is_masked(url: &Url) -> bool {
    url.username() == MASK && url.password().is_none()
}

/// Whether a URL has a user name or a password.
pub(crate) fn has_any(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn user_name_and_password_are_masked_and_the_rest_stays() {
        for (text, shown) in [
            ("https://user:pass@example.com/hook?x=1", "https://***@example.com/hook?x=1"),
            ("https://token@example.com:8443/", "https://***@example.com:8443/"),
            ("https://:p%40ss@example.com/", "https://***@example.com/"),
            ("https://a:b@c@example.com/", "https://***@example.com/"),
            ("HTTPS://Example.com", "HTTPS://Example.com"),
            ("https://example.com/?to=a:b@c", "https://example.com/?to=a:b@c"),
            ("user:pass", "user:pass"),
            ("//user:pass@example.com", "***"),
        ] {
            assert_eq!(masked(text), shown, "{text}");
        }
    }

    #[test]
    fn headers_that_let_somebody_in_are_known_by_their_names() {
        for name in ["Authorization", "proxy-authorization", "www-authenticate", "x-api-key", "X-Auth-Token"] {
            assert!(is_in_header(name), "{name}");
        }
        for name in ["x-access-token", "X-Gitlab-Token", "api-key", "ApiKey", "x-webhook-secret"] {
            assert!(is_in_header(name), "{name}");
        }
        for name in ["x-shop", "accept", "user-agent", "x-key", "x-author"] {
            assert!(!is_in_header(name), "{name}");
        }
    }

    #[test]
    fn the_mask_keeps_them_for_the_same_place_only() {
        let present = "https://us%2Fer:p%40ss@example.com/hook";
        for (new, kept_as) in [
            ("https://***@example.com/hook", present),
            ("https://***@example.com:443/other", "https://us%2Fer:p%40ss@example.com/other"),
            ("https://***@example.com:8443/hook", "https://***@example.com:8443/hook"),
            ("http://***@example.com/hook", "http://***@example.com/hook"),
            ("https://***@evil.example/hook", "https://***@evil.example/hook"),
            ("https://***:x@example.com/hook", "https://***:x@example.com/hook"),
            ("https://example.com/hook", "https://example.com/hook"),
            ("https://new:er@example.com/hook", "https://new:er@example.com/hook"),
        ] {
            assert_eq!(kept(Some(new.to_owned()), present, is_same_place(present, new)), kept_as, "{new}");
        }
        let masked = "https://***@a/";
        assert_eq!(kept(Some(masked.to_owned()), "https://a/", true), masked);
        assert_eq!(kept(Some(masked.to_owned()), "", true), masked);
        let shown = "https://***@example.com/hook";
        assert_eq!(kept(Some(shown.to_owned()), present, false), shown, "by another proxy");
        assert_eq!(kept(None, present, false), shown, "by another proxy");
        assert_eq!(kept(None, present, true), present);
        assert_eq!(kept(None, masked.trim_end_matches('/'), false), masked);
        assert_eq!(kept(None, "https://a", false), "https://a", "it has none");
    }

    #[test]
    fn a_place_is_a_url_a_proxy_and_authorities() {
        let fields = |proxy: Option<&str>, ca: Option<&str>| EndpointFields {
            url: "https://example.com/hook".to_owned(),
            proxy: proxy.map(str::to_owned),
            tls: authorities(ca),
            ..EndpointFields::default()
        };
        fn authorities(ca: Option<&str>) -> Option<ClientTls> {
            ca.map(|ca| ClientTls { ca: Some(ca.to_owned()), ..ClientTls::default() })
        }
        let (url, own, other) = ("https://example.com/x", Some("http://a:b@p.test:1"), Some("http://q.test:1"));
        for (before, after, same) in [
            (None, None, true),
            (None, own, false),
            (own, own, true),
            (own, Some("http://new:er@P.test:1"), true),
            (own, Some("http://p.test:1/"), true),
            (own, other, false),
            (own, Some("socks5://p.test:1"), false),
            (own, Some("http://p.test:2"), false),
            (own, None, true),
            (own, Some("nonsense"), true),
        ] {
            assert_eq!(stay(&fields(before, None), url, after, None), same, "{before:?} {after:?}");
        }
        for (before, after, same) in [
            (None, None, true),
            (None, Some("c"), false),
            (Some("c"), Some("c"), true),
            (Some("c"), Some("d"), false),
            (Some("c"), None, true),
        ] {
            let present = fields(own, before);
            assert_eq!(stay(&present, url, own, Some(&authorities(after))), same, "{before:?} {after:?}");
            assert!(stay(&present, url, own, None), "it was not asked for");
            assert!(!stay(&present, "https://evil.example/", own, None));
        }
    }

    #[test]
    fn credentials_in_headers_stay_with_the_place_that_they_were_set_for() {
        let own = || {
            BTreeMap::from(
                [("Authorization", "Bearer x"), ("x-API-key", "k"), ("x-shop", "17")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned())),
            )
        };
        let before = "https://example.com/hook";
        for same in [before, "https://example.com:443/other?x=1", "https://user:pass@EXAMPLE.com/", "", "nonsense"] {
            let mut headers = own();
            leave_behind(&mut headers, is_same_place(before, same));
            assert_eq!(headers, own(), "{same}");
        }
        for other in ["http://example.com/hook", "https://example.com:8443/hook", "https://evil.example/hook"] {
            let mut headers = own();
            leave_behind(&mut headers, is_same_place(before, other));
            let values: Vec<_> = headers.values().map(String::as_str).collect();
            assert_eq!(values, [MASK, MASK, "17"], "{other}");
        }
        let mut headers = own();
        leave_behind(&mut headers, is_same_place("", before));
        assert_eq!(headers, own(), "a new endpoint had no place before");
    }

    proptest! {
        /// What is shown may be written back.
        #[test]
        fn what_is_shown_and_written_back_changes_nothing(
            user in "[!-~é]{0,8}", password in proptest::option::of("[!-~é]{0,8}"), path in "(/[a-z]{0,4}){0,2}",
        ) {
            let mut url = Url::parse(&format!("https://example.com{path}")).expect("a plain URL");
            url.set_username(&user).expect("it has a host");
            url.set_password(password.as_deref()).expect("it has a host");
            let text = url.to_string();
            prop_assert_eq!(kept(Some(masked(&text)), &text, true), text);
        }
    }
}
