//! A status code, or a class of them, as in `404` and `4xx`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Answers that a policy speaks of: `404`, or `4xx` for every code from 400 to 499.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "String")]
pub enum StatusPattern {
    /// This code.
    Code(u16),
    /// All codes of this hundred.
    Class(u16),
}

/// A text that is no pattern of final answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no answer that can be final: a code such as `404` or a class such as `4xx`, from 300 to 599, but not 410, 429, 502, 503 and 504"
)]
pub struct InvalidPattern(String);

impl StatusPattern {
    /// Whether an answer with this code is meant.
    #[must_use]
    pub const fn matches(self, status: u16) -> bool {
        match self {
            Self::Code(code) => code == status,
            Self::Class(class) => class == status / 100,
        }
    }
}

impl FromStr for StatusPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = || InvalidPattern(text.chars().take(16).collect());
        if let Some(class) = text.strip_suffix("xx") {
            let class = class.parse().ok().filter(|class| (3..=5).contains(class) && text.len() == 3);
            return class.map(Self::Class).ok_or_else(invalid);
        }
        let code = text.parse().ok().filter(|code| (300..600).contains(code) && text.len() == 3);
        // 410 disables the endpoint, and its deliveries wait; the others say that it
        // has too much to do at present.
        code.filter(|code| !matches!(code, 410 | 429 | 502..=504)).map(Self::Code).ok_or_else(invalid)
    }
}

impl fmt::Display for StatusPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{code}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

/// A code may be a number, too.
impl TryFrom<Value> for StatusPattern {
    type Error = InvalidPattern;

    fn try_from(value: Value) -> Result<Self, InvalidPattern> {
        match value {
            Value::String(text) => text.parse(),
            other => other.to_string().parse(),
        }
    }
}

impl From<StatusPattern> for String {
    fn from(pattern: StatusPattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_classes_are_read_and_written() {
        for text in ["300", "404", "599", "3xx", "4xx", "5xx"] {
            assert_eq!(text.parse::<StatusPattern>().map(|pattern| pattern.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "200", "2xx", "410", "429", "503", "600", "+404", "4x", "4xxx", "xx", "6xx", "40é"] {
            assert!(text.parse::<StatusPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_code_may_be_a_number_and_is_written_as_text() {
        let read = |text: &str| serde_json::from_str::<StatusPattern>(text);
        assert_eq!(read("404").expect("a code"), StatusPattern::Code(404));
        assert_eq!(serde_json::to_string(&read("404").expect("a code")).expect("it can be written"), "\"404\"");
        for wrong in ["200", "410", "4e2", "404.0", "null", "[404]", "-404"] {
            assert!(read(wrong).expect_err(wrong).to_string().contains("from 300 to 599"), "{wrong}");
        }
    }

    #[test]
    fn a_class_means_its_hundred() {
        let class: StatusPattern = "4xx".parse().expect("a class");
        assert!(class.matches(400) && class.matches(499) && !class.matches(399) && !class.matches(500));
        let code: StatusPattern = "404".parse().expect("a code");
        assert!(code.matches(404) && !code.matches(400));
    }
}
