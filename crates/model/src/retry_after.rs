//! `Retry-After` as RFC 9110, section 10.2.3 has it: whole seconds, or one of
//! the three HTTP date forms. It comes from a stranger, so it is clamped.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::time::UnixMs;

/// How long the endpoint asks to wait from `now`, at most `max`. `None` if the
/// value is none that the standard knows; then it is ignored. A date in the
/// past is a wait of zero.
#[must_use]
pub fn parse(value: &str, now: UnixMs, max: Duration) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a u64 holds are a long wait all the same.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(max));
    }
    let date: SystemTime = httpdate::parse_http_date(value).ok()?;
    let at = UnixMs(0) + date.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(at.since(now).min(max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_secs(86_400);
    /// Sun, 06 Nov 1994 08:49:37 GMT, the date of the standard's examples.
    const EXAMPLE: UnixMs = UnixMs(784_111_777_000);

    #[test]
    fn seconds_and_all_three_date_forms_are_read() {
        let minute_before = EXAMPLE - Duration::from_secs(60);
        for value in [
            "60",
            " 60\t",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse(value, minute_before, DAY), Some(Duration::from_secs(60)), "{value}");
        }
    }

    #[test]
    fn hostile_values_are_ignored_or_clamped() {
        for ignored in ["", "inf", "NaN", "-1", "+5", "1.5", "1e308", "soon", "0x10", "\u{661}"] {
            assert_eq!(parse(ignored, EXAMPLE, DAY), None, "{ignored}");
        }
        for clamped in ["99999999999999999999", "18446744073709551615", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            assert_eq!(parse(clamped, EXAMPLE, DAY), Some(DAY), "{clamped}");
        }
        assert_eq!(parse("Thu, 01 Jan 1970 00:00:00 GMT", EXAMPLE, DAY), Some(Duration::ZERO));
    }

    proptest! {
        #[test]
        fn no_value_panics_or_exceeds_the_maximum(value in ".*", now: u64) {
            if let Some(wait) = parse(&value, UnixMs(now), DAY) {
                prop_assert!(wait <= DAY);
            }
        }
    }
}
