//! What an endpoint's requests get in with: user name and password in its URL,
//! and headers. They are never shown, and they stay with scheme, host and port:
//! for another place they must be given anew, or whoever may change a URL could
//! have them sent to himself.
//!
//! User name and password are sent as a header. Where a URL is shown a mask
//! stands in their place, and a URL that comes back with the mask keeps them.

use std::collections::BTreeMap;

use url::Url;

/// What stands in the place of a credential.
pub const MASK: &str = "***";

/// Headers whose values are credentials, in lower case.
const HEADERS: [&str; 6] =
    ["authorization", "proxy-authorization", "www-authenticate", "x-api-key", "x-auth-token", "x-access-token"];

/// Whether the value of a header is a credential: once set it is not shown again.
#[must_use]
pub fn is_in_header(name: &str) -> bool {
    HEADERS.iter().any(|header| name.eq_ignore_ascii_case(header))
}

/// Puts the mask in the place of credentials in headers that were set for the
/// URL before, if the new one leads to another scheme, host or port. Headers
/// with the mask are not valid, so they must be given anew or removed.
pub fn leave_behind(headers: &mut BTreeMap<String, String>, before: &str, after: &str) {
    if is_same_place(before, after) {
        return;
    }
    for (_, value) in headers.iter_mut().filter(|(name, _)| is_in_header(name)) {
        MASK.clone_into(value);
    }
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

/// The text of a new URL with the present one's user name and password in the
/// place of the mask, if it leads to the same scheme, host and port.
#[must_use]
pub fn kept(new: String, present: &str) -> String {
    let (Ok(mut url), Ok(present)) = (Url::parse(&new), Url::parse(present)) else { return new };
    if !is_masked(&url) || !has_any(&present) || url.origin() != present.origin() {
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
            assert_eq!(kept(new.to_owned(), present), kept_as, "{new}");
        }
        assert_eq!(kept("https://***@a/".to_owned(), "https://a/"), "https://***@a/");
        assert_eq!(kept("https://***@a/".to_owned(), ""), "https://***@a/");
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
            leave_behind(&mut headers, before, same);
            assert_eq!(headers, own(), "{same}");
        }
        for other in ["http://example.com/hook", "https://example.com:8443/hook", "https://evil.example/hook"] {
            let mut headers = own();
            leave_behind(&mut headers, before, other);
            let values: Vec<_> = headers.values().map(String::as_str).collect();
            assert_eq!(values, [MASK, MASK, "17"], "{other}");
        }
        let mut headers = own();
        leave_behind(&mut headers, "", before);
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
            prop_assert_eq!(kept(masked(&text), &text), text);
        }
    }
}
