//! What must hold of whatever an endpoint answers. Run by `fuzz/`, and by a
//! test over the corpus there.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::retry_after::parse;
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

#[cfg(test)]
mod tests {
    #[test]
    fn the_law_holds_for_the_corpus() {
        postrider_proof::corpus("retry_after", super::retry_after);
    }
}
