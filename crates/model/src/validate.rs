//! The rules for single values that come from outside. Each gives a sentence
//! that says what is wrong; the caller knows the field.

use std::collections::{BTreeMap, BTreeSet};

use http::Uri;
use url::{Host, Url};

use crate::bounds::{Bounds as _, bounds};
use crate::credentials;
use crate::endpoint::TIMEOUT_RANGE_MS;
use crate::fan_out::WILDCARD;

/// Characters of a name.
pub const MAX_NAME_CHARS: usize = 256;
/// Characters of a description.
pub const MAX_DESCRIPTION_CHARS: usize = 4_096;
/// Characters of a uid.
pub const MAX_UID_CHARS: usize = 256;
/// Characters of an event type.
pub const MAX_EVENT_TYPE_CHARS: usize = 256;
/// Characters of a channel.
pub const MAX_CHANNEL_CHARS: usize = 128;
/// Channels of one message or endpoint.
pub const MAX_CHANNELS: usize = 10;
/// Bytes of an endpoint's URL: what everybody on the way must be able to take
/// (RFC 9110, section 4.1).
pub const MAX_URL_BYTES: usize = 8_000;
/// Headers of an endpoint.
pub const MAX_HEADERS: usize = 32;
/// Bytes of one header name.
pub const MAX_HEADER_NAME_BYTES: usize = 256;
/// Bytes of one header value.
pub const MAX_HEADER_VALUE_BYTES: usize = 4_096;
/// Bytes of an object's metadata, keys and values together.
pub const MAX_METADATA_BYTES: usize = 4_096;
/// Messages per second of a throttle; Svix has it in 16 bits.
pub const MAX_RATE: u32 = 65_535;

bounds! {
    /// A throttle.
    ThrottleRate: 1..=MAX_RATE;
    /// An endpoint's deadline.
    TimeoutMs: TIMEOUT_RANGE_MS;
}

/// Feature flags of an event type.
pub const MAX_FEATURE_FLAGS: usize = 10;
/// Characters of an idempotency key or event id.
pub const MAX_KEY_CHARS: usize = 256;

/// Headers that belong to the request itself; an endpoint may not set them.
const FORBIDDEN_HEADERS: [&str; 24] = [
    "accept-encoding",
    "age",
    "cache-control",
    "clear-site-data",
    "connection",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "pragma",
    "server",
    "set-cookie",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "warning",
];
const FORBIDDEN_HEADER_PREFIXES: [&str; 14] = [
    "webhook-",
    "svix-",
    "x-svix-",
    "content-",
    "proxy-",
    "x-amz-",
    "x-amzn-",
    "x-google",
    "x-goog-",
    "x-gfe",
    "x-azure-",
    "x-fd-",
    "sec-",
    "x-forwarded-",
];

/// What is wrong with a value, as one sentence without the field's name.
pub type Problem = String;

/// The problems of several fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldErrors(pub Vec<FieldError>);

/// The problem of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field as the API spells it.
    pub field: &'static str,
    /// What is wrong.
    pub problem: Problem,
}

impl FieldErrors {
    /// Notes the problem of `field`, if there is one.
    pub fn check(&mut self, field: &'static str, result: Result<(), Problem>) {
        if let Err(problem) = result {
            self.0.push(FieldError { field, problem });
        }
    }

    /// Fine if nothing was noted.
    ///
    /// # Errors
    /// Something was.
    pub fn finish(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl std::fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", error.field, error.problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for FieldErrors {}

fn at_most(text: &str, max_chars: usize) -> Result<(), Problem> {
    match text.chars().count() {
        n if n > max_chars => Err(format!("has {n} characters, at most {max_chars} are allowed")),
        _ => Ok(()),
    }
}

fn identifier(text: &str, max_chars: usize) -> Result<(), Problem> {
    if text.is_empty() {
        return Err("must not be empty".into());
    }
    at_most(text, max_chars)?;
    if matches!(text, "." | "..") {
        return Err("must not be `.` or `..`, which mean something else in a path".into());
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
        Some(c) => Err(format!("contains {c:?}; letters, digits, `-`, `_` and `.` are allowed")),
        None => Ok(()),
    }
}

/// A name for people.
///
/// # Errors
/// It is empty, too long or has control characters.
pub fn name(text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err("must not be empty".into());
    }
    if text.chars().any(char::is_control) {
        return Err("contains a control character".into());
    }
    at_most(text, MAX_NAME_CHARS)
}

/// A description: any text, but not too long.
///
/// # Errors
/// It has more than [`MAX_DESCRIPTION_CHARS`].
pub fn description(text: &str) -> Result<(), Problem> {
    at_most(text, MAX_DESCRIPTION_CHARS)
}

/// A uid; it must not look like an id of the same kind.
///
/// # Errors
/// It is empty, too long, has other characters than `[a-zA-Z0-9\-_.]`, or begins with `prefix`.
pub fn uid(text: Option<&str>, prefix: &str) -> Result<(), Problem> {
    let Some(text) = text else { return Ok(()) };
    identifier(text, MAX_UID_CHARS)?;
    if text.starts_with(prefix) {
        return Err(format!("must not begin with `{prefix}`, which ids begin with"));
    }
    Ok(())
}

/// The version of a schema.
///
/// # Errors
/// It is empty, too long, or has other characters than `[a-zA-Z0-9\-_.]`.
pub fn version(text: &str) -> Result<(), Problem> {
    identifier(text, crate::schema::MAX_VERSION_CHARS)
}

/// An event type, such as `order.paid`.
///
/// # Errors
/// It is empty, too long, has other characters than `[a-zA-Z0-9\-_.]`, or an empty level between dots.
pub fn event_type(text: &str) -> Result<(), Problem> {
    identifier(text, MAX_EVENT_TYPE_CHARS)?;
    if text.split('.').any(str::is_empty) {
        return Err("has an empty part beside a dot".into());
    }
    Ok(())
}

/// An event type or nothing.
///
/// # Errors
/// As [`event_type`].
pub fn optional_event_type(text: Option<&str>) -> Result<(), Problem> {
    text.map_or(Ok(()), event_type)
}

/// The feature flags of an event type.
///
/// # Errors
/// There are too many, or one has another form than an event type.
pub fn feature_flags(flags: &BTreeSet<String>) -> Result<(), Problem> {
    if flags.len() > MAX_FEATURE_FLAGS {
        return Err(format!("has {} members, at most {MAX_FEATURE_FLAGS} are allowed", flags.len()));
    }
    flags.iter().try_for_each(|flag| event_type(flag).map_err(|problem| format!("`{flag}` {problem}")))
}

/// The event types that an endpoint gets: `None` for all, or at least one, which may
/// end with [`WILDCARD`].
///
/// # Errors
/// The list is empty, or one of its members is no event type.
pub fn event_type_filter(types: Option<&BTreeSet<String>>) -> Result<(), Problem> {
    let Some(types) = types else { return Ok(()) };
    if types.is_empty() {
        return Err("must not be an empty list; leave it out to get every event type".into());
    }
    types.iter().try_for_each(|name| listed_type(name).map_err(|problem| format!("`{name}` {problem}")))
}

fn listed_type(name: &str) -> Result<(), Problem> {
    let exact = name.strip_suffix(WILDCARD).unwrap_or(name);
    if exact.contains('*') {
        return Err("has a `*` that is not its last level; `order.*` stands for all that begin with `order.`".into());
    }
    at_most(name, MAX_EVENT_TYPE_CHARS)?;
    event_type(exact)
}

/// Channels of an endpoint or a message.
///
/// # Errors
/// The list is empty or too long, or a member has a wrong form.
pub fn channels(channels: Option<&BTreeSet<String>>) -> Result<(), Problem> {
    let Some(channels) = channels else { return Ok(()) };
    if channels.is_empty() || channels.len() > MAX_CHANNELS {
        return Err(format!("has {} members, 1 to {MAX_CHANNELS} are allowed", channels.len()));
    }
    channels.iter().try_for_each(|name| {
        let text_problem = |problem| format!("`{name}` {problem}");
        match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'))) {
            Some(c) => Err(format!("`{name}` contains {c:?}")),
            None if name.is_empty() => Err("has an empty member".into()),
            None => at_most(name, MAX_CHANNEL_CHARS).map_err(text_problem),
        }
    })
}

/// An idempotency key, event id or order key.
///
/// # Errors
/// It is empty, too long or has control characters.
pub fn key(text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err("must not be empty".into());
    }
    if text.chars().any(char::is_control) {
        return Err("contains a control character".into());
    }
    at_most(text, MAX_KEY_CHARS)
}

/// Messages per second.
///
/// # Errors
/// It is zero or above [`MAX_RATE`].
pub fn rate(per_second: Option<u32>) -> Result<(), Problem> {
    per_second.map_or(Ok(()), ThrottleRate::check)
}

/// An endpoint's deadline.
///
/// # Errors
/// It lies outside of [`TIMEOUT_RANGE_MS`].
pub fn timeout_ms(timeout_ms: Option<u32>) -> Result<(), Problem> {
    timeout_ms.map_or(Ok(()), TimeoutMs::check)
}

/// Metadata: any texts, but not too many bytes.
///
/// # Errors
/// Keys and values together have more than [`MAX_METADATA_BYTES`].
pub fn metadata(metadata: &BTreeMap<String, String>) -> Result<(), Problem> {
    match metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() {
        n if n > MAX_METADATA_BYTES => Err(format!("has {n} bytes, at most {MAX_METADATA_BYTES} are allowed")),
        _ => Ok(()),
    }
}

/// The URL of an endpoint: `http` or `https`, with a host. Whether its address
/// may be reached is the guard's decision, made again at each attempt.
///
/// # Errors
/// It is no such URL or cannot be asked for, is too long, has a fragment or the port 0, or the mask of [`credentials`].
pub fn endpoint_url(text: &str) -> Result<Url, Problem> {
    if text.len() > MAX_URL_BYTES {
        return Err(format!("has {} bytes, at most {MAX_URL_BYTES} are allowed", text.len()));
    }
    // The parser would drop these in silence.
    if text.chars().any(|c| c.is_control() || c == ' ' || c == '\\') {
        return Err("contains a space, a backslash or a control character".into());
    }
    let after_scheme = ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = text.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    match after_scheme {
        None => return Err("must begin with `https://` or `http://`".into()),
        // The parser would take what follows the slashes for the host.
        Some(rest) if rest.starts_with('/') => return Err("has no host".into()),
        Some(_) => {}
    }
    let url = Url::parse(text).map_err(|error| format!("is no valid URL: {error}"))?;
    match url.host() {
        None => return Err("has no host".into()),
        Some(Host::Domain(name)) if name.trim_end_matches('.').is_empty() => return Err("has no host".into()),
        Some(_) => {}
    }
    if credentials::is_masked(&url) {
        return Err(format!(
            "has `{}` in the place of user name and password, which are not shown: for another scheme, host or port, \
             proxy or `tls.ca` give them anew",
            credentials::MASK
        ));
    }
    if url.port() == Some(0) {
        return Err("has the port 0, to which nothing can connect".into());
    }
    if url.fragment().is_some() {
        return Err("has a fragment, which is never sent".into());
    }
    // The parser of URLs lets characters into a host that no request can name.
    if let Err(error) = credentials::without(&url).as_str().parse::<Uri>() {
        return Err(format!("cannot be asked for: {error}"));
    }
    Ok(url)
}

/// The headers that an endpoint adds to each request.
///
/// # Errors
/// There are too many, two names differ only in case, a name is too long, is no
/// token or belongs to the request itself, or a value is too long or has
/// characters that no header may carry.
pub fn headers(headers: &BTreeMap<String, String>) -> Result<(), Problem> {
    if headers.len() > MAX_HEADERS {
        return Err(format!("has {} members, at most {MAX_HEADERS} are allowed", headers.len()));
    }
    let mut seen = BTreeSet::new();
    headers.iter().try_for_each(|(name, value)| {
        header(name, value)?;
        // Names of headers are the same in whatever case (RFC 9110, section 5.1).
        if seen.insert(name.to_ascii_lowercase()) { Ok(()) } else { Err(format!("`{name}` is given twice")) }
    })
}

/// The name of a header that an endpoint adds.
///
/// # Errors
/// It is too long, no token, or belongs to the request itself.
pub(crate) fn header_name(name: &str) -> Result<(), Problem> {
    if name.len() > MAX_HEADER_NAME_BYTES {
        return Err(format!("a name has {} bytes, at most {MAX_HEADER_NAME_BYTES} are allowed", name.len()));
    }
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        return Err(format!("{name:?} is no header name"));
    }
    let lower = name.to_ascii_lowercase();
    let forbidden = FORBIDDEN_HEADERS.contains(&lower.as_str())
        || FORBIDDEN_HEADER_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
    if forbidden {
        return Err(format!("`{name}` must not be set by an endpoint"));
    }
    Ok(())
}

fn header(name: &str, value: &str) -> Result<(), Problem> {
    header_name(name)?;
    if value == credentials::MASK && credentials::is_in_header(name) {
        return Err(format!(
            "the value of `{name}` is not shown and goes to no other scheme, host or port, by no other proxy and \
             under no other `tls.ca` by itself: give `headers` anew, or remove it before"
        ));
    }
    if value.len() > MAX_HEADER_VALUE_BYTES {
        return Err(format!(
            "the value of `{name}` has {} bytes, at most {MAX_HEADER_VALUE_BYTES} are allowed",
            value.len()
        ));
    }
    if !value.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(format!("the value of `{name}` has characters other than printable ASCII"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
