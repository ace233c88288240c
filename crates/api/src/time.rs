//! Times as the API spells them: RFC 3339, UTC, with milliseconds.

use std::sync::Arc;

use jiff::Timestamp;
use postrider_model::time::UnixMs;

const NANOS_PER_MS: i128 = 1_000_000;

/// A time for an answer. What lies beyond year 9999 is shown as its last moment.
pub(crate) fn text(at: UnixMs) -> String {
    let ms = i64::try_from(at.as_u64()).unwrap_or(i64::MAX);
    let timestamp = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    format!("{timestamp:.3}")
}

/// Texts of times that are mostly the same one after the other.
#[derive(Default)]
pub(crate) struct Texts(Option<(UnixMs, Arc<str>)>);

impl Texts {
    /// As [`text`].
    pub(crate) fn of(&mut self, at: UnixMs) -> Arc<str> {
        match &self.0 {
            Some((last, text)) if *last == at => Arc::clone(text),
            _ => Arc::clone(&self.0.insert((at, text(at).into())).1),
        }
    }
}

/// The bound of a filter "before this time, exclusive". Our times are whole
/// milliseconds, so a bound between two of them is rounded up.
pub(crate) fn parse_before(text: &str) -> Option<UnixMs> {
    let nanos = text.parse::<Timestamp>().ok()?.as_nanosecond();
    Some(UnixMs(u64::try_from((nanos + NANOS_PER_MS - 1).div_euclid(NANOS_PER_MS)).unwrap_or(0)))
}

/// The bound of a filter "after this time, exclusive"; rounded down.
pub(crate) fn parse_after(text: &str) -> Option<UnixMs> {
    let nanos = text.parse::<Timestamp>().ok()?.as_nanosecond();
    Some(UnixMs(u64::try_from(nanos.div_euclid(NANOS_PER_MS)).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds_and_z() {
        assert_eq!(text(UnixMs(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(UnixMs(1_800_000_000_007)), "2027-01-15T08:00:00.007Z");
        assert!(text(UnixMs(u64::MAX)).starts_with("9999-"));
    }

    #[test]
    fn each_time_has_its_own_text_in_whatever_order_they_come() {
        let mut texts = Texts::default();
        for ms in [7, 7, 8, 7, 0, 8, 8] {
            assert_eq!(*texts.of(UnixMs(ms)), *text(UnixMs(ms)));
        }
    }

    #[test]
    fn bounds_are_exact_to_the_millisecond() {
        assert_eq!(parse_before("2027-01-15T08:00:00.007Z"), Some(UnixMs(1_800_000_000_007)));
        assert_eq!(parse_before("2027-01-15T08:00:00.0070001Z"), Some(UnixMs(1_800_000_000_008)));
        assert_eq!(parse_after("2027-01-15T09:00:00.0079+01:00"), Some(UnixMs(1_800_000_000_007)));
        assert_eq!(parse_before("1960-01-01T00:00:00Z"), Some(UnixMs(0)));
        for text in ["", "now", "2027-01-15", "2027-01-15T08:00:00", "2027-13-15T08:00:00Z"] {
            assert_eq!(parse_before(text), None, "{text}");
            assert_eq!(parse_after(text), None, "{text}");
        }
    }
}
