//! Bodies of fresh messages, so that their first attempts need not read the journal.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use postrider_model::id::MessageId;
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

/// What an attempt needs of a message.
#[derive(Clone, Debug)]
pub(crate) struct Fresh {
    pub(crate) id: MessageId,
    pub(crate) content_type: Arc<str>,
    pub(crate) body: Bytes,
    /// From then on it is not sent any more.
    pub(crate) until: Option<UnixMs>,
}

/// Holds at most `limit_bytes`; the oldest go first.
pub(crate) struct Bodies {
    inner: Mutex<Inner>,
    limit_bytes: usize,
}

#[derive(Default)]
struct Inner {
    by_position: HashMap<Position, Fresh>,
    order: VecDeque<(Position, usize)>,
    bytes: usize,
}

/// What an entry costs besides its body.
const ENTRY_BYTES: usize = 128;
/// A body is a slice of the buffer that a door read into, at most 64 KiB for a
/// short one. What is shorter than this is copied, so that a few bytes do not
/// keep a whole buffer alive that nobody counts.
const COPIED_BELOW_BYTES: usize = 32 << 10;

impl Bodies {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { inner: Mutex::default(), limit_bytes }
    }

    pub(crate) fn insert(&self, position: Position, mut fresh: Fresh) {
        if fresh.body.len() < COPIED_BELOW_BYTES {
            fresh.body = Bytes::copy_from_slice(&fresh.body);
        }
        let bytes = fresh.body.len() + ENTRY_BYTES;
        let mut inner = self.inner.lock();
        inner.bytes += bytes;
        inner.order.push_back((position, bytes));
        inner.by_position.insert(position, fresh);
        while inner.bytes > self.limit_bytes {
            let Some((oldest, bytes)) = inner.order.pop_front() else { break };
            inner.bytes -= bytes;
            inner.by_position.remove(&oldest);
        }
    }

    pub(crate) fn find(&self, position: Position) -> Option<Fresh> {
        self.inner.lock().by_position.get(&position).cloned()
    }

    /// Forgets a body. Looks at all of them.
    pub(crate) fn remove(&self, position: Position) {
        let mut inner = self.inner.lock();
        if inner.by_position.remove(&position).is_some() {
            let mut freed = 0;
            inner.order.retain(|(of, bytes)| {
                freed += if *of == position { *bytes } else { 0 };
                *of != position
            });
            inner.bytes -= freed;
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_model::id::RawId;

    #[test]
    fn a_short_body_does_not_keep_the_buffer_it_was_read_into() {
        let buffer = Bytes::from(vec![b'x'; 64 << 10]);
        let bodies = Bodies::new(1 << 20);
        let (id, content_type) = (MessageId(RawId::from_bytes([0; 20])), "application/json".into());
        bodies.insert(Position::ZERO, Fresh { id, content_type, body: buffer.slice(10..110), until: None });
        assert!(buffer.is_unique());
        assert_eq!(bodies.find(Position::ZERO).map(|fresh| fresh.body.len()), Some(100));
    }

    #[test]
    fn the_oldest_go_when_the_limit_is_passed() {
        let bodies = Bodies::new(3 * (ENTRY_BYTES + 100));
        let fresh = Fresh {
            id: MessageId(RawId::from_bytes([0; 20])),
            content_type: "application/json".into(),
            body: Bytes::from(vec![0; 100]),
            until: None,
        };
        for n in 0..5 {
            bodies.insert(Position::new(0, n), fresh.clone());
        }
        let kept: Vec<_> = (0..5).filter(|n| bodies.find(Position::new(0, *n)).is_some()).collect();
        assert_eq!(kept, [2, 3, 4]);
        assert!(bodies.bytes() <= 3 * (ENTRY_BYTES + 100));
        bodies.remove(Position::new(0, 3));
        bodies.remove(Position::new(0, 0));
        assert!(bodies.find(Position::new(0, 3)).is_none());
        assert_eq!(bodies.bytes(), 2 * (ENTRY_BYTES + 100));
    }
}
