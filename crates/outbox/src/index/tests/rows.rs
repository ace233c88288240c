//! Rows for tests.

use postrider_model::id::{AppId, EndpointId, ID_BYTES, RawId};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;
use proptest::prelude::*;

use crate::index::{AttemptRow, EndpointMask, KeyRow, MessageRow, SettledRow};

pub(in crate::index) fn id(n: u64) -> RawId {
    let mut bytes = [0; ID_BYTES];
    bytes.split_at_mut(8).0.copy_from_slice(&n.to_be_bytes());
    RawId::from_bytes(bytes)
}

/// A message of segment 1.
pub(in crate::index) fn plain_message(app: u64, n: u64) -> MessageRow {
    let sequence = Position::new(1, n as u32 * 900);
    MessageRow {
        app: AppId(id(app)),
        sequence,
        position: sequence,
        accepted: UnixMs(1_700_000_000_000 + n),
        endpoints: EndpointMask(1 << 7),
        event_type: 0x1234_5678_9abc_def0,
    }
}

/// A message that was accepted at this place.
pub(in crate::index) fn message_at(app: u64, sequence: Position) -> MessageRow {
    MessageRow { sequence, position: sequence, ..plain_message(app, 0) }
}

/// An attempt at a message that ended its delivery.
pub(in crate::index) fn plain_attempt(message: &MessageRow, endpoint: u64, position: Position) -> AttemptRow {
    AttemptRow {
        app: message.app,
        endpoint: EndpointId(id(endpoint)),
        message: message.sequence,
        position,
        ended: message.accepted,
        status: 200,
        succeeded: true,
        delivered: true,
    }
}

/// A delivery of a message that was ended by a record.
pub(in crate::index) fn plain_settled(message: &MessageRow, endpoint: u64, position: Position) -> SettledRow {
    SettledRow {
        app: message.app,
        endpoint: EndpointId(id(endpoint)),
        message: message.sequence,
        position,
        state: 3,
        at: message.accepted,
        attempt: 2,
    }
}

/// A key, spread as hashes are.
pub(in crate::index) fn plain_key(n: u64, position: Position) -> KeyRow {
    let hash = u128::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    KeyRow { hash: hash.to_be_bytes(), position, at: UnixMs(1_700_000_000_000) }
}

fn position() -> impl Strategy<Value = Position> {
    prop_oneof![any::<u64>(), 0..50_000u64].prop_map(Position::from_u64)
}

fn owner() -> impl Strategy<Value = RawId> {
    prop_oneof![(0..5u64).prop_map(id), any::<[u8; ID_BYTES]>().prop_map(RawId::from_bytes)]
}

fn time() -> impl Strategy<Value = UnixMs> {
    any::<u64>().prop_map(UnixMs)
}

pub(in crate::index) fn message() -> impl Strategy<Value = MessageRow> {
    (owner(), position(), position(), time(), any::<u32>(), any::<u64>()).prop_map(
        |(app, sequence, position, accepted, endpoints, event_type)| MessageRow {
            app: AppId(app),
            sequence,
            position,
            accepted,
            endpoints: EndpointMask(endpoints),
            event_type,
        },
    )
}

pub(in crate::index) fn attempt() -> impl Strategy<Value = AttemptRow> {
    (owner(), owner(), position(), position(), time(), any::<u16>(), any::<[bool; 2]>()).prop_map(
        |(app, endpoint, message, position, ended, status, [succeeded, delivered])| AttemptRow {
            app: AppId(app),
            endpoint: EndpointId(endpoint),
            message,
            position,
            ended,
            status,
            succeeded,
            delivered,
        },
    )
}

pub(in crate::index) fn settled() -> impl Strategy<Value = SettledRow> {
    (owner(), owner(), position(), position(), any::<u8>(), time(), any::<u16>()).prop_map(
        |(app, endpoint, message, position, state, at, attempt)| SettledRow {
            app: AppId(app),
            endpoint: EndpointId(endpoint),
            message,
            position,
            state,
            at,
            attempt,
        },
    )
}

pub(in crate::index) fn key() -> impl Strategy<Value = KeyRow> {
    (any::<[u8; 16]>(), position(), time()).prop_map(|(hash, position, at)| KeyRow { hash, position, at })
}
