//! The lists: in which order the rows of each kind are kept, and how each row
//! is written.

use postrider_model::id::{AppId, EndpointId, ID_BYTES, RawId};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::codec::{Column, Packer, Unpacker};
use super::live::SegmentRows;
use super::row::{AttemptRow, EndpointMask, KeyRow, MessageRow, SettledRow};

/// A list of rows. The numbers are part of the format on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Messages = 1,
    AttemptsOfMessage = 2,
    AttemptsOfEndpoint = 3,
    Settled = 4,
    Keys = 5,
    SettledOfEndpoint = 6,
}

impl Family {
    pub(super) const ALL: [Self; 6] = [
        Self::Messages,
        Self::AttemptsOfMessage,
        Self::AttemptsOfEndpoint,
        Self::Settled,
        Self::Keys,
        Self::SettledOfEndpoint,
    ];
}

/// Where a row stands in its list. The owner's list is one range of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SortKey {
    pub(super) owner: [u8; ID_BYTES],
    pub(super) major: u64,
    pub(super) minor: u64,
}

pub(super) const SORT_KEY_BYTES: usize = ID_BYTES + 16;

impl SortKey {
    pub(super) const fn new(owner: [u8; ID_BYTES], major: Position, minor: Position) -> Self {
        Self { owner, major: major.as_u64(), minor: minor.as_u64() }
    }

    /// The next greater key with the same owner.
    pub(super) fn after(self) -> Option<Self> {
        let Self { owner, major, minor } = self;
        match minor.checked_add(1) {
            Some(minor) => Some(Self { owner, major, minor }),
            None => Some(Self { owner, major: major.checked_add(1)?, minor: 0 }),
        }
    }

    /// The next smaller key with the same owner.
    pub(super) fn before(self) -> Option<Self> {
        let Self { owner, major, minor } = self;
        match minor.checked_sub(1) {
            Some(minor) => Some(Self { owner, major, minor }),
            None => Some(Self { owner, major: major.checked_sub(1)?, minor: u64::MAX }),
        }
    }

    /// Bytes that sort as the keys do.
    pub(super) fn to_bytes(self) -> [u8; SORT_KEY_BYTES] {
        let mut bytes = [0; SORT_KEY_BYTES];
        let (owner, numbers) = bytes.split_at_mut(ID_BYTES);
        let (major, minor) = numbers.split_at_mut(8);
        owner.copy_from_slice(&self.owner);
        major.copy_from_slice(&self.major.to_be_bytes());
        minor.copy_from_slice(&self.minor.to_be_bytes());
        bytes
    }
}

/// A row as a member of a list.
pub(super) trait Listed: Copy {
    const FAMILY: Family;

    /// Two rows with one key are the same thing, and only the one with the
    /// latest [`Listed::position`] counts.
    const UNIQUE: bool = true;

    fn sort_key(&self) -> SortKey;

    /// Where the row's record lies.
    fn position(&self) -> Position;

    /// What a query has to know to find the row, for the filter that tells
    /// whether a segment has any.
    fn filter_item(key: &SortKey) -> [u8; ID_BYTES] {
        key.owner
    }

    fn pack(&self, to: &mut Packer);

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self>;
}

/// A list that is read in order.
pub(super) trait Scanned: Listed {
    /// The rows of a segment in memory that lie in a span, at most `limit`.
    fn live(rows: &SegmentRows, span: &Span, limit: usize) -> Vec<Self>;
}

/// A part of one owner's list, both ends inclusive, and the order to read it in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) low: SortKey,
    pub(super) high: SortKey,
    pub(super) descending: bool,
}

/// An attempt in the list of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OfMessage(pub(super) AttemptRow);

/// An attempt in the list of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OfEndpoint(pub(super) AttemptRow);

/// A delivery that ended without an attempt in the list of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SettledOfEndpoint(pub(super) SettledRow);

fn app(bytes: [u8; ID_BYTES]) -> AppId {
    AppId(RawId::from_bytes(bytes))
}

fn endpoint(bytes: [u8; ID_BYTES]) -> EndpointId {
    EndpointId(RawId::from_bytes(bytes))
}

/// A message's sequence where an id is asked for.
fn as_item(major: u64) -> [u8; ID_BYTES] {
    let mut item = [0; ID_BYTES];
    item.split_at_mut(8).0.copy_from_slice(&major.to_be_bytes());
    item
}

impl Listed for MessageRow {
    const FAMILY: Family = Family::Messages;

    fn sort_key(&self) -> SortKey {
        SortKey::new(*self.app.as_bytes(), self.sequence, Position::ZERO)
    }

    fn position(&self) -> Position {
        self.position
    }

    fn pack(&self, to: &mut Packer) {
        to.id(self.app.as_bytes());
        to.column(Column::Major, self.sequence.as_u64());
        to.signed(self.position.as_u64().wrapping_sub(self.sequence.as_u64()) as i64);
        to.column(Column::Time, self.accepted.as_u64());
        to.raw(&self.endpoints.0.to_be_bytes());
        to.raw(&self.event_type.to_be_bytes());
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let app = app(from.id()?);
        let sequence = Position::from_u64(from.column(Column::Major)?);
        Some(Self {
            app,
            sequence,
            position: Position::from_u64(sequence.as_u64().wrapping_add(from.signed()? as u64)),
            accepted: UnixMs(from.column(Column::Time)?),
            endpoints: EndpointMask(u32::from_be_bytes(from.array()?)),
            event_type: u64::from_be_bytes(from.array()?),
        })
    }
}

impl Scanned for MessageRow {
    fn live(rows: &SegmentRows, span: &Span, limit: usize) -> Vec<Self> {
        rows.messages_of(app(span.low.owner), span, limit)
    }
}

impl AttemptRow {
    fn pack_rest(&self, to: &mut Packer) {
        to.column(Column::Position, self.position.as_u64());
        to.column(Column::Time, self.ended.as_u64());
        to.number(u64::from(self.status) << 2 | u64::from(self.delivered) << 1 | u64::from(self.succeeded));
    }

    fn unpack_rest(app: AppId, endpoint: EndpointId, message: Position, from: &mut Unpacker<'_>) -> Option<Self> {
        let position = Position::from_u64(from.column(Column::Position)?);
        let ended = UnixMs(from.column(Column::Time)?);
        let coded = from.number()?;
        let status = u16::try_from(coded >> 2).ok()?;
        let (succeeded, delivered) = (coded & 1 == 1, coded & 2 == 2);
        Some(Self { app, endpoint, message, position, ended, status, succeeded, delivered })
    }
}

impl Listed for OfMessage {
    const FAMILY: Family = Family::AttemptsOfMessage;

    fn sort_key(&self) -> SortKey {
        SortKey::new(*self.0.app.as_bytes(), self.0.message, self.0.position)
    }

    fn position(&self) -> Position {
        self.0.position
    }

    fn filter_item(key: &SortKey) -> [u8; ID_BYTES] {
        as_item(key.major)
    }

    fn pack(&self, to: &mut Packer) {
        to.id(self.0.app.as_bytes());
        to.id(self.0.endpoint.as_bytes());
        to.column(Column::Major, self.0.message.as_u64());
        self.0.pack_rest(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let (app, endpoint) = (app(from.id()?), endpoint(from.id()?));
        let message = Position::from_u64(from.column(Column::Major)?);
        AttemptRow::unpack_rest(app, endpoint, message, from).map(Self)
    }
}

impl Scanned for OfMessage {
    fn live(rows: &SegmentRows, span: &Span, limit: usize) -> Vec<Self> {
        rows.attempts_of_message(Position::from_u64(span.low.major), span, limit)
    }
}

impl Listed for OfEndpoint {
    const FAMILY: Family = Family::AttemptsOfEndpoint;

    fn sort_key(&self) -> SortKey {
        SortKey::new(*self.0.endpoint.as_bytes(), self.0.position, Position::ZERO)
    }

    fn position(&self) -> Position {
        self.0.position
    }

    fn pack(&self, to: &mut Packer) {
        to.id(self.0.endpoint.as_bytes());
        to.id(self.0.app.as_bytes());
        to.column(Column::Major, self.0.message.as_u64());
        self.0.pack_rest(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let (endpoint, app) = (endpoint(from.id()?), app(from.id()?));
        let message = Position::from_u64(from.column(Column::Major)?);
        AttemptRow::unpack_rest(app, endpoint, message, from).map(Self)
    }
}

impl Scanned for OfEndpoint {
    fn live(rows: &SegmentRows, span: &Span, limit: usize) -> Vec<Self> {
        rows.attempts_of_endpoint(endpoint(span.low.owner), span, limit)
    }
}

impl Listed for SettledRow {
    const FAMILY: Family = Family::Settled;
    // One record may end the deliveries of a message to several endpoints.
    const UNIQUE: bool = false;

    fn sort_key(&self) -> SortKey {
        SortKey::new(*self.app.as_bytes(), self.message, self.position)
    }

    fn position(&self) -> Position {
        self.position
    }

    fn filter_item(key: &SortKey) -> [u8; ID_BYTES] {
        as_item(key.major)
    }

    fn pack(&self, to: &mut Packer) {
        to.id(self.app.as_bytes());
        to.id(self.endpoint.as_bytes());
        to.column(Column::Major, self.message.as_u64());
        to.column(Column::Position, self.position.as_u64());
        to.column(Column::Time, self.at.as_u64());
        to.raw(&[self.state]);
        to.number(u64::from(self.attempt));
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(Self {
            app: app(from.id()?),
            endpoint: endpoint(from.id()?),
            message: Position::from_u64(from.column(Column::Major)?),
            position: Position::from_u64(from.column(Column::Position)?),
            at: UnixMs(from.column(Column::Time)?),
            state: from.byte()?,
            attempt: u16::try_from(from.number()?).ok()?,
        })
    }
}

impl Scanned for SettledRow {
    fn live(rows: &SegmentRows, span: &Span, limit: usize) -> Vec<Self> {
        rows.settled_of_message(Position::from_u64(span.low.major), span, limit)
    }
}

impl Listed for SettledOfEndpoint {
    const FAMILY: Family = Family::SettledOfEndpoint;

    // One record may end the deliveries of many messages.
    fn sort_key(&self) -> SortKey {
        SortKey::new(*self.0.endpoint.as_bytes(), self.0.position, self.0.message)
    }

    fn position(&self) -> Position {
        self.0.position
    }

    fn pack(&self, to: &mut Packer) {
        self.0.pack(to);
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        SettledRow::unpack(from).map(Self)
    }
}

impl Scanned for SettledOfEndpoint {
    fn live(rows: &SegmentRows, span: &Span, limit: usize) -> Vec<Self> {
        rows.settled_of_endpoint(endpoint(span.low.owner), span, limit)
    }
}

impl KeyRow {
    /// The hash in the place of an owner.
    pub(super) fn owner(hash: &[u8; 16]) -> [u8; ID_BYTES] {
        let mut owner = [0; ID_BYTES];
        owner.split_at_mut(16).0.copy_from_slice(hash);
        owner
    }
}

impl Listed for KeyRow {
    const FAMILY: Family = Family::Keys;

    fn sort_key(&self) -> SortKey {
        SortKey::new(Self::owner(&self.hash), self.position, Position::ZERO)
    }

    fn position(&self) -> Position {
        self.position
    }

    fn pack(&self, to: &mut Packer) {
        to.raw(&self.hash);
        to.column(Column::Position, self.position.as_u64());
        to.column(Column::Time, self.at.as_u64());
    }

    fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        Some(Self {
            hash: from.array()?,
            position: Position::from_u64(from.column(Column::Position)?),
            at: UnixMs(from.column(Column::Time)?),
        })
    }
}
