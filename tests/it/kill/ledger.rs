//! What was sent, answered, and delivered, written down outside of the server.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::support::{Arrival, Reply};

/// Bytes of a body beside its number.
const FILLER_BYTES: usize = 2_000;

/// The books. An event is known by its number `n` before it has an id.
#[derive(Default)]
pub(super) struct Ledger(Mutex<Books>);

#[derive(Default)]
struct Books {
    next: u64,
    /// The id of each event that was accepted.
    accepted: HashMap<u64, String>,
    /// Events whose answer was lost and that have a key: to be sent again.
    unanswered: Vec<u64>,
    /// Those that were told to come again later: to be sent again in the next round.
    later: Vec<u64>,
    arrived: HashMap<String, Arrived>,
    number_of: HashMap<u64, String>,
    duplicates: u64,
    /// Of them, those before this round, and the most that a round has had.
    duplicates_before: u64,
    most_duplicates_a_round: u64,
    faults: Vec<String>,
    receiver_refuses: bool,
}

struct Arrived {
    times: u64,
    confirmed: bool,
}

/// How many there were.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) accepted: usize,
    /// Arrivals of what had been confirmed before.
    pub(super) duplicates: u64,
    pub(super) most_duplicates_a_round: u64,
}

/// The body of an event: its bytes follow from its number.
pub(super) fn body(n: u64) -> String {
    let letter = char::from(b'a' + (n % 26) as u8);
    format!(r#"{{"n":{n}, "filler":"{}"}}"#, String::from(letter).repeat(FILLER_BYTES))
}

fn number(body: &str) -> Option<u64> {
    let digits = body.strip_prefix(r#"{"n":"#)?.split(',').next()?;
    digits.parse().ok()
}

/// Every eighth event has an idempotency key.
pub(super) fn key(n: u64) -> Option<String> {
    n.is_multiple_of(8).then(|| format!("key-{n}"))
}

impl Books {
    fn end_round(&mut self) {
        self.most_duplicates_a_round = self.most_duplicates_a_round.max(self.duplicates - self.duplicates_before);
        self.duplicates_before = self.duplicates;
    }
}

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events to send: those that may be sent again first.
    pub(super) fn take(&self, count: usize, app: usize, apps: usize) -> Vec<u64> {
        let mut books = self.books();
        let mut again = vec![];
        books.unanswered.retain(|n| {
            let mine = again.len() < count && *n as usize % apps == app;
            if mine {
                again.push(*n);
            }
            !mine
        });
        while again.len() < count {
            // Numbers of one application have one rest, so that an event sent again goes to the same.
            again.push(books.next * apps as u64 + app as u64);
            books.next += 1;
        }
        again
    }

    /// The answer to an event.
    pub(super) fn accept(&self, n: u64, id: &str) {
        let mut books = self.books();
        if let Some(before) = books.accepted.insert(n, id.to_owned()) {
            books.faults.push(format!("event {n} was accepted twice, as {before} and as {id}"));
        }
        if let Some(other) = books.number_of.insert(n, id.to_owned()).filter(|other| other != id) {
            books.faults.push(format!("event {n} has two ids, {other} and {id}"));
        }
    }

    /// The server is gone and these had no answer. Those with a key are sent again.
    pub(super) fn unanswered(&self, events: impl IntoIterator<Item = u64>) {
        self.books().unanswered.extend(events.into_iter().filter(|n| key(*n).is_some()));
    }

    /// An event was told to come again later.
    pub(super) fn later(&self, n: u64) {
        self.books().later.push(n);
    }

    /// Another round begins.
    pub(super) fn begin_round(&self) {
        let mut books = self.books();
        let later = std::mem::take(&mut books.later);
        books.unanswered.extend(later);
        books.end_round();
    }

    /// How many there were until now, which ends the round.
    pub(super) fn counts(&self) -> Counts {
        let mut books = self.books();
        books.end_round();
        Counts {
            accepted: books.accepted.len(),
            duplicates: books.duplicates,
            most_duplicates_a_round: books.most_duplicates_a_round,
        }
    }

    /// A fault that somebody else has seen.
    pub(super) fn fault(&self, fault: String) {
        self.books().faults.push(fault);
    }

    /// From now on the receiver refuses everything, or takes everything.
    pub(super) fn set_receiver_refuses(&self, refuses: bool) {
        self.books().receiver_refuses = refuses;
    }

    /// A request at the receiver.
    pub(super) fn arrive(&self, arrival: &Arrival) -> Reply {
        let id = arrival.id().to_owned();
        let text = String::from_utf8_lossy(&arrival.body);
        let mut books = self.books();
        let refuses = books.receiver_refuses;
        match number(&text) {
            Some(n) if text == body(n) => {
                if let Some(other) = books.number_of.insert(n, id.clone()).filter(|other| *other != id) {
                    books.faults.push(format!("event {n} has two ids, {other} and {id}"));
                }
            }
            _ => books.faults.push(format!("{id} arrived with a body that was never sent: {text:.100}")),
        }
        let arrived = books.arrived.entry(id).or_insert(Arrived { times: 0, confirmed: false });
        arrived.times += 1;
        let again = arrived.confirmed;
        arrived.confirmed |= !refuses;
        if again {
            books.duplicates += 1;
        }
        // An answer below 500 is a sign of life, so that the lane goes on at full speed.
        Reply::Status(if refuses { 400 } else { 200 })
    }

    /// Nothing happened that must never happen.
    pub(super) fn assert_sound(&self) {
        let books = self.books();
        assert!(
            books.faults.is_empty(),
            "{} faults: {:#?}",
            books.faults.len(),
            books.faults.iter().take(10).collect::<Vec<_>>()
        );
    }

    /// Each accepted event was confirmed by the receiver, or is listed.
    pub(super) fn assert_none_is_lost(&self, pending: &BTreeSet<String>, dead: &BTreeSet<String>) {
        let books = self.books();
        let confirmed = |id: &String| books.arrived.get(id).is_some_and(|arrived| arrived.confirmed);
        let lost = books.accepted.values().filter(|id| !confirmed(id) && !pending.contains(*id) && !dead.contains(*id));
        let lost: Vec<_> = lost.collect();
        assert!(
            lost.is_empty(),
            "{} of {} are lost: {:?}",
            lost.len(),
            books.accepted.len(),
            lost.iter().take(10).collect::<Vec<_>>()
        );
    }

    /// Each accepted event was confirmed by the receiver.
    pub(super) fn assert_all_confirmed(&self) {
        self.assert_none_is_lost(&BTreeSet::new(), &BTreeSet::new());
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let books = self.books();
        let unanswered = books.arrived.len().saturating_sub(books.accepted.len());
        write!(
            f,
            "{} events accepted, {} arrived ({unanswered} of which lost their answer), {} duplicates",
            books.accepted.len(),
            books.arrived.len(),
            books.duplicates,
        )
    }
}

/// The books must notice what they are kept for.
mod tests {
    use hyper::{HeaderMap, Method};

    use super::*;

    fn arrival(id: &str, body: String) -> Arrival {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", id.parse().expect("ASCII"));
        Arrival { method: Method::POST, path: "/hook".to_owned(), headers, body: body.into() }
    }

    #[test]
    fn what_arrived_or_is_listed_is_not_lost() {
        let ledger = Ledger::default();
        for (n, id) in [(1, "msg_1"), (2, "msg_2"), (3, "msg_3")] {
            ledger.accept(n, id);
        }
        ledger.arrive(&arrival("msg_1", body(1)));
        let set = |id: &str| BTreeSet::from([id.to_owned()]);
        ledger.assert_none_is_lost(&set("msg_2"), &set("msg_3"));
        ledger.assert_sound();
    }

    #[test]
    #[should_panic(expected = "1 of 2 are lost: [\"msg_2\"]")]
    fn what_is_neither_here_nor_there_is_lost() {
        let ledger = Ledger::default();
        ledger.accept(1, "msg_1");
        ledger.accept(2, "msg_2");
        ledger.arrive(&arrival("msg_1", body(1)));
        ledger.assert_all_confirmed();
    }

    #[test]
    #[should_panic(expected = "1 of 1 are lost")]
    fn what_the_receiver_refused_has_not_arrived() {
        let ledger = Ledger::default();
        ledger.accept(1, "msg_1");
        ledger.set_receiver_refuses(true);
        ledger.arrive(&arrival("msg_1", body(1)));
        ledger.assert_all_confirmed();
    }

    #[test]
    #[should_panic(expected = "never sent")]
    fn another_body_is_a_fault() {
        let ledger = Ledger::default();
        ledger.arrive(&arrival("msg_1", body(1).replace("\"n\":1,", "\"n\":2,")));
        ledger.assert_sound();
    }

    #[test]
    #[should_panic(expected = "has two ids")]
    fn an_event_with_two_ids_is_a_fault() {
        let ledger = Ledger::default();
        ledger.accept(1, "msg_1");
        ledger.arrive(&arrival("msg_2", body(1)));
        ledger.assert_sound();
    }

    #[test]
    #[should_panic(expected = "was accepted twice")]
    fn an_event_that_is_accepted_twice_is_a_fault() {
        let ledger = Ledger::default();
        ledger.accept(8, "msg_1");
        ledger.accept(8, "msg_2");
        ledger.assert_sound();
    }
}
