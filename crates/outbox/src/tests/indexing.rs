//! The rows of sealed segments come into the index on disk, from memory or from the journal.

use std::path::Path;

use postrider_model::id::{AppId, MessageId};
use postrider_model::query::{MessageFilter, PageRequest, Query as _, QueryError};

use super::support::{ManualClock, Running, Unopenable, options};
use crate::Options;

fn small(dir: &Path) -> Options {
    Options { segment_bytes: 64 << 10, body_limit_bytes: 8 << 10, ..options(dir) }
}

fn send(running: &Running, messages: usize) -> Vec<MessageId> {
    (0..messages).map(|_| running.send("shop", "order.seen", &"x".repeat(7_000)).id).collect()
}

fn listed(running: &Running, app: AppId) -> Result<Vec<MessageId>, QueryError> {
    let page = PageRequest { limit: 100, after: None, descending: false };
    let page = running.outbox.messages(app, &MessageFilter::default(), &page)?;
    Ok(page.items.iter().map(|message| message.id).collect())
}

#[test]
fn the_rows_of_a_sealed_segment_move_from_memory_to_the_disk() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let mut running = Running::start(small(dir.path()), &clock).expect("an empty directory opens");
    running.keeper.round();
    running.app("shop");
    send(&running, 30);
    running.keeper.round();
    let segments = running.outbox.shared.reader.segments();
    assert!(segments.iter().filter(|segment| segment.sealed).count() > 2, "{segments:?}");
    for segment in segments.iter().filter(|segment| segment.first_frame_time.is_some()) {
        let index = &running.outbox.shared.index;
        let places = (index.is_live(segment.number), index.holds(segment.number));
        assert_eq!(places, (!segment.sealed, segment.sealed), "{segment:?}");
    }
    running.stop();
}

/// As where no more files may be open: what it holds is not taken for nothing.
#[test]
fn a_segment_that_cannot_be_read_at_present_comes_into_the_index_later() {
    let (dir, clock) = (tempfile::tempdir().expect("a temporary directory"), ManualClock::new());
    let running = Running::start(small(dir.path()), &clock).expect("an empty directory opens");
    running.app("shop");
    let app = running.endpoint("shop", &["order.paid"]).app;
    let sent = send(&running, 30);
    running.stop();
    std::fs::remove_dir_all(dir.path().join("index")).expect("it is there");

    let mut running = Running::start(small(dir.path()), &clock).expect("the journal is the truth");
    let hidden = Unopenable::new(dir.path(), 2);
    running.keeper.round();
    let incomplete = listed(&running, app);
    assert!(matches!(incomplete, Err(QueryError::Unavailable(_))), "{incomplete:?}");
    hidden.give_back();
    running.keeper.round();
    assert_eq!(listed(&running, app), Ok(sent));
    running.stop();
}
