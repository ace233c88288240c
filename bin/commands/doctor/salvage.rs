//! `postrider doctor --salvage`: a new directory out of a damaged one, and what is missing in it.

use std::path::Path;

use postrider_model::time::UnixMs;
use postrider_outbox::journal::{DamageKind, FrameSeen};
use postrider_outbox::{LostMessage, LostRecord, Missing, Salvaged, WhatIsKnown};
use serde_json::{Value, json};

use crate::config::Config;
use crate::exit::Failure;
use crate::output::{Output, card, field, printable};
use crate::progress::Progress;
use crate::wiring::{self, SALVAGE_LIST};

/// Does it, and says what is missing.
///
/// # Errors
/// A server works on the directory, there is no store in it, the new one is not free, or the file system fails.
pub(super) fn salvage(config: &Config, to: &Path, output: Output) -> Result<(), Failure> {
    let mut progress = Progress::start(output, "segments copied and read");
    let from = config.data_dir.display().to_string();
    let list = |salvaged: &Salvaged| {
        let lines = lines(salvaged, &from, to);
        lines.iter().map(|line| format!("{line}\n")).collect::<String>()
    };
    let salvaged = wiring::salvage(config, to, &mut |done, of| progress.set(done as u64, of as u64), &list);
    progress.end();
    let salvaged = salvaged?;
    if output.json {
        output.text(list(&salvaged))?;
    } else {
        output.text(show(&lines(&salvaged, &from, to)))?;
    }
    output.note(format!("{from} is as it was; what is missing stands in {}", to.join(SALVAGE_LIST).display()));
    output.note(advice(&salvaged, to));
    Ok(())
}

/// What to do next.
fn advice(salvaged: &Salvaged, to: &Path) -> String {
    let mut advice = String::new();
    let is_covered = salvaged.missing.iter().all(|missing| missing.is_covered);
    if salvaged.checkpoint.is_some() || !is_covered {
        advice += "next: compare applications and endpoints with your own records, since some may be gone: ";
        advice += "`postrider serve --paused` starts without sending anything\n";
    } else {
        advice += "next: start a server on it\n";
    }
    if salvaged.payloads_lost > 0 {
        advice += "next: `postrider dead-letter list` shows what was lost on its way, as payload_damaged\n";
    }
    if !salvaged.missing.is_empty() {
        advice += "next: what was recorded in the missing parts as delivered is perhaps delivered once more\n";
    }
    let dir = printable(&to.display().to_string());
    advice + &format!("next: `postrider serve --data-dir {dir}`, or give it the old one's name; then look at the disk")
}

/// The list: a header, what is missing, what is lost by it, and a summary.
fn lines(salvaged: &Salvaged, from: &str, to: &Path) -> Vec<Value> {
    let mut lines = vec![json!({
        "kind": "salvage", "format": 1, "postrider": env!("CARGO_PKG_VERSION"), "from": from, "to": to.display().to_string(),
    })];
    lines.extend(salvaged.checkpoint.as_ref().map(|found| {
        json!({
            "kind": "checkpoint", "damage": found.damage, "configurationSaved": found.configuration_saved,
            "applications": found.applications, "endpoints": found.endpoints,
        })
    }));
    lines.extend(salvaged.unread.iter().map(|unread| {
        json!({ "kind": "unread", "file": unread.path.display().to_string(), "from": unread.from, "to": unread.to })
    }));
    lines.extend(salvaged.missing.iter().map(missing));
    lines.extend(salvaged.messages.iter().map(message));
    lines.extend(salvaged.endpoints.iter().map(|endpoint| {
        json!({ "kind": "endpoint", "endpointId": endpoint.id.to_string(), "appId": endpoint.app.to_string() })
    }));
    lines.push(json!({
        "kind": "summary", "records": salvaged.records, "missing": salvaged.missing.len(),
        "messagesLost": salvaged.messages.len(), "payloadsLost": salvaged.payloads_lost,
        "deliveriesLost": salvaged.deliveries_lost, "endpointsUnknown": salvaged.endpoints.len(),
        "tornBytes": salvaged.torn_bytes,
    }));
    lines
}

fn missing(missing: &Missing) -> Value {
    let what = match missing.what {
        DamageKind::SegmentHeader => "segment_header_damaged",
        DamageKind::Frames => "frames_damaged",
        DamageKind::MissingFrames => "frames_missing",
        DamageKind::MissingSegment => "segment_missing",
    };
    json!({
        "kind": "missing", "segment": missing.segment, "file": format!("segment-{:010}.journal", missing.segment),
        "from": missing.from, "to": (missing.to != u32::MAX).then_some(missing.to), "what": what, "coveredByCheckpoint": missing.is_covered,
        "before": missing.before.map(frame), "after": missing.after.map(frame), "recordsSaved": missing.saved,
        "records": missing.broken.iter().map(record).collect::<Vec<_>>(),
    })
}

fn frame(frame: FrameSeen) -> Value {
    json!({
        "segment": frame.position.segment(), "offset": frame.position.offset_bytes(), "number": frame.number,
        "time": time(frame.time),
    })
}

fn record(record: &LostRecord) -> Value {
    json!({
        "offset": record.position.offset_bytes(), "bytes": record.bytes, "was": record.kind,
        "msgId": record.message.map(|id| id.to_string()),
    })
}

fn message(lost: &LostMessage) -> Value {
    let deliveries = lost.deliveries.iter().map(|(endpoint, delivery)| {
        let known = match delivery.known {
            WhatIsKnown::Named => "named",
            WhatIsKnown::Open => "open",
            WhatIsKnown::Delivered => "delivered",
            WhatIsKnown::Ended => "ended",
        };
        json!({ "endpointId": endpoint.to_string(), "known": known, "deadLetter": delivery.is_dead_letter })
    });
    json!({
        "kind": "message", "msgId": lost.id.to_string(), "appId": lost.app.to_string(),
        "acceptedAt": time(lost.id.0.time()), "segment": lost.sequence.segment(),
        "offset": lost.sequence.offset_bytes(), "eventType": lost.event_type,
        "deliveries": deliveries.collect::<Vec<_>>(),
    })
}

fn time(at: UnixMs) -> Value {
    let at = i64::try_from(at.as_u64()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or(Value::Null, |at| json!(format!("{at:.3}")))
}

/// The same for people.
fn show(lines: &[Value]) -> String {
    lines.iter().map(line).collect()
}

fn line(line: &Value) -> String {
    let get = |name| field(line, name);
    match line.get("kind").and_then(Value::as_str) {
        Some("checkpoint") => {
            let saved = match line.get("configurationSaved").and_then(Value::as_bool) {
                Some(true) => {
                    format!("{} applications and {} endpoints came out of it", get("applications"), get("endpoints"))
                }
                _ => "nothing came out of it; all is made anew from the journal".to_owned(),
            };
            format!("damaged: {}; {saved}\n", get("damage"))
        }
        Some("unread") if line.get("to").and_then(Value::as_u64) == Some(0) => {
            format!("unread:  {}: the disk does not open it\n", get("file"))
        }
        Some("unread") => {
            format!("unread:  {}: bytes {} to {}: the disk does not give them\n", get("file"), get("from"), get("to"))
        }
        Some("missing") => format!(
            "missing: {}: bytes {} to {}: {}, {}{}\n",
            get("file"),
            get("from"),
            line.get("to").and_then(Value::as_u64).map_or_else(|| "the end".to_owned(), |to| to.to_string()),
            get("what").replace('_', " "),
            match line.get("coveredByCheckpoint").and_then(Value::as_bool) {
                Some(true) => "payloads and history only",
                _ if line.get("before").is_some_and(Value::is_null) && get("what") == "segment_missing" => {
                    "what it held is not known, perhaps configuration and deliveries"
                }
                _ => "perhaps configuration and outcomes, too",
            },
            between(line)
        ),
        Some("message") => {
            let event_type = match get("eventType") {
                none if none.is_empty() => "of an unknown event type".to_owned(),
                event_type => event_type,
            };
            let mut text =
                format!("lost:    {} of {}, {event_type}, {}\n", get("msgId"), get("appId"), get("acceptedAt"));
            for delivery in line.get("deliveries").and_then(Value::as_array).into_iter().flatten() {
                let dead = delivery.get("deadLetter").and_then(Value::as_bool) == Some(true);
                let is = if dead { "a dead letter now".to_owned() } else { field(delivery, "known") };
                text += &format!("         to {}: {is}\n", field(delivery, "endpointId"));
            }
            text
        }
        Some("endpoint") => {
            format!("unknown: endpoint {} of {}: lost, or deleted before\n", get("endpointId"), get("appId"))
        }
        Some("summary") => card(&[
            ("records read", get("records")),
            ("messages lost", get("messagesLost")),
            ("dead letters for lost payloads", get("payloadsLost")),
            ("deliveries lost without a name", get("deliveriesLost")),
        ]),
        _ => String::new(),
    }
}

/// What lies around it.
fn between(missing: &Value) -> String {
    let side = |name: &str| {
        let frame = missing.get(name).filter(|frame| !frame.is_null())?;
        Some(format!("frame {} of {}", field(frame, "number"), field(frame, "time")))
    };
    match (side("before"), side("after")) {
        (Some(before), Some(after)) => format!("; between {before} and {after}"),
        (Some(before), None) => format!("; after {before}"),
        (None, Some(after)) => format!("; before {after}"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_by_position_and_by_name() {
        let lines = [
            json!({
                "kind": "missing", "file": "segment-0000000003.journal", "from": 64, "to": 128, "what": "frames_damaged",
                "coveredByCheckpoint": false, "before": null, "after": { "number": 7, "time": "2026-01-02T03:04:05.000Z" },
            }),
            json!({
                "kind": "message", "msgId": "msg_1", "appId": "app_1", "eventType": null, "acceptedAt": "then",
                "deliveries": [{ "endpointId": "ep_1", "known": "open", "deadLetter": true }],
            }),
            json!({ "kind": "summary", "records": 7, "messagesLost": 1, "payloadsLost": 1, "deliveriesLost": 2 }),
        ];
        let expected = "\
            missing: segment-0000000003.journal: bytes 64 to 128: frames damaged, perhaps configuration and outcomes, too; \
            before frame 7 of 2026-01-02T03:04:05.000Z\n\
            lost:    msg_1 of app_1, of an unknown event type, then\n         to ep_1: a dead letter now\n\
            records read                    7\n\
            messages lost                   1\n\
            dead letters for lost payloads  1\n\
            deliveries lost without a name  2\n";
        assert_eq!(show(&lines), expected);
    }
}
