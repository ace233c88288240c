//! What was sent, answered, and delivered, written down outside of the server.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::support::{Arrival, Reply};

/// Bytes of a body beside its number.
const FILLER_BYTES: usize = 2_000;

/// An outcome was recorded before an event that was sent so much later. A machine
/// on which the server takes longer to read an answer would do little else.
const RECORDED_AFTER: Duration = Duration::from_secs(2);

/// The books. An event is known by its number `n` before it has an id.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Books>);

#[derive(Default)]
struct Books {
    next: u64,
    /// All numbers below this have been given out.
    sent: u64,
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
    /// Of the outcomes of what was sent again: how long before the cut it was confirmed.
    longest_before_a_cut: Duration,
    cuts: Vec<Cut>,
    /// Outcomes of what was confirmed before this are on disk.
    synced: Option<Instant>,
    faults: Vec<String>,
    receiver_refuses: bool,
}

struct Arrived {
    times: u64,
    confirmed: Option<Instant>,
}

/// An end of the server that may lose what is not synced.
struct Cut {
    end: End,
    begun: Instant,
    /// The server is gone.
    ended: Option<Instant>,
    /// What was confirmed before this must not be sent again.
    synced: Option<Instant>,
}

/// How the server ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// By `kill -9`: what it has said holds.
    Kill,
    /// With the power: what it says while that goes binds nobody.
    PowerCut,
}

/// How many there were.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) accepted: usize,
    /// Arrivals of what had been confirmed before.
    pub(crate) duplicates: u64,
    pub(crate) most_duplicates_a_round: u64,
    /// Of what was sent again after a cut: how long before it it was confirmed.
    pub(crate) longest_before_a_cut: Duration,
}

/// The body of an event: its bytes follow from its number.
pub(crate) fn body(n: u64) -> String {
    let letter = char::from(b'a' + (n % 26) as u8);
    format!(r#"{{"n":{n}, "filler":"{}"}}"#, String::from(letter).repeat(FILLER_BYTES))
}

fn number(body: &str) -> Option<u64> {
    let digits = body.strip_prefix(r#"{"n":"#)?.split(',').next()?;
    digits.parse().ok()
}

/// Every eighth event has an idempotency key.
pub(crate) fn key(n: u64) -> Option<String> {
    n.is_multiple_of(8).then(|| format!("key-{n}"))
}

impl Books {
    fn end_round(&mut self) {
        self.most_duplicates_a_round = self.most_duplicates_a_round.max(self.duplicates - self.duplicates_before);
        self.duplicates_before = self.duplicates;
    }

    /// The power is going: whatever the server says now binds nobody.
    fn is_cutting(&self) -> bool {
        self.cuts.last().is_some_and(|cut| cut.end == End::PowerCut && cut.ended.is_none())
    }

    /// Something was sent again that was confirmed at this moment.
    fn sent_again(&mut self, id: &str, confirmed: Instant) {
        self.duplicates += 1;
        match self.cuts.iter().find(|cut| cut.ended.is_none_or(|ended| ended >= confirmed)) {
            None => self.faults.push(format!("{id} was sent again, and the server had not ended in between")),
            Some(cut) => {
                let before = cut.begun.saturating_duration_since(confirmed);
                self.longest_before_a_cut = self.longest_before_a_cut.max(before);
                if cut.synced.is_some_and(|synced| confirmed < synced) {
                    self.faults.push(format!("{id} was sent again, though its outcome was synced: {before:?}"));
                }
            }
        }
    }
}

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events to send: those that may be sent again first.
    pub(crate) fn take(&self, count: usize, app: usize, apps: usize) -> Vec<u64> {
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
        books.sent = books.sent.max(books.next * apps as u64);
        again
    }

    /// The answer to an event that was sent at this moment.
    pub(crate) fn accept(&self, n: u64, id: &str, sent: Instant) {
        let mut books = self.books();
        if books.is_cutting() {
            drop(books);
            return self.unanswered([n]);
        }
        books.synced = books.synced.max(sent.checked_sub(RECORDED_AFTER));
        if let Some(before) = books.accepted.insert(n, id.to_owned()) {
            books.faults.push(format!("event {n} was accepted twice, as {before} and as {id}"));
        }
        if let Some(other) = books.number_of.insert(n, id.to_owned()).filter(|other| other != id) {
            books.faults.push(format!("event {n} has two ids, {other} and {id}"));
        }
    }

    /// The server is gone and these had no answer. Those with a key are sent again.
    pub(crate) fn unanswered(&self, events: impl IntoIterator<Item = u64>) {
        self.books().unanswered.extend(events.into_iter().filter(|n| key(*n).is_some()));
    }

    /// An event was told to come again later.
    pub(crate) fn later(&self, n: u64) {
        self.books().later.push(n);
    }

    /// Another round begins.
    pub(crate) fn begin_round(&self) {
        let mut books = self.books();
        let later = std::mem::take(&mut books.later);
        books.unanswered.extend(later);
        books.end_round();
    }

    /// The power is cut from now on: what is answered later may be lost.
    pub(crate) fn cut_begins(&self) {
        self.begins(End::PowerCut);
    }

    /// The process is killed now.
    pub(crate) fn kill_begins(&self) {
        self.begins(End::Kill);
    }

    fn begins(&self, end: End) {
        let mut books = self.books();
        let cut = Cut { end, begun: Instant::now(), ended: None, synced: books.synced };
        books.cuts.push(cut);
    }

    /// The server is gone. Nothing that it had begun comes later.
    pub(crate) fn cut_ended(&self) {
        if let Some(cut) = self.books().cuts.last_mut() {
            cut.ended = Some(Instant::now());
        }
    }

    /// The outcomes of all that was confirmed until now are on disk.
    pub(crate) fn all_is_synced(&self) {
        self.books().synced = Some(Instant::now());
    }

    /// How many there were until now, which ends the round.
    pub(crate) fn counts(&self) -> Counts {
        let mut books = self.books();
        books.end_round();
        Counts {
            accepted: books.accepted.len(),
            duplicates: books.duplicates,
            most_duplicates_a_round: books.most_duplicates_a_round,
            longest_before_a_cut: books.longest_before_a_cut,
        }
    }

    /// A fault that somebody else has seen.
    pub(crate) fn fault(&self, fault: String) {
        self.books().faults.push(fault);
    }

    /// The ids of all that was accepted.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.books().accepted.values().cloned().collect()
    }

    /// From now on the receiver refuses everything, or takes everything.
    pub(crate) fn set_receiver_refuses(&self, refuses: bool) {
        self.books().receiver_refuses = refuses;
    }

    /// A request at the receiver.
    pub(crate) fn arrive(&self, arrival: &Arrival) -> Reply {
        let id = arrival.id().to_owned();
        let text = String::from_utf8_lossy(&arrival.body);
        let mut books = self.books();
        let refuses = books.receiver_refuses;
        match number(&text).filter(|n| *n < books.sent && text == body(*n)) {
            // A sync that fails at that moment may have let it go out.
            Some(_) if books.is_cutting() => {}
            Some(n) => {
                if let Some(other) = books.number_of.insert(n, id.clone()).filter(|other| *other != id) {
                    books.faults.push(format!("event {n} has two ids, {other} and {id}"));
                }
            }
            None => books.faults.push(format!("{id} arrived with a body that was never sent: {text:.100}")),
        }
        let arrived = books.arrived.entry(id.clone()).or_insert(Arrived { times: 0, confirmed: None });
        arrived.times += 1;
        let before = arrived.confirmed;
        arrived.confirmed = if refuses { before } else { Some(Instant::now()) };
        if let Some(before) = before {
            books.sent_again(&id, before);
        }
        // An answer below 500 is a sign of life, so that the lane goes on at full speed.
        Reply::Status(if refuses { 400 } else { 200 })
    }

    /// Nothing happened that must never happen.
    pub(crate) fn assert_sound(&self) {
        let books = self.books();
        assert!(
            books.faults.is_empty(),
            "{} faults: {:#?}",
            books.faults.len(),
            books.faults.iter().take(10).collect::<Vec<_>>()
        );
    }

    /// Each accepted event was confirmed by the receiver, or is listed.
    pub(crate) fn assert_none_is_lost(&self, pending: &BTreeSet<String>, dead: &BTreeSet<String>) {
        let lost = self.lost(pending, dead);
        let accepted = self.books().accepted.len();
        let some: Vec<_> = lost.iter().take(10).collect();
        assert!(lost.is_empty(), "{} of {accepted} are lost: {some:?}", lost.len());
    }

    /// Accepted events that are neither here nor there.
    pub(crate) fn lost(&self, pending: &BTreeSet<String>, dead: &BTreeSet<String>) -> Vec<String> {
        let books = self.books();
        let confirmed = |id: &String| books.arrived.get(id).is_some_and(|arrived| arrived.confirmed.is_some());
        let lost = books.accepted.values().filter(|id| !confirmed(id) && !pending.contains(*id) && !dead.contains(*id));
        lost.cloned().collect()
    }

    /// Each accepted event was confirmed by the receiver.
    pub(crate) fn assert_all_confirmed(&self) {
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
mod tests;
