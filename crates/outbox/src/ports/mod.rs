//! The ports that the outbox implements.

mod accept;
mod accept_group;
mod audit;
mod configure;
mod control;
mod dead_letter;
mod delivery_list;
mod delivery_store;
mod endpoint_stats;
mod expunge;
mod message_list;
mod once;
mod pager;
mod query;
mod verification;

pub(crate) use accept::MESSAGE_ROOM_BYTES;
pub(crate) use message_list::Wanted;
pub(crate) use once::Bound;
