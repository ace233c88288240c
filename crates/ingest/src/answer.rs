//! Answers and how they are written.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use postrider_model::message::Accepted;
use postrider_model::ports::{AcceptError, Unavailable};
use postrider_model::validate::FieldErrors;
use serde::Serialize;

/// Characters of a refusal's texts. They may repeat what the client sent, and
/// answers are bounded.
const MAX_TEXT_CHARS: usize = 512;

/// The codes of refusals that arise here; those of
/// [`Unavailable::code`] come besides.
pub(crate) mod code {
    pub(crate) const INVALID_JSON: &str = "invalid_json";
    pub(crate) const UNKNOWN_FIELD: &str = "unknown_field";
    pub(crate) const MISSING_FIELD: &str = "missing_field";
    pub(crate) const INVALID_FIELD: &str = "invalid_field";
    pub(crate) const LINE_TOO_LONG: &str = "line_too_long";
    pub(crate) const INCOMPLETE_LINE: &str = "incomplete_line";
    pub(crate) const PAYLOAD_TOO_LARGE: &str = "payload_too_large";
    pub(crate) const SCHEMA_MISMATCH: &str = "schema_mismatch";
    pub(crate) const UNKNOWN_APPLICATION: &str = "unknown_application";
    pub(crate) const EVENT_ID_TAKEN: &str = "event_id_taken";
    pub(crate) const IDEMPOTENCY_KEY_REUSED: &str = "idempotency_key_reused";
    pub(crate) const FORBIDDEN: &str = "forbidden";
    pub(crate) const TOO_MANY_CONNECTIONS: &str = "too_many_connections";
}

/// Why a line, or a connection, is refused. Nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_ms: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: shortened(detail.into()), field: None, retry_after_ms: None }
    }

    pub(crate) fn of_field(code: &'static str, field: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        let field = match field.into() {
            Cow::Owned(name) => Cow::Owned(shortened(name)),
            name @ Cow::Borrowed(_) => name,
        };
        Self { field: Some(field), ..Self::new(code, detail) }
    }

    pub(crate) fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after_ms: Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)), ..self }
    }
}

impl From<AcceptError> for Refusal {
    fn from(error: AcceptError) -> Self {
        let detail = error.to_string();
        match error {
            AcceptError::UnknownApplication => Self::of_field(code::UNKNOWN_APPLICATION, "app", detail),
            // No line names an endpoint, so no line is refused for one.
            AcceptError::UnknownEndpoint => Self::new(code::INVALID_FIELD, detail),
            AcceptError::Invalid(errors) => errors.into(),
            AcceptError::Mismatch(_) => Self::of_field(code::SCHEMA_MISMATCH, "payload", detail),
            AcceptError::TooLarge { .. } => Self::of_field(code::PAYLOAD_TOO_LARGE, "payload", detail),
            AcceptError::EventIdTaken { .. } => Self::of_field(code::EVENT_ID_TAKEN, "event_id", detail),
            AcceptError::KeyReused => Self::of_field(code::IDEMPOTENCY_KEY_REUSED, "key", detail),
            AcceptError::Unavailable(unavailable) => unavailable.into(),
        }
    }
}

impl From<Unavailable> for Refusal {
    fn from(unavailable: Unavailable) -> Self {
        Self::new(unavailable.code(), unavailable.to_string()).retry_after(unavailable.retry_after())
    }
}

impl From<FieldErrors> for Refusal {
    fn from(FieldErrors(errors): FieldErrors) -> Self {
        match errors.as_slice() {
            [error] => Self::of_field(code::INVALID_FIELD, name_here(error.field), error.problem.clone()),
            errors => {
                let lines: Vec<_> = errors.iter().map(|e| format!("{}: {}", name_here(e.field), e.problem)).collect();
                Self::new(code::INVALID_FIELD, lines.join("; "))
            }
        }
    }
}

/// The message's fields have the HTTP API's names; the socket has shorter ones.
fn name_here(field: &'static str) -> &'static str {
    match field {
        "eventType" => "type",
        "eventId" => "event_id",
        "idempotency_key" => "key",
        same => same,
    }
}

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Appends the answer to one line.
pub(crate) fn write(out: &mut BytesMut, answer: Result<Accepted, Refusal>) {
    let written = match answer {
        Ok(Accepted { id, duplicate: false, .. }) => writeln!(out, r#"{{"id":"{id}"}}"#).is_ok(),
        Ok(Accepted { id, duplicate: true, .. }) => writeln!(out, r#"{{"id":"{id}","duplicate":true}}"#).is_ok(),
        Err(refusal) => {
            metrics::counter!("postrider_ingest_refused_total", "code" => refusal.code).increment(1);
            #[derive(Serialize)]
            struct Error {
                error: Refusal,
            }
            let written = serde_json::to_writer(out.writer(), &Error { error: refusal }).is_ok();
            out.put_u8(b'\n');
            written
        }
    };
    debug_assert!(written, "a buffer in memory takes every byte");
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_model::id::{MessageId, RawId};
    use postrider_model::schema::Mismatch;
    use postrider_model::time::UnixMs;
    use postrider_model::validate::FieldError;

    fn written(answer: Result<Accepted, Refusal>) -> String {
        let mut out = BytesMut::new();
        write(&mut out, answer);
        String::from_utf8(out.to_vec()).expect("answers are UTF-8")
    }

    fn message_id() -> MessageId {
        MessageId(RawId::from_bytes([0; 20]))
    }

    #[test]
    fn answers_have_the_documented_form() {
        let accepted = Accepted { id: message_id(), at: UnixMs(1), deliveries: 1, duplicate: false };
        let id = message_id().to_string();
        assert_eq!(written(Ok(accepted.clone())), format!("{{\"id\":\"{id}\"}}\n"));
        let again = Accepted { duplicate: true, ..accepted };
        assert_eq!(written(Ok(again)), format!("{{\"id\":\"{id}\",\"duplicate\":true}}\n"));
        assert_eq!(
            written(Err(AcceptError::UnknownApplication.into())),
            "{\"error\":{\"code\":\"unknown_application\",\"detail\":\"application not found\",\"field\":\"app\"}}\n"
        );
        let overloaded = Unavailable::Overloaded { retry_after: Duration::from_millis(1_500) };
        assert_eq!(
            written(Err(AcceptError::from(overloaded).into())),
            "{\"error\":{\"code\":\"overloaded\",\"detail\":\"overloaded\",\"retry_after_ms\":1500}}\n"
        );
    }

    #[test]
    fn fields_are_named_as_the_line_names_them() {
        let wrong = |field| FieldError { field, problem: "is wrong".into() };
        let one = Refusal::from(FieldErrors(vec![wrong("eventType")]));
        assert_eq!((one.code, one.field.as_deref()), ("invalid_field", Some("type")));
        let two = Refusal::from(FieldErrors(vec![wrong("eventId"), wrong("idempotency_key")]));
        assert_eq!((two.detail.as_str(), two.field), ("event_id: is wrong; key: is wrong", None));
    }

    #[test]
    fn texts_that_repeat_the_client_are_shortened() {
        let long = "ö".repeat(100_000);
        let refusal = Refusal::of_field(code::UNKNOWN_FIELD, long.clone(), long);
        assert!(written(Err(refusal)).len() < 5 * MAX_TEXT_CHARS);
    }

    #[test]
    fn every_code_is_documented() {
        let text = include_str!("lib.rs");
        let everywhere = [
            AcceptError::UnknownApplication,
            FieldErrors::default().into(),
            AcceptError::Mismatch(Mismatch { pointer: String::new(), rule: String::new(), said: String::new() }),
            AcceptError::TooLarge { bytes: 2, limit_bytes: 1 },
            AcceptError::EventIdTaken { existing: message_id() },
            AcceptError::KeyReused,
            Unavailable::Overloaded { retry_after: Duration::ZERO }.into(),
            Unavailable::TooManyPending { limit: 1 }.into(),
            Unavailable::DiskFull.into(),
            Unavailable::IndexRebuilding { percent: 1 }.into(),
            Unavailable::Stopping.into(),
        ];
        let here = [
            code::INVALID_JSON,
            code::UNKNOWN_FIELD,
            code::MISSING_FIELD,
            code::LINE_TOO_LONG,
            code::INCOMPLETE_LINE,
            code::FORBIDDEN,
            code::TOO_MANY_CONNECTIONS,
        ];
        for code in everywhere.map(|error| Refusal::from(error).code).into_iter().chain(here) {
            assert!(text.contains(&format!("//! | `{code}` |")), "{code}");
        }
    }
}
