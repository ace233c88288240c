//! Cuts what is read into lines, without copying them, and never holds more
//! than one line's limit of an unfinished line.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

/// Bytes asked for in one read: a few hundred common lines.
const READ_BYTES: usize = 64 * 1_024;
/// Below this the spare room is not worth a system call.
const MIN_SPARE_BYTES: usize = 4 * 1_024;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line without its line feed. It shares the memory that was read into.
    Complete(Bytes),
    /// A line over the limit; told once, as soon as the limit is passed.
    TooLong,
    /// What stood behind the last line feed when the client ended its side.
    Incomplete,
}

/// The bytes that were read and are not yet taken.
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: BytesMut,
    /// So many bytes of the buffer are known to hold no line feed.
    scanned: usize,
    max_line_bytes: usize,
    /// The rest of a line over the limit is being thrown away.
    skipping: bool,
    ended: bool,
}

impl Lines {
    pub(crate) fn new(max_line_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, max_line_bytes, skipping: false, ended: false }
    }

    /// Where to read to.
    pub(crate) fn spare(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < MIN_SPARE_BYTES {
            self.buffer.reserve(READ_BYTES);
        }
        &mut self.buffer
    }

    pub(crate) const fn max_line_bytes(&self) -> usize {
        self.max_line_bytes
    }

    /// Nothing more will be read.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// The next line; `None` if more must be read first.
    pub(crate) fn next(&mut self) -> Option<Line> {
        loop {
            let fresh = self.buffer.get(self.scanned..).unwrap_or_default();
            let Some(at) = memchr(b'\n', fresh) else { return self.rest() };
            let line = self.buffer.split_to(self.scanned + at);
            self.buffer.advance(1);
            self.scanned = 0;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            return Some(if line.len() > self.max_line_bytes { Line::TooLong } else { Line::Complete(line.freeze()) });
        }
    }

    /// The buffer holds no line feed: what that means.
    fn rest(&mut self) -> Option<Line> {
        self.scanned = self.buffer.len();
        if self.skipping {
            self.buffer.clear();
            self.scanned = 0;
            return None;
        }
        let line = if self.scanned > self.max_line_bytes {
            self.skipping = true;
            Line::TooLong
        } else if self.ended && !self.buffer.trim_ascii().is_empty() {
            Line::Incomplete
        } else {
            return None;
        };
        // A new buffer, so that the memory of a long line is given back.
        self.buffer = BytesMut::new();
        self.scanned = 0;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: usize = 16;

    fn cut(chunks: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::new(LIMIT);
        let mut found = Vec::new();
        for chunk in chunks {
            lines.spare().extend_from_slice(chunk);
            found.extend(std::iter::from_fn(|| lines.next()));
        }
        lines.end();
        found.extend(std::iter::from_fn(|| lines.next()));
        found
    }

    fn complete(text: &'static str) -> Line {
        Line::Complete(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn lines_are_cut_at_line_feeds_wherever_the_reads_end() {
        assert_eq!(cut(&[b"a\nb", b"c\n\n", b"d\n"]), [complete("a"), complete("bc"), complete(""), complete("d")]);
        assert_eq!(cut(&[b"a\nhalf"]), [complete("a"), Line::Incomplete]);
        assert_eq!(cut(&[b"a\n \r"]), [complete("a")]);
    }

    #[test]
    fn the_limit_is_exact() {
        assert_eq!(cut(&[b"0123456789abcdef\n"]), [complete("0123456789abcdef")]);
        assert_eq!(cut(&[b"0123456789abcdefg\nb\n"]), [Line::TooLong, complete("b")]);
        assert_eq!(cut(&[b"0123456789abcdef", b"g", b"hi", b"jk\nb\n"]), [Line::TooLong, complete("b")]);
        assert_eq!(cut(&[b"0123456789abcdefg"]), [Line::TooLong]);
    }

    #[test]
    fn a_hundred_megabytes_without_a_line_feed_are_not_held() {
        let mut lines = Lines::new(LIMIT);
        let chunk = [b'x'; READ_BYTES];
        for n in 0..1_600 {
            lines.spare().extend_from_slice(&chunk);
            assert_eq!(lines.next(), (n == 0).then_some(Line::TooLong));
            assert_eq!(lines.next(), None);
            assert!(lines.buffer.is_empty() && lines.buffer.capacity() <= 2 * READ_BYTES);
        }
        lines.spare().extend_from_slice(b"\nok\n");
        assert_eq!(lines.next(), Some(complete("ok")));
    }

    proptest! {
        #[test]
        fn the_same_lines_come_however_the_bytes_are_split(
            bytes in proptest::collection::vec(prop_oneof![3 => Just(b'x'), 1 => Just(b'\n')], 0..200),
            sizes in proptest::collection::vec(1usize..20, 1..50),
        ) {
            let mut chunks = Vec::new();
            let mut rest = bytes.as_slice();
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break; }
                let (chunk, after) = rest.split_at(rest.len().min(*size));
                chunks.push(chunk);
                rest = after;
            }
            prop_assert_eq!(cut(&chunks), cut(&[&bytes]));
        }
    }
}
