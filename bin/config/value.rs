//! The types of configuration values: how each is read from a TOML file or
//! from text, and how it is shown.

use std::net::{IpAddr, SocketAddr};
use std::num::IntErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use postrider_model::format::EventSource;
use postrider_model::id::OrgId;
use toml::de::DeValue;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

const DAY_SECS: u64 = 86_400;

/// A value as it was given, not yet read.
#[derive(Clone, Copy)]
pub(crate) enum Raw<'a> {
    /// From the environment or a flag. Lists are separated by commas.
    Text(&'a str),
    /// From a file, where the types must fit.
    Toml(&'a DeValue<'a>),
}

/// What can stand behind a key.
pub(crate) trait Value: Sized {
    /// The type in words, for the documentation and for errors.
    const TYPE: &'static str;
    /// A TOML file has it as a string.
    const IS_TEXT: bool = true;
    /// It is never shown.
    const SECRET: bool = false;

    /// Reads it.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without the key's name; never the value of a secret.
    fn read(raw: Raw<'_>) -> Result<Self, String>;

    /// As it would stand in a TOML file; `None` if it is not set.
    fn show(&self) -> Option<String>;

    /// The number that bounds apply to, if it is one.
    fn number(&self) -> Option<u64> {
        None
    }
}

impl<'a> Raw<'a> {
    pub(super) fn mismatch<T: Value>(self) -> String {
        match self {
            Self::Text(text) if !T::SECRET => format!("must be {}, not `{text}`", T::TYPE),
            Self::Text(_) => format!("must be {}", T::TYPE),
            Self::Toml(DeValue::String(_)) if T::SECRET => format!("must be {}", T::TYPE),
            // Another string would do.
            Self::Toml(DeValue::String(text)) if T::IS_TEXT => format!("must be {}, not `{text}`", T::TYPE),
            Self::Toml(value) => format!("must be {}, not a TOML {}", T::TYPE, value.type_str()),
        }
    }

    pub(super) fn text<T: Value>(self) -> Result<&'a str, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Toml(DeValue::String(text)) => Ok(text),
            Self::Toml(_) => Err(self.mismatch::<T>()),
        }
    }

    pub(super) fn number<T: Value>(self) -> Result<u64, String> {
        match self {
            Self::Text(text) => whole(&text.replace('_', ""), 10),
            Self::Toml(DeValue::Integer(integer)) => whole(integer.as_str(), integer.radix()),
            Self::Toml(_) => Err(None),
        }
        .map_err(|known| known.map_or_else(|| self.mismatch::<T>(), str::to_owned))
    }

    pub(super) fn list<T: Value, M>(self, read: impl Fn(Raw<'_>) -> Result<M, String>) -> Result<Vec<M>, String> {
        let members: Vec<Raw<'_>> = match self {
            Self::Text(text) if text.trim().is_empty() => vec![],
            Self::Text(text) => text.split(',').map(|member| Raw::Text(member.trim())).collect(),
            Self::Toml(DeValue::Array(members)) => members.iter().map(|member| Raw::Toml(member.get_ref())).collect(),
            Self::Toml(_) => return Err(self.mismatch::<T>()),
        };
        let (mut good, mut bad) = (vec![], vec![]);
        for (member, number) in members.into_iter().zip(1..) {
            match read(member) {
                Ok(member) => good.push(member),
                Err(what) => bad.push(format!("member {number} {what}")),
            }
        }
        if bad.is_empty() { Ok(good) } else { Err(bad.join("; ")) }
    }
}

/// Reads a whole number; says what is wrong if that is more than its form.
fn whole(digits: &str, radix: u32) -> Result<u64, Option<&'static str>> {
    u64::from_str_radix(digits, radix).map_err(|error| match (error.kind(), digits.strip_prefix('-')) {
        (IntErrorKind::PosOverflow, _) => Some("is too large"),
        (_, Some(rest)) if !rest.is_empty() && rest.chars().all(|digit| digit.is_digit(radix)) => {
            Some("must not be negative")
        }
        _ => None,
    })
}

/// A text as TOML writes it.
pub(crate) fn quoted(text: &str) -> String {
    // JSON's escapes are a subset of those of TOML's basic strings.
    serde_json::Value::from(text).to_string()
}

pub(super) fn quoted_list<T: ToString>(members: impl IntoIterator<Item = T>) -> Option<String> {
    let members: Vec<_> = members.into_iter().map(|member| quoted(&member.to_string())).collect();
    Some(format!("[{}]", members.join(", ")))
}

pub(super) fn number_list(numbers: impl IntoIterator<Item = u64>) -> Option<String> {
    let numbers: Vec<_> = numbers.into_iter().map(|number| number.to_string()).collect();
    Some(format!("[{}]", numbers.join(", ")))
}

impl Value for u64 {
    const IS_TEXT: bool = false;
    const TYPE: &'static str = "a whole number";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        raw.number::<Self>()
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }

    fn number(&self) -> Option<u64> {
        Some(*self)
    }
}

impl Value for bool {
    const IS_TEXT: bool = false;
    const TYPE: &'static str = "`true` or `false`";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        match raw {
            Raw::Toml(DeValue::Boolean(value)) => Ok(*value),
            Raw::Text("true") => Ok(true),
            Raw::Text("false") => Ok(false),
            _ => Err(raw.mismatch::<Self>()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for SocketAddr {
    const TYPE: &'static str = "an address and a port, such as `127.0.0.1:8071`";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        raw.text::<Self>()?.parse().map_err(|_| raw.mismatch::<Self>())
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Value for PathBuf {
    const TYPE: &'static str = "a path";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        match raw.text::<Self>()? {
            "" => Err("must not be empty".into()),
            text => Ok(text.into()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string_lossy()))
    }
}

impl Value for String {
    const TYPE: &'static str = "a text";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        match raw.text::<Self>()? {
            "" => Err("must not be empty".into()),
            text => Ok(text.into()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quoted(self))
    }
}

/// A value that need not be set.
impl<T: Value> Value for Option<T> {
    const TYPE: &'static str = T::TYPE;
    const IS_TEXT: bool = T::IS_TEXT;
    const SECRET: bool = T::SECRET;

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        T::read(raw).map(Some)
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }

    fn number(&self) -> Option<u64> {
        self.as_ref().and_then(T::number)
    }
}

impl Value for EventSource {
    const TYPE: &'static str = "a URI reference, such as `/postrider/{app}`";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        let text = raw.text::<Self>()?;
        Self::parse(text).map_err(|problem| format!("`{text}` {problem}"))
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Value for OrgId {
    const TYPE: &'static str = "an organisation's id, `org_` and 27 characters";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        raw.text::<Self>()?.parse().map_err(|_| raw.mismatch::<Self>())
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Value for Vec<IpNet> {
    const IS_TEXT: bool = false;
    const TYPE: &'static str = "a list of networks, such as `10.1.0.0/16` or `::1`";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        raw.list::<Self, _>(|member| {
            let text = member.text::<String>()?;
            let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| format!("is `{text}`, which is no network such as `10.1.0.0/16`"))
        })
    }

    fn show(&self) -> Option<String> {
        quoted_list(self)
    }
}

impl Value for Vec<u32> {
    const IS_TEXT: bool = false;
    const TYPE: &'static str = "a list of user ids";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        raw.list::<Self, _>(|member| u32::try_from(member.number::<u64>()?).map_err(|_| "has more than 32 bits".into()))
    }

    fn show(&self) -> Option<String> {
        number_list(self.iter().copied().map(u64::from))
    }
}

/// A length of time, written with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    /// Days of 24 hours.
    pub(super) const fn days(days: u64) -> Self {
        Self(Duration::from_secs(days * DAY_SECS))
    }
}

/// Reads a length of time such as `30d`, `12h` or `1h 30m`; a day has 24 hours.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = |_: jiff::Error| "is no length of time such as `30d`, `12h` or `90s`".to_owned();
    let span: jiff::Span = text.parse().map_err(wrong)?;
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(wrong)?;
    Duration::try_from(length).map_err(|_| "is negative".to_owned())
}

impl Value for Span {
    const TYPE: &'static str = "a length of time, such as `7d`, `12h` or `90s`";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        duration(raw.text::<Self>()?).map(Self).map_err(|_| raw.mismatch::<Self>())
    }

    fn show(&self) -> Option<String> {
        let seconds = self.0.as_secs();
        let units = [(DAY_SECS, "d"), (3_600, "h"), (60, "m")];
        let whole = units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
        let (unit, name) = whole.unwrap_or((1, "s"));
        Some(format!("\"{}{name}\"", seconds / unit))
    }

    /// In seconds.
    fn number(&self) -> Option<u64> {
        Some(self.0.as_secs())
    }
}

/// The mode of a socket file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode(pub(crate) u32);

impl Value for Mode {
    const TYPE: &'static str = "a file mode in octal, such as `\"0660\"`";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        let text = raw.text::<Self>()?;
        let octal = text.strip_prefix("0o").unwrap_or(text);
        let mode = u32::from_str_radix(octal, 8).map_err(|_| raw.mismatch::<Self>())?;
        if mode > 0o777 || mode & 0o600 != 0o600 {
            return Err(format!("`{text}` must let the owner read and write, and set nothing but permissions"));
        }
        Ok(Self(mode))
    }

    fn show(&self) -> Option<String> {
        Some(format!("\"{:04o}\"", self.0))
    }
}

/// Which log lines are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogLevel(pub(crate) String);

impl Value for LogLevel {
    const TYPE: &'static str =
        "a level (`error`, `warn`, `info`, `debug`, `trace`) or a filter such as `info,postrider_scheduler=debug`";

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        let text = raw.text::<Self>()?;
        match EnvFilter::builder().parse(text) {
            Ok(_) if !text.trim().is_empty() && !names_no_level(text) => Ok(Self(text.to_owned())),
            _ => Err(raw.mismatch::<Self>()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// Whether a word stands alone that is no level, such as `warning`. It would be a target, of which
/// there are no lines, and those of all others would be left out.
fn names_no_level(filter: &str) -> bool {
    let is_word = |part: &&str| !part.is_empty() && !part.contains(['=', '[', ']', '{', '}', ':']);
    filter.split(',').map(str::trim).filter(is_word).any(|word| word.parse::<LevelFilter>().is_err())
}
