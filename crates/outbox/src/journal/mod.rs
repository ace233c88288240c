//! The journal: append-only segment files of frames of records. It does not know
//! what records mean; to it they are bytes with an address.
//!
//! ```text
//!   owner (one thread)                                    readers (any thread)
//!     begin_frame -> push, push -> append -> sync            read(position), scan(from, to)
//!          |                         |        |                     |
//!          v                         v        v                     v
//!   segment-0000000007   segment-0000000008   segment-0000000009   segment-0000000010
//!   [h|F|F|F|F]          [h|F|F|F|.......]    [h|.............]    [h|.............]
//!    sealed: synced,      open: grows by       spare: allocated     spare: reserved for
//!    cut at its end       one write a frame    and synced           outcomes, configuration
//!                                                                   and carried records
//!
//!   F = [frame header | record | record | ...]     record = [length | checksum | bytes | padding]
//! ```
//!
//! - A [`Position`](postrider_model::position::Position) is the address of a
//!   record: segment number and byte offset. It never changes.
//! - What was appended is durable after [`Journal::sync`]. Room is allocated
//!   beforehand ([`Journal::provision`]), so that an append does not meet a full
//!   disk; a failed write or sync poisons the journal for good (W8).
//! - A segment is synced before the first frame of the next one is written, so
//!   only the last segment with frames can have a torn tail.
//! - [`Journal::open`] recovers: see `recover.rs`. `docs/format.md` has the bytes.

mod behind;
mod catalogue;
mod cut;
mod error;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod layout;
mod make;
mod options;
mod reader;
mod recover;
mod repair;
mod replace;
mod rewrite;
mod salvage;
mod scanner;
mod sequence;
mod shared;
mod survey;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

pub(crate) use behind::MISSING_NAMED;
pub use error::{AppendError, Damage, DamageKind, OpenError, ReadError, RemoveError};
pub use frame::{FrameBuilder, FrameFull, FrameKind, record_bytes};
pub use layout::FIRST_SEGMENT;
pub(crate) use layout::{SEGMENT_HEADER_BYTES, segment_name};
pub use options::{DEFAULT_SEGMENT_BYTES, Options};
pub use reader::{JournalReader, RecordAt, SegmentInfo};
pub use recover::{Opened, RecoveryReport, Start, TornTail};
pub use rewrite::{Edit, rewrite_file};
pub use salvage::{FrameSeen, Reading, Seen, read_up_to, salvage_segment, segment_numbers, store_id};
pub use sequence::Sequence;
pub(crate) use sequence::between;
pub use survey::{FrameInfo, Subject, Survey, segment_of_one_frame, segment_path};
pub use writer::{AppendedFrame, FrameClass, Journal};
