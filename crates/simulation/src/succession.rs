//! All that a delivery may have come to, by what was seen of it: the laws W3, W4 and W6.
//!
//! ```text
//!   attempt ended, command asked for  ---> may be on record from now on
//!   command answered                  ---> is on record, or never will be
//!   attempt begins, state is read     ---> only what agrees with that is left
//!   the process dies                  ---> what is not on record never will be; outcomes
//!                                          that may be unsynced may be lost
//! ```
//!
//! If nothing is left, what was seen does not follow from what was seen before.

use std::collections::BTreeSet;

use crate::standing::{Begun, Cause, Deed, End, Numbers, Standing};

/// What may be so is shown so often at most.
const SHOWN: usize = 4;

/// An attempt on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kept {
    pub(crate) number: u16,
    /// It came too late to change anything.
    pub(crate) stale: bool,
}

/// What may come to be on record.
#[derive(Clone, Copy, Debug)]
enum Event {
    Ended { end: End, at_ms: u64 },
    Done(Deed),
}

/// One of the things that may be so.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Possible {
    /// `None`: there is no such delivery.
    standing: Option<Standing>,
    history: Vec<Kept>,
    /// Events that are not on record, by their place in [`Succession::events`].
    open: BTreeSet<usize>,
    /// Attempts that it waited for when a person changed it: they may be under way.
    late: Vec<Begun>,
    /// What was so before each of the last outcomes, and when that was told.
    before: Vec<(u64, Option<Standing>, Vec<Kept>)>,
    /// An outcome has come too late since it was read last.
    stale: bool,
}

/// What was seen of one delivery.
pub(crate) struct Succession {
    events: Vec<Event>,
    possible: BTreeSet<Possible>,
    /// The attempt that the dispatcher has, in this life of the server.
    flight: Option<Begun>,
    /// Something has happened since it was read last, or may yet come to be on record.
    pub(crate) moved: bool,
}

/// What does not follow, and from what.
pub(crate) struct Illegal {
    /// The rule's name.
    pub(crate) rule: &'static str,
    pub(crate) what: String,
}

impl Default for Succession {
    /// A delivery that may have been accepted, or is none.
    fn default() -> Self {
        let first = Possible { standing: Some(Standing::FIRST), ..Possible::default() };
        Self { events: vec![], possible: [Possible::default(), first].into(), flight: None, moved: true }
    }
}

impl Succession {
    /// The dispatcher is given an attempt.
    pub(crate) fn begun(&mut self, begun: Begun) -> Result<(), Illegal> {
        self.moved = true;
        self.flight = Some(begun);
        self.expand();
        let begun = if begun.trigger == Cause::Resend { Begun { step: 0, ..begun } } else { begun };
        // Nothing begins before the outcome of the attempt before is on record.
        let fits = |all: &Self, possible: &Possible| {
            let waits = possible.standing.and_then(Standing::next) == Some(begun) || possible.late.contains(&begun);
            waits && !all.lacks(possible, u64::MAX, false)
        };
        self.retain("W3", fits, &|| format!("{begun:?} begins"))
    }

    /// The scheduler is told how an attempt has ended.
    pub(crate) fn ended(&mut self, end: End, at_ms: u64) {
        self.flight = None;
        self.add(Event::Ended { end, at_ms });
    }

    /// A person asks for something. Gives what to answer it by.
    pub(crate) fn asked(&mut self, deed: Deed) -> usize {
        self.add(Event::Done(deed))
    }

    fn add(&mut self, event: Event) -> usize {
        self.moved = true;
        self.events.push(event);
        let place = self.events.len() - 1;
        let opened = |mut possible: Possible| {
            possible.open.insert(place);
            possible
        };
        self.possible = std::mem::take(&mut self.possible).into_iter().map(opened).collect();
        place
    }

    /// The person is answered that it is done, or that it cannot be.
    pub(crate) fn answered(&mut self, asked: usize, done: bool) -> Result<(), Illegal> {
        self.expand();
        let deed = self.events.get(asked).copied();
        self.retain("W3", |_, possible| possible.open.contains(&asked) != done, &|| {
            format!("{deed:?} is answered, done: {done}")
        })?;
        self.give_up(|place, _| place == asked);
        Ok(())
    }

    /// Tasks that replay dead letters have all ended.
    pub(crate) fn tasks_ended(&mut self) {
        self.give_up(|_, event| matches!(event, Event::Done(Deed::ReplayIfDead)));
    }

    /// What is not on record of these will not be any more.
    fn give_up(&mut self, which: impl Fn(usize, &Event) -> bool) {
        let events = &self.events;
        let given_up = |mut possible: Possible| {
            possible.open.retain(|place| events.get(*place).is_some_and(|event| !which(*place, event)));
            possible
        };
        self.possible = std::mem::take(&mut self.possible).into_iter().map(given_up).collect();
    }

    /// The process is gone. Outcomes that were told at `unsynced_from` or later may be lost.
    pub(crate) fn died(&mut self, unsynced_from: u64) {
        self.expand();
        self.flight = None;
        self.moved = true;
        let mut left = BTreeSet::new();
        for mut possible in std::mem::take(&mut self.possible) {
            possible.late.clear();
            possible.stale = false;
            let mut before = std::mem::take(&mut possible.before);
            left.insert(possible.clone());
            while let Some((_, standing, history)) = before.pop_if(|(told, ..)| *told >= unsynced_from) {
                (possible.standing, possible.history) = (standing, history);
                left.insert(possible.clone());
            }
        }
        self.possible = left;
        // A task goes on after the start.
        self.give_up(|_, event| !matches!(event, Event::Done(Deed::ReplayIfDead)));
    }

    /// The store tells where it stands, and its attempts in the order of their record.
    /// Outcomes told before `synced_until` are on record, and synced. `rule` is broken if it has gone
    /// to where it cannot come to.
    pub(crate) fn read(
        &mut self,
        rule: &'static str,
        (standing, history): (Option<Standing>, &[Kept]),
        synced_until: u64,
    ) -> Result<(), Illegal> {
        self.expand();
        // What came too late must have changed nothing.
        let late = self.possible.iter().any(|possible| possible.stale);
        let rule = if late { "W6" } else { rule };
        self.retain(rule, |_, possible| possible.standing == standing, &|| {
            format!("it is {standing:?}, with {history:?} on record")
        })?;
        let rule = if self.possible.iter().any(|possible| possible.stale) { "W6" } else { rule };
        self.retain(rule, |_, possible| possible.history == history, &|| {
            format!("{history:?} is on record, and it is {standing:?}")
        })?;
        let rule =
            if self.possible.iter().any(|possible| self.lacks(possible, synced_until, true)) { "W6" } else { rule };
        self.retain(rule, |all, possible| !all.lacks(possible, synced_until, false), &|| {
            format!("only {history:?} is on record, and it is {standing:?}")
        })?;
        let read = |mut possible: Possible| {
            possible.stale = false;
            possible.before.retain(|(told, ..)| *told >= synced_until);
            possible
        };
        self.possible = std::mem::take(&mut self.possible).into_iter().map(read).collect();
        self.moved = self.possible.iter().any(|possible| !possible.open.is_empty());
        Ok(())
    }

    /// Whether an outcome is not on record that was told before this, be it any or one
    /// that changes nothing.
    fn lacks(&self, possible: &Possible, told_before: u64, only_stale: bool) -> bool {
        let mut open = possible.open.iter().filter_map(|place| self.events.get(*place));
        open.any(|event| match event {
            Event::Ended { end, at_ms } if *at_ms < told_before => {
                !only_stale || possible.standing.is_none_or(|standing| standing.after(end).is_none())
            }
            _ => false,
        })
    }

    fn retain(
        &mut self,
        rule: &'static str,
        fits: impl Fn(&Self, &Possible) -> bool,
        seen: &dyn Fn() -> String,
    ) -> Result<(), Illegal> {
        let left: BTreeSet<Possible> = self.possible.iter().filter(|possible| fits(self, possible)).cloned().collect();
        if left.is_empty() {
            let possible: Vec<_> =
                self.possible.iter().map(|possible| (possible.standing, &possible.history)).take(SHOWN).collect();
            return Err(Illegal { rule, what: format!("{}, which does not follow from {possible:?}", seen()) });
        }
        self.possible = left;
        Ok(())
    }

    /// Adds what is so if more of the events are on record.
    fn expand(&mut self) {
        let mut fresh: Vec<Possible> = self.possible.iter().cloned().collect();
        while let Some(possible) = fresh.pop() {
            for place in &possible.open {
                for after in self.with(&possible, *place) {
                    if self.possible.insert(after.clone()) {
                        fresh.push(after);
                    }
                }
            }
        }
    }

    /// What may be so when this event comes to be on record.
    fn with(&self, possible: &Possible, place: usize) -> Vec<Possible> {
        let mut after = possible.clone();
        after.open.remove(&place);
        match self.events.get(place) {
            Some(Event::Ended { end, at_ms }) => {
                // Nobody attempts what is not there.
                let Some(standing) = possible.standing else { return vec![] };
                after.before.push((*at_ms, possible.standing, possible.history.clone()));
                after.late.retain(|late| late.number > end.number);
                let next = standing.after(end);
                after.history.push(Kept { number: end.number, stale: next.is_none() });
                after.stale |= next.is_none();
                let to = |standing| Possible { standing: Some(standing), ..after.clone() };
                next.unwrap_or_else(|| vec![standing]).into_iter().map(to).collect()
            }
            Some(Event::Done(deed)) => {
                // Whoever is answered has its change on disk, and all before it.
                after.before.clear();
                after.late.extend(possible.standing.and_then(Standing::next));
                let next = Standing::after_deed(possible.standing, *deed, self.numbers(possible));
                next.into_iter().map(|standing| Possible { standing: Some(standing), ..after.clone() }).collect()
            }
            None => vec![],
        }
    }

    fn numbers(&self, possible: &Possible) -> Numbers {
        let counted = possible.history.iter().rev().find(|kept| !kept.stale).map_or(0, |kept| kept.number);
        let ended = possible.open.iter().filter_map(|place| match self.events.get(*place) {
            Some(Event::Ended { end, .. }) => Some(end.number),
            _ => None,
        });
        let known = possible.history.iter().map(|kept| kept.number).chain(ended);
        let least = known.chain(self.flight.map(|begun| begun.number)).max().unwrap_or(0);
        // The dispatcher need not have heard of one that is under way.
        let most = possible.late.iter().map(|late| late.number).max().unwrap_or(0).max(least);
        Numbers { counted, begun: (least, most) }
    }
}

#[cfg(test)]
mod tests;
