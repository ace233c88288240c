//! What must hold of whatever an endpoint answers, and of what a customer gives for one.
//! Run by `fuzz/`, and by a test over the corpus there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::filter::{Filter, MAX_STEPS};
use crate::payload::Payload;
use crate::retry_after::parse;
use crate::schema::{CompareError, Schemas};
use crate::secret::Secret;
use crate::time::UnixMs;

const DAY: Duration = Duration::from_secs(86_400);
/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: UnixMs = UnixMs(784_111_777_000);

/// A `Retry-After` header.
///
/// # Panics
/// The law is broken.
pub fn retry_after(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let asked = parse(text, NOW, DAY);
    assert_eq!(parse(&format!("\t {text} "), NOW, DAY), asked, "spaces around it mean nothing");
    assert_eq!(parse(text, NOW, DAY / 2), asked.map(|wait| wait.min(DAY / 2)), "the maximum only clamps");
    let later = parse(text, NOW + DAY, DAY);
    assert_eq!(later.is_some(), asked.is_some(), "whether it is one does not depend on the time");
    assert!(later <= asked, "a wait does not grow by waiting");
    let Some(wait) = asked else { return };
    let text = text.trim_matches([' ', '\t']);
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = match text.trim_start_matches('0') {
            "" => 0,
            digits => digits.parse().unwrap_or(u64::MAX),
        };
        assert_eq!(wait, Duration::from_secs(seconds).min(DAY));
    } else {
        let date: SystemTime = httpdate::parse_http_date(text).expect("there is no third form");
        let ahead = date.duration_since(UNIX_EPOCH + Duration::from_millis(NOW.as_u64())).unwrap_or_default();
        assert_eq!(wait, ahead.min(DAY));
    }
}

/// A filter in the first line, and behind it a payload.
///
/// # Panics
/// The law is broken.
pub fn filter(bytes: &[u8]) {
    let (text, body) = first_line(bytes);
    let body = body.unwrap_or(b"{}");
    let Ok(text) = std::str::from_utf8(text) else { return };
    let filter = Filter::new(text);
    let payload = Payload::new(body);
    let lets_through = filter.lets_through(&payload);
    if filter.check().is_err() {
        assert!(lets_through, "what is not understood loses nothing");
        return;
    }
    assert!(payload.taken() <= MAX_STEPS);
    let again = Payload::new(body);
    assert_eq!(filter.lets_through(&again), lets_through, "the same comes of the same");
    assert_eq!((again.taken(), again.ran_out()), (payload.taken(), payload.ran_out()));
    let opposite = Filter::new(&format!("!({text})"));
    let said = opposite.lets_through(&again);
    if payload.value().is_none() {
        assert!(!lets_through || payload.is_beyond_filters(), "what is no JSON passes no filter");
    } else if opposite.check().is_ok() && !payload.is_beyond_filters() && !again.ran_out() {
        assert_ne!(said, lets_through, "either a filter lets through or its opposite");
    }
}

/// A schema in the first line, and behind it a payload.
///
/// # Panics
/// The law is broken.
pub fn schema(bytes: &[u8]) {
    let (text, body) = first_line(bytes);
    let Ok(schema) = serde_json::from_slice::<serde_json::Value>(text) else { return };
    let schemas = Schemas::new([("1".to_owned(), schema)].into_iter().collect());
    let payload = Payload::new(body.unwrap_or(b"{}"));
    if schemas.check().is_ok() {
        let compared = schemas.compare(&payload);
        // Which of several differences comes first is a matter of chance where names are gathered in a set.
        assert_eq!(schemas.compare(&payload).is_ok(), compared.is_ok(), "the same comes of the same");
        assert!(compared.is_err() || payload.value().is_some(), "what is no JSON is not what any schema says");
        let said = match compared {
            Err(CompareError::Differs(mismatch)) => mismatch.said,
            _ => String::new(),
        };
        assert!(said.chars().count() < 400, "what is told of it is short");
    }
}

/// What comes before the first line feed, and what comes behind it.
fn first_line(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    (parts.next().unwrap_or_default(), parts.next())
}

/// A signing secret, as a customer gives it and as it is sealed.
///
/// # Panics
/// The law is broken.
pub fn secret(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let read = [Secret::parse(text), Secret::from_stored(text), Secret::from_stored(&format!("text:{text}"))];
    for secret in read.into_iter().flatten() {
        let shown = secret.expose_text();
        match &secret {
            Secret::Text(key) => assert!(text.ends_with(shown.as_str()) && *key.expose_text() == *shown),
            _ => assert_eq!(Secret::parse(&shown).as_ref(), Ok(&secret), "what was read is read again as the same"),
        }
        assert_eq!(
            Secret::from_stored(&secret.to_stored()).as_ref(),
            Ok(&secret),
            "what is sealed is opened as the same"
        );
        assert_eq!(format!("{secret:?}"), "Secret(..)", "it is not printed");
        if let Secret::Pair(_) = &secret {
            assert!(Secret::parse(&secret.receivers_text()).is_err(), "a receiver cannot sign");
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_law_of_filters_holds_for_the_corpus() {
        postrider_proof::corpus("filter", super::filter);
    }

    #[test]
    fn the_law_of_schemas_holds_for_the_corpus() {
        postrider_proof::corpus("schema", super::schema);
    }

    #[test]
    fn the_law_of_secrets_holds_for_the_corpus() {
        postrider_proof::corpus("secret", super::secret);
    }

    #[test]
    fn the_law_holds_for_the_corpus() {
        postrider_proof::corpus("retry_after", super::retry_after);
    }
}
