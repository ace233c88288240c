//! What a salvage says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use postrider_model::id::{AppId, EndpointId, MessageId};
use postrider_model::position::Position;

use crate::journal::{DamageKind, FrameSeen};
use crate::record::DeliveryRef;

/// What salvaging found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Records that were read, in all segments.
    pub records: u64,
    /// Bytes at the journal's end that were never synced, and are kept aside.
    pub torn_bytes: u64,
    /// What is missing, by position.
    pub missing: Vec<Missing>,
    /// What the disk did not give back.
    pub unread: Vec<Unread>,
    /// Messages that are known to be lost, by what refers to them; and those that were not delivered
    /// everywhere and of whose application nothing is known.
    pub messages: Vec<LostMessage>,
    /// Endpoints that records name, and of which the configuration says nothing: it
    /// stood in what is missing, or they were deleted before.
    pub endpoints: Vec<UnknownEndpoint>,
    /// What came out of a damaged checkpoint; `None` if it was whole.
    pub checkpoint: Option<Checkpoint>,
    /// Deliveries that are dead letters now, since their payload is gone.
    pub payloads_lost: u64,
    /// Deliveries of which is known only that there were as many: they had never been
    /// attempted, and what is missing held their messages.
    pub deliveries_lost: u64,
}

/// A part of the journal that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The segment's number.
    pub segment: u32,
    /// The offset of the first byte in its file.
    pub from: u32,
    /// The offset after the last.
    pub to: u32,
    /// What is wrong.
    pub what: DamageKind,
    /// The last frame before it that can be read.
    pub before: Option<FrameSeen>,
    /// The first frame after it that can be read.
    pub after: Option<FrameSeen>,
    /// The checkpoint covers it: live deliveries and configuration of then are known, only
    /// payloads and history are missing.
    pub is_covered: bool,
    /// Whole records that were found in it.
    pub saved: u64,
    /// What was a record, as far as it can be told.
    pub broken: Vec<LostRecord>,
}

/// Bytes that were a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRecord {
    /// Where it lies.
    pub position: Position,
    /// Its length in bytes.
    pub bytes: usize,
    /// What it was, by a byte that may itself be wrong.
    pub kind: &'static str,
    /// The message that it is of, if its id fits to the place.
    pub message: Option<MessageId>,
}

/// A part of a file that the disk did not give back; from 0 to 0 if it did not even open the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The file.
    pub path: PathBuf,
    /// The offset of the first byte.
    pub from: u64,
    /// The offset after the last.
    pub to: u64,
}

/// A message whose record is lost, or its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostMessage {
    /// Its id.
    pub id: MessageId,
    /// Its application.
    pub app: AppId,
    /// Where it was accepted. It lies in something that is missing, or is of no use without its application.
    pub sequence: Position,
    /// Its event type, if what is left of its record tells.
    pub event_type: Option<String>,
    /// Its deliveries, as far as anything refers to them.
    pub deliveries: BTreeMap<EndpointId, LostDelivery>,
}

impl LostMessage {
    /// The message of a delivery, of which nothing else is known yet.
    pub(super) fn of(delivery: &DeliveryRef) -> Self {
        Self {
            id: delivery.message,
            app: delivery.app,
            sequence: delivery.sequence,
            event_type: None,
            deliveries: BTreeMap::new(),
        }
    }
}

/// A delivery of a lost message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostDelivery {
    /// What is known of it.
    pub known: WhatIsKnown,
    /// It is a dead letter now, with the reason `payload_damaged`.
    pub is_dead_letter: bool,
}

/// What the rest of the journal tells of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhatIsKnown {
    /// The message was for this endpoint.
    Named,
    /// It was attempted, or a person changed it, and had not ended.
    Open,
    /// The endpoint confirmed it.
    Delivered,
    /// It was given up, cancelled or purged.
    Ended,
}

/// An endpoint that is only known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEndpoint {
    /// Its id.
    pub id: EndpointId,
    /// Its application.
    pub app: AppId,
}

/// What a damaged checkpoint gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// What is wrong with it.
    pub damage: String,
    /// Its configuration was whole and is used. All else was made anew out of the
    /// journal, as far back as that goes.
    pub configuration_saved: bool,
    /// Applications in that configuration.
    pub applications: usize,
    /// Endpoints in it.
    pub endpoints: usize,
}
