//! Lists in pages: `limit`, `iterator`, `prevIterator`, `done`, `order`.
//!
//! An iterator is the id of the last member of a page, and with a leading `-`
//! that of the first: from there the list is walked backwards. The members of
//! a page are always in the order of the list.

use postrider_model::id::{AppId, AttemptId, AuditId, EndpointId, ID_BYTES, MessageId, RawId, TaskId};
use postrider_model::query::{MAX_PAGE_KEY_BYTES, Page, PageKey, PageRequest};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::error::ApiError;
use crate::extract::Params;
use crate::schema::{EventTypeName, Ordering};

/// Members of a page for which no `limit` was given.
pub(crate) const DEFAULT_LIMIT: usize = 50;
/// Members of a page at most.
pub(crate) const MAX_LIMIT: usize = 250;

/// Which page of a list is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "this only describes what `PageQuery::read` reads")]
pub(crate) struct PageParams {
    /// Members of the page at most.
    #[param(minimum = 1, maximum = 250, default = 50)]
    limit: Option<u16>,
    /// The `iterator` or `prevIterator` of an earlier answer.
    iterator: Option<String>,
    /// Which members come first.
    #[param(inline)]
    order: Option<Ordering>,
}

/// Bounds of time of a list, exclusive and exact to the millisecond.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "this only describes what `Params` reads")]
pub(crate) struct TimeParams {
    /// Only those before this time, by RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    before: Option<String>,
    /// Only those after this time, by RFC 3339.
    #[param(value_type = Option<String>, format = DateTime)]
    after: Option<String>,
}

/// Event types of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "this only describes what `Params` reads")]
pub(crate) struct TypeParams {
    /// Only those of these event types; repeated, or separated by commas.
    event_types: Option<Vec<EventTypeName>>,
}

/// A page as it is answered.
#[derive(Serialize, ToSchema)]
#[schema(as = ListResponse)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List<T> {
    data: Vec<T>,
    /// The next page begins behind it.
    #[schema(required)]
    iterator: Option<String>,
    /// The page before this one ends before it.
    #[schema(required)]
    prev_iterator: Option<String>,
    /// Nothing follows.
    done: bool,
}

impl<T> List<T> {
    /// A list that always fits into one page.
    pub(crate) const fn whole(data: Vec<T>) -> Self {
        Self { data, iterator: None, prev_iterator: None, done: true }
    }
}

impl<T, E> List<Result<T, E>> {
    /// The list, or the first error among its members.
    pub(crate) fn transpose(self) -> Result<List<T>, E> {
        let Self { data, iterator, prev_iterator, done } = self;
        Ok(List { data: data.into_iter().collect::<Result<_, E>>()?, iterator, prev_iterator, done })
    }
}

/// How the members of a list are named by iterators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// By the application's id.
    App,
    /// By the endpoint's id.
    Endpoint,
    /// By the message's id.
    Message,
    /// By the attempt's id.
    Attempt,
    /// By the task's id.
    Task,
    /// By the id of an entry of the audit log.
    Audit,
    /// By the event type's name.
    Name,
    /// By bytes that only the store understands.
    Opaque,
}

impl Cursor {
    fn encode(self, key: &[u8]) -> Option<String> {
        let raw = || Some(RawId::from_bytes(<[u8; ID_BYTES]>::try_from(key).ok()?));
        Some(match self {
            Self::App => AppId(raw()?).to_string(),
            Self::Endpoint => EndpointId(raw()?).to_string(),
            Self::Message => MessageId(raw()?).to_string(),
            Self::Attempt => AttemptId(raw()?).to_string(),
            Self::Task => TaskId(raw()?).to_string(),
            Self::Audit => AuditId(raw()?).to_string(),
            // No name begins with a dot, but one may begin with the `-` that means backwards.
            Self::Name => match String::from_utf8_lossy(key) {
                name if name.starts_with('-') => format!(".{name}"),
                name => name.into_owned(),
            },
            Self::Opaque => key.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    fn decode(self, text: &str) -> Option<PageKey> {
        let raw: RawId = match self {
            Self::App => text.parse::<AppId>().ok()?.0,
            Self::Endpoint => text.parse::<EndpointId>().ok()?.0,
            Self::Message => text.parse::<MessageId>().ok()?.0,
            Self::Attempt => text.parse::<AttemptId>().ok()?.0,
            Self::Task => text.parse::<TaskId>().ok()?.0,
            Self::Audit => text.parse::<AuditId>().ok()?.0,
            Self::Name => return Some(text.strip_prefix('.').unwrap_or(text).as_bytes().to_vec()),
            Self::Opaque => return decode_hex(text),
        };
        Some(raw.as_bytes().to_vec())
    }
}

fn decode_hex(text: &str) -> Option<PageKey> {
    if text.len() > 2 * MAX_PAGE_KEY_BYTES || !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    pairs.map(|pair| pair.iter().try_fold(0u8, |number, byte| Some(number << 4 | digit(*byte)? as u8))).collect()
}

/// The order in which a list is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Oldest first, names from A to Z.
    Ascending,
    /// Newest first.
    Descending,
}

/// How many members a page may have.
pub(crate) fn limit(params: &Params) -> Result<usize, ApiError> {
    let limit = params.parsed("limit", &format!("a whole number from 1 to {MAX_LIMIT}"), |text| {
        text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit))
    })?;
    Ok(limit.unwrap_or(DEFAULT_LIMIT))
}

/// Which page was asked for.
pub(crate) struct PageQuery {
    pub(crate) request: PageRequest,
    cursor: Cursor,
    backwards: bool,
}

impl PageQuery {
    pub(crate) fn read(params: &Params, cursor: Cursor, default: Order) -> Result<Self, ApiError> {
        let limit = limit(params)?;
        let order = params.parsed("order", "`ascending` or `descending`", |text| match text {
            "ascending" => Some(Order::Ascending),
            "descending" => Some(Order::Descending),
            _ => None,
        })?;
        let iterator = params.parsed("iterator", "an iterator from an earlier answer", |text| {
            let (backwards, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
            if text.is_empty() { Some((false, None)) } else { Some((backwards, Some(cursor.decode(text)?))) }
        })?;
        let (backwards, after) = iterator.unwrap_or_default();
        let descending = (order.unwrap_or(default) == Order::Descending) != backwards;
        let request = PageRequest { limit, after, descending };
        Ok(Self { request, cursor, backwards })
    }

    /// The answer. `key` is a member's place, where the caller can know it.
    pub(crate) fn answer<'a, T, Out>(
        &self,
        page: &'a Page<T>,
        key: impl Fn(&T) -> Option<PageKey>,
        out: impl Fn(&'a T) -> Out,
    ) -> List<Out> {
        let mut data: Vec<Out> = page.items.iter().map(out).collect();
        // Where the store looked further than the last match, that is where to go on.
        let far = page.next.clone().or_else(|| page.items.last().and_then(&key));
        let near = page.items.first().and_then(&key);
        let (iterator, previous) = if self.backwards {
            data.reverse();
            (near, far)
        } else {
            (far, near)
        };
        let encode = |key: PageKey| self.cursor.encode(&key);
        let prev_iterator = previous.and_then(encode).map(|text| format!("-{text}"));
        List { data, iterator: iterator.and_then(encode), prev_iterator, done: page.done }
    }

    /// The page of a list that is wholly in memory. `members` are in ascending order.
    pub(crate) fn cut<T>(&self, members: impl DoubleEndedIterator<Item = T>, key: impl Fn(&T) -> PageKey) -> Page<T> {
        let PageRequest { limit, after, descending } = &self.request;
        let is_later = |member: &T| match after {
            None => true,
            Some(after) if *descending => key(member) < *after,
            Some(after) => key(member) > *after,
        };
        let take = |members: &mut dyn Iterator<Item = T>| -> Vec<T> {
            members.filter(|member| is_later(member)).take(limit + 1).collect()
        };
        let mut members = members;
        let mut items = if *descending { take(&mut members.rev()) } else { take(&mut members) };
        let done = items.len() <= *limit;
        items.truncate(*limit);
        let next = if done { None } else { items.last().map(&key) };
        Page { items, next, done }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(limit: usize, iterator: Option<&str>, order: Order) -> PageQuery {
        let mut text = format!("limit={limit}");
        if let Some(iterator) = iterator {
            text.push_str(&format!("&iterator={iterator}"));
        }
        PageQuery::read(&Params::of(&text), Cursor::Name, order).expect("a good query")
    }

    fn page(names: &[String], limit: usize, iterator: Option<&str>, order: Order) -> List<String> {
        let query = query(limit, iterator, order);
        let key = |name: &&String| name.as_bytes().to_vec();
        query.answer(&query.cut(names.iter(), key), |name| Some(key(name)), |name| (*name).clone())
    }

    proptest! {
        /// Walking forward shows each member once and in order; walking back
        /// from the end shows the same in pages that are themselves in order.
        #[test]
        fn both_ways_lead_through_the_whole_list(
            names in proptest::collection::btree_set("[-a-c]{1,4}", 1..30),
            limit in 1usize..8,
            descending: bool,
        ) {
            let names: Vec<String> = names.into_iter().collect();
            let order = if descending { Order::Descending } else { Order::Ascending };
            let expected: Vec<String> =
                if descending { names.iter().rev().cloned().collect() } else { names.clone() };

            let (mut forward, mut iterator) = (Vec::new(), None);
            loop {
                let list = page(&names, limit, iterator.as_deref(), order);
                prop_assert!(list.data.len() <= limit);
                forward.extend(list.data);
                iterator = list.iterator;
                if list.done { break }
            }
            prop_assert_eq!(&forward, &expected);

            let last = iterator.expect("the last page has members");
            let (mut backward, mut iterator) = (vec![expected.last().cloned().expect("at least one")], format!("-{last}"));
            loop {
                let list = page(&names, limit, Some(&iterator), order);
                backward.splice(0..0, list.data);
                if list.done { break }
                iterator = list.prev_iterator.expect("there is more");
            }
            prop_assert_eq!(&backward, &expected);
        }

        #[test]
        fn opaque_keys_come_back(key in proptest::collection::vec(any::<u8>(), 0..=MAX_PAGE_KEY_BYTES)) {
            let text = Cursor::Opaque.encode(&key).expect("any bytes");
            prop_assert!(!text.starts_with('-'));
            prop_assert_eq!(Cursor::Opaque.decode(&text), Some(key));
        }
    }

    #[test]
    fn what_is_no_iterator_of_the_list_is_refused() {
        let id = AppId(RawId::from_bytes([1; ID_BYTES]));
        assert_eq!(Cursor::App.decode(&id.to_string()), Some(vec![1; ID_BYTES]));
        assert_eq!(Cursor::Message.decode(&id.to_string()), None);
        for text in ["0", "zz", "+f", "é", &"00".repeat(MAX_PAGE_KEY_BYTES + 1)] {
            assert_eq!(Cursor::Opaque.decode(text), None, "{text}");
        }
    }
}
