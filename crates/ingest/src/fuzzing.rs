//! What must hold of whatever a client writes to the socket. Run by `fuzz/`, and
//! by a test over the corpus there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use postrider_model::id::{OrgId, RawId};
use postrider_model::message::NewMessage;
use serde_json::{Value, json};

use crate::answer::{self, Refusal, code};
use crate::lines::{Line, Lines};
use crate::peer::Access;
use crate::request::{Rules, parse};

const MAX_LINE_BYTES: usize = 4_096;
/// Six bytes for each character of two texts that are cut at 512.
const MAX_ANSWER_BYTES: usize = 8_192;
const RULES: Rules = Rules { org: OrgId(RawId::from_bytes([7; 20])), access: Access::Guest, body_limit_bytes: 1_024 };

/// All that a client writes; its first byte says how large the reads are.
///
/// # Panics
/// The law is broken.
pub fn lines(bytes: &[u8]) {
    let Some((first, written)) = bytes.split_first() else { return };
    let found = cut(written.chunks(usize::from(*first) + 1));
    assert_eq!(found, cut([written].into_iter()), "lines are the same however they are read");
    let mut used = 0;
    for line in found {
        match line {
            Line::Complete(line) => {
                used += line.len() + 1;
                assert!(line.len() <= MAX_LINE_BYTES && !line.contains(&b'\n'));
                answered(&line);
            }
            Line::TooLong => used += MAX_LINE_BYTES + 1,
            Line::Incomplete => used += 1,
        }
    }
    assert!(used <= written.len(), "{used} bytes of lines were written");
}

fn cut<'a>(reads: impl Iterator<Item = &'a [u8]>) -> Vec<Line> {
    let mut lines = Lines::new(MAX_LINE_BYTES);
    let mut found = Vec::new();
    for read in reads {
        lines.spare().extend_from_slice(read);
        found.extend(std::iter::from_fn(|| lines.next()));
    }
    lines.end();
    found.extend(std::iter::from_fn(|| lines.next()));
    found
}

fn answered(line: &Bytes) {
    match parse(line, &RULES) {
        Ok(message) => {
            assert!(message.body.len() <= RULES.body_limit_bytes.min(line.len()));
            assert_eq!(message.org, RULES.org, "a listed user speaks for its own tenant");
            let again = written(&message);
            let read = parse(&again, &RULES).unwrap_or_else(|refusal| panic!("{again:?} is refused: {refusal:?}"));
            assert_eq!(format!("{read:?}"), format!("{message:?}"));
            if let Err(errors) = message.validate() {
                refused(errors.into());
            }
        }
        Err(refusal) => refused(refusal),
    }
}

/// The line that says the same.
fn written(message: &NewMessage) -> Bytes {
    let fields = json!({
        "app": message.app,
        "type": message.event_type,
        "create_app": message.create_app,
        "content_type": message.content_type,
        "key": message.idempotency_key,
        "event_id": message.event_id,
        "order_key": message.order_key,
        "channels": message.channels,
        "org": message.org.to_string(),
    });
    let fields = fields.to_string();
    let fields = fields.strip_suffix('}').expect("an object ends so");
    let body = &message.body;
    match &message.content_type {
        // As it is: to write it anew would change its numbers.
        None => format!(r#"{fields},"payload":{}}}"#, std::str::from_utf8(body).expect("JSON is text")),
        Some(_) => format!(r#"{fields},"payload_base64":"{}"}}"#, STANDARD.encode(body)),
    }
    .into()
}

fn refused(refusal: Refusal) {
    assert!(!refusal.detail.is_empty());
    let of_field = [code::UNKNOWN_FIELD, code::MISSING_FIELD, code::PAYLOAD_TOO_LARGE, code::FORBIDDEN];
    assert!(!of_field.contains(&refusal.code) || refusal.field.is_some(), "the place is named: {refusal:?}");
    let mut out = BytesMut::new();
    answer::write(&mut out, Err(refusal));
    assert!(out.len() <= MAX_ANSWER_BYTES, "an answer of {} bytes", out.len());
    let (end, line) = out.split_last().expect("an answer is a line");
    assert!(*end == b'\n' && !line.contains(&b'\n'));
    let said: Value = serde_json::from_slice(line).expect("an answer is JSON");
    assert!(said.pointer("/error/code").is_some_and(Value::is_string));
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_law_holds_for_the_corpus() {
        postrider_proof::corpus("ingest", super::lines);
    }
}
