//! The form in which an endpoint gets its messages.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::AppId;
use crate::validate::Problem;

/// What requests carry: the payload alone, or the payload within an envelope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// The payload, byte for byte.
    #[default]
    Payload,
    /// An object with `type`, `timestamp` and `data` (Standard Webhooks 1.0.0, "Payload structure").
    Standard,
    /// The payload, and what is known of it in headers (CloudEvents 1.0, HTTP binding, binary content mode).
    #[serde(rename = "cloudevents-binary")]
    CloudEventsBinary,
    /// An object with the payload and what is known of it (CloudEvents 1.0, structured content mode, JSON).
    #[serde(rename = "cloudevents-structured")]
    CloudEventsStructured,
}

impl Format {
    /// The formats in words, for errors and for the documentation.
    pub const WORDS: &str = "`payload`, `standard`, `cloudevents-binary` or `cloudevents-structured`";

    /// Whether requests have headers of CloudEvents, `ce-...`.
    #[must_use]
    pub const fn sets_ce_headers(self) -> bool {
        matches!(self, Self::CloudEventsBinary)
    }

    /// Whether requests say where the event comes from.
    #[must_use]
    pub const fn has_source(self) -> bool {
        matches!(self, Self::CloudEventsBinary | Self::CloudEventsStructured)
    }
}

/// Characters of an event source.
const MAX_SOURCE_CHARS: usize = 256;
/// Stands for the id of the application.
const APP: &str = "{app}";

/// The `source` of CloudEvents: a URI reference, in which `{app}` stands for
/// the application's id. An id, and no uid, because what an attempt said must
/// stay the same in the next one (W7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSource(String);

impl Default for EventSource {
    fn default() -> Self {
        Self(format!("/postrider/{APP}"))
    }
}

impl EventSource {
    /// A source from its text.
    ///
    /// # Errors
    /// It is empty or too long, or no URI reference (RFC 3986).
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let reference = text.replace(APP, "app");
        if text.is_empty() || text.len() > MAX_SOURCE_CHARS {
            return Err(format!("must have 1 to {MAX_SOURCE_CHARS} characters"));
        }
        if !is_uri_reference(&reference) {
            let example = "https://example.com/shop";
            return Err(format!("is no URI reference such as `/postrider/{APP}` or `{example}`"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The source of an application's events.
    #[must_use]
    pub fn of(&self, app: AppId) -> String {
        self.0.replace(APP, &app.to_string())
    }
}

impl fmt::Display for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// By its characters, its percent-encodings, and what stands before a colon.
/// Literal addresses of IPv6 are not among them.
fn is_uri_reference(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#@!$&'()*+,;=%".contains(c);
    let is_encoded = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    let (before_fragment, fragment) = text.split_once('#').unwrap_or((text, ""));
    let scheme = before_fragment.split(['/', '?']).next().and_then(|first| first.split_once(':')).map(|(name, _)| name);
    let is_scheme = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    text.chars().all(allowed)
        && !fragment.contains('#')
        && text.split('%').skip(1).all(is_encoded)
        && scheme.is_none_or(is_scheme)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RawId;

    #[test]
    fn a_source_is_a_uri_reference_with_the_application_in_it() {
        let app = AppId(RawId::from_bytes([0; 20]));
        assert_eq!(EventSource::default().of(app), format!("/postrider/{app}"));
        for text in
            ["/postrider/{app}", "https://example.com/{app}?x=%20#y", "urn:shop:{app}", "{app}", "a", "//host/", "/a:b"]
        {
            let source = EventSource::parse(text).expect(text);
            assert_eq!((source.to_string().as_str(), source.of(app)), (text, text.replace("{app}", &app.to_string())));
        }
        for text in
            ["a b", "\"", "{uid}", "{app", "ä", "%2", "%zz", "a#b#c", ":a", "1a:b", "a_b:c", "[::1]", "\n", "<>"]
        {
            let problem = EventSource::parse(text).expect_err(text);
            assert!(problem.starts_with("is no URI reference"), "{text}: {problem}");
        }
        for text in [String::new(), "a".repeat(257)] {
            assert_eq!(EventSource::parse(&text), Err("must have 1 to 256 characters".to_owned()));
        }
    }

    #[test]
    fn each_format_is_read_as_it_is_written() {
        for (format, word) in [
            (Format::Payload, "payload"),
            (Format::Standard, "standard"),
            (Format::CloudEventsBinary, "cloudevents-binary"),
            (Format::CloudEventsStructured, "cloudevents-structured"),
        ] {
            assert_eq!(serde_json::to_value(format).expect("a word"), word);
            assert_eq!(serde_json::from_value::<Format>(word.into()).expect("a format"), format);
            assert!(Format::WORDS.contains(&format!("`{word}`")));
        }
    }
}
