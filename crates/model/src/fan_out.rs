//! Whom a message goes to, by what its application's endpoints asked for.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::filter::Filter;
use crate::id::EndpointId;
use crate::payload::Payload;

/// The end of a name in an endpoint's list of event types that stands for all that follow.
pub const WILDCARD: &str = ".*";

/// What an endpoint's choice says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint asked for it.
    Wanted,
    /// Its type is none of the endpoint's event types.
    EventType,
    /// It was sent to none of the endpoint's channels.
    Channels,
    /// The endpoint's filter does not let it through.
    Filter,
}

impl Verdict {
    /// Why not, as the API and the command line spell it; `None` if it is wanted.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Wanted => None,
            Self::EventType => Some("event_type"),
            Self::Channels => Some("channels"),
            Self::Filter => Some("filter"),
        }
    }
}

/// Whether an event type is in an endpoint's list: by its name, or since `order.*` is
/// there and it begins with `order.`.
#[must_use]
pub fn lists_type(types: &BTreeSet<String>, event_type: &str) -> bool {
    types.contains(event_type) || event_type.match_indices('.').any(|(dot, _)| lists_all_below(types, event_type, dot))
}

/// Whether the list has what stands for all that begin as the type does up to its dot at `dot`.
fn lists_all_below(types: &BTreeSet<String>, event_type: &str, dot: usize) -> bool {
    let Some(prefix) = event_type.get(..=dot) else { return false };
    // Of all characters of these names the asterisk is the first, so nothing that begins alike comes before it.
    let behind = types.range::<str, _>((Bound::Excluded(prefix), Bound::Unbounded)).next();
    behind.and_then(|name| name.strip_prefix(prefix)) == Some("*")
}

/// The endpoints that a message may go to, before anybody has looked into its payload.
/// Made under a lock, to be judged outside of it.
#[derive(Debug, Default)]
pub struct Candidates {
    endpoints: Vec<EndpointId>,
    /// Of those that have one, with their place among the endpoints.
    filters: Vec<(usize, Filter)>,
}

/// Whom a message goes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FanOut {
    /// These.
    pub endpoints: Vec<EndpointId>,
    /// Not these, which it would go to but for their filters.
    pub held_back: Vec<EndpointId>,
}

impl Candidates {
    /// The one endpoint that a message is for, whatever it asked for.
    #[must_use]
    pub fn only(endpoint: EndpointId) -> Self {
        Self { endpoints: vec![endpoint], filters: vec![] }
    }

    /// One more endpoint, in the order in which they come.
    pub(crate) fn push(&mut self, endpoint: EndpointId, filter: Option<&Filter>) {
        self.filters.extend(filter.map(|filter| (self.endpoints.len(), filter.clone())));
        self.endpoints.push(endpoint);
    }

    /// All of them.
    #[must_use]
    pub fn endpoints(&self) -> &[EndpointId] {
        &self.endpoints
    }

    /// Which filters there are to ask, for [`Self::judge_again`].
    #[must_use]
    pub fn filters(&self) -> Vec<(EndpointId, Filter)> {
        let of = |(place, filter): &(usize, Filter)| Some((*self.endpoints.get(*place)?, filter.clone()));
        self.filters.iter().filter_map(of).collect()
    }

    /// Asks their filters. The payload is parsed only if there is one.
    #[must_use]
    pub fn judge(self, payload: &Payload<'_>) -> FanOut {
        self.judge_again(payload, &[], &[])
    }

    /// Asks their filters, but for those that were `asked` of the same payload before: they say
    /// what they said, which is that these were `held_back` and no other.
    #[must_use]
    pub fn judge_again(
        self,
        payload: &Payload<'_>,
        asked: &[(EndpointId, Filter)],
        held_back: &[EndpointId],
    ) -> FanOut {
        let Self { mut endpoints, filters } = self;
        let refuses = |place: usize, filter: &Filter| match endpoints.get(place) {
            Some(id) if asked.iter().any(|(before, same)| before == id && same == filter) => held_back.contains(id),
            _ => !filter.lets_through(payload),
        };
        let refusing: Vec<usize> =
            filters.iter().filter(|(place, filter)| refuses(*place, filter)).map(|(place, _)| *place).collect();
        let held_back: Vec<_> = refusing.iter().filter_map(|place| endpoints.get(*place).copied()).collect();
        if !held_back.is_empty() {
            let mut refusing = refusing.into_iter().peekable();
            let mut place = 0;
            endpoints.retain(|_| {
                place += 1;
                refusing.next_if_eq(&(place - 1)).is_none()
            });
        }
        FanOut { endpoints, held_back }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RawId;
    use proptest::prelude::*;

    fn types(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_wildcard_stands_for_all_that_lies_below() {
        let listed = types(&["order.*", "user", "user.new", "a.b.*"]);
        for wanted in ["order.paid", "order.paid.twice", "order.*", "user", "user.new", "a.b.c"] {
            assert!(lists_type(&listed, wanted), "{wanted}");
        }
        for other in ["order", "orders.paid", "user.old", "a.b", "a.c", "a", "x.order.paid"] {
            assert!(!lists_type(&listed, other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn a_list_is_looked_up_as_if_each_of_it_were_compared(
            listed in proptest::collection::btree_set("[-_.0aZ]{0,3}(\\.\\*)?", 0..6),
            wanted in "[-_.0aZ]{0,6}",
        ) {
            let one_by_one = listed.iter().any(|name| match name.strip_suffix('*') {
                Some(prefix) => name.ends_with(WILDCARD) && wanted.starts_with(prefix),
                None => *name == wanted,
            });
            // A name that is allowed has something between its dots.
            if !wanted.ends_with('.') {
                prop_assert_eq!(lists_type(&listed, &wanted), one_by_one);
            }
        }
    }

    #[test]
    fn those_whose_filter_refuses_are_named_and_the_others_keep_their_order() {
        let ids: Vec<_> = (1..=4).map(|n| EndpointId(RawId::from_bytes([n; 20]))).collect();
        let mut candidates = Candidates::default();
        for (id, filter) in ids.iter().zip([Some("@.a == 2"), None, Some("@.a == 1"), Some("@.b")]) {
            candidates.push(*id, filter.map(Filter::new).as_ref());
        }
        let fan_out = candidates.judge(&Payload::new(br#"{"a": 1}"#));
        assert_eq!(fan_out, FanOut { endpoints: vec![ids[1], ids[2]], held_back: vec![ids[0], ids[3]] });
    }

    #[test]
    fn only_what_was_not_asked_yet_is_asked_again() {
        let ids: Vec<_> = (1..=3).map(|n| EndpointId(RawId::from_bytes([n; 20]))).collect();
        let candidates = |last: &str| {
            let mut candidates = Candidates::default();
            for (id, filter) in ids.iter().zip(["@.a", "@.b", last]) {
                candidates.push(*id, Some(&Filter::new(filter)));
            }
            candidates
        };
        let asked = candidates("@.c").filters();
        // The payload would say otherwise of each of them: what is not asked cannot tell.
        let again = candidates("@.d").judge_again(&Payload::new(br#"{"b": 1, "c": 1}"#), &asked, &ids[1..2]);
        assert_eq!(again, FanOut { endpoints: vec![ids[0]], held_back: vec![ids[1], ids[2]] });
    }
}
