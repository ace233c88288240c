//! Draws scripts by chance. The ledger's own model says what is legal at each step.

use postrider_proof::Dice;

use super::world::{End, Ledger, Name, Op, Stand};
use super::{PAID, SENT};

const MESSAGES: [Name; 48] = [
    "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10", "m11", "m12", "m13", "m14", "m15", "m16", "m17",
    "m18", "m19", "m20", "m21", "m22", "m23", "m24", "m25", "m26", "m27", "m28", "m29", "m30", "m31", "m32", "m33",
    "m34", "m35", "m36", "m37", "m38", "m39", "m40", "m41", "m42", "m43", "m44", "m45", "m46", "m47", "m48",
];
/// The last one may be deleted, and is not made again.
const ENDPOINTS: [Name; 3] = ["a", "b", "c"];
const TYPES: [&[Name]; 2] = [&[PAID], &[PAID, SENT]];
/// What all scripts begin with, the application among it.
pub(super) const SETUP: usize = 3;
/// Each lets two hours go by, and keys are known for 24.
const LONG_WAITS: usize = 6;

/// A script of some dozen steps.
pub(super) fn script(dice: &mut Dice) -> Vec<Op> {
    let steps = SETUP + 12 + dice.below(36) as usize;
    let mut drawing = Drawing { dice, ledger: Ledger::new(), ops: vec![], sent: 0, long_waits: 0, has_made_c: false };
    drawing.push(Op::App);
    for name in ["a", "b"] {
        let types = *drawing.dice.one_of(&TYPES);
        drawing.push(Op::Endpoint(name, types));
    }
    while drawing.ops.len() < steps {
        if let Some(op) = drawing.draw() {
            drawing.push(op);
        }
    }
    drawing.ops
}

struct Drawing<'a> {
    dice: &'a mut Dice,
    /// Nothing fails in it.
    ledger: Ledger,
    ops: Vec<Op>,
    sent: usize,
    long_waits: usize,
    has_made_c: bool,
}

/// A delivery that a step may speak of.
type Choice = (Name, Name, Option<Stand>);

impl Drawing<'_> {
    fn push(&mut self, op: Op) {
        self.ledger.begin(op);
        self.ops.push(op);
    }

    /// A step, unless there is nothing for it at present.
    fn draw(&mut self) -> Option<Op> {
        match self.dice.below(100) {
            0..=27 => self.send(),
            28..=59 => self.attempt(),
            60..=65 => {
                let may = |stand| matches!(stand, None | Some(Stand::Delivered(_) | Stand::Dead(_)));
                let (message, endpoint, stand) = self.one(may)?;
                // What a replay added and a deletion ended is not listed.
                (endpoint != "c" || stand.is_some()).then_some(Op::Replay(message, endpoint))
            }
            66..=70 => {
                let may = |stand| matches!(stand, Some(Stand::Pending(_) | Stand::Delivered(_) | Stand::Dead(_)));
                self.one(may).map(|(message, endpoint, _)| Op::Resend(message, endpoint))
            }
            71..=74 => {
                let may = |stand| matches!(stand, Some(Stand::Pending(_)));
                self.one(may).map(|(message, endpoint, _)| Op::Cancel(message, endpoint))
            }
            75..=76 => {
                let may = |stand| matches!(stand, Some(Stand::Dead(_)));
                self.one(may).map(|(message, endpoint, _)| Op::Purge(message, endpoint))
            }
            77..=80 => self.endpoint().map(|(name, paused)| Op::Pause(name, !paused)),
            81..=82 => Some(Op::PauseAll(!self.world().all_paused)),
            83..=86 => Some(Op::Checkpoint),
            87..=90 => self.expunge(),
            91..=94 => self.long_wait(),
            95..=97 => Some(Op::Restart),
            _ => self.third_endpoint(),
        }
    }

    fn world(&self) -> &super::world::World {
        self.ledger.worlds.last().expect("there is one from the beginning")
    }

    fn send(&mut self) -> Option<Op> {
        let name = *MESSAGES.get(self.sent)?;
        self.sent += 1;
        // What has a key is asked for again with the type that everybody wants.
        let key = (self.dice.below(4) == 0).then_some(name);
        let event_type = if key.is_none() && self.dice.below(3) == 0 { SENT } else { PAID };
        let limit = *self.dice.one_of(&[100, 1_000, 3_500]);
        Some(Op::Send { name, event_type, key, bytes: 10 + self.dice.below(limit) as usize })
    }

    fn attempt(&mut self) -> Option<Op> {
        let waits = |stand| !matches!(stand, None | Some(Stand::Delivered(_) | Stand::Dead(_) | Stand::Cancelled));
        let (message, endpoint, stand) = self.one(waits)?;
        let end = match stand {
            Some(Stand::Pending(_)) => *self.dice.one_of(&[End::Delivered, End::Delivered, End::Retry, End::Dead]),
            _ => *self.dice.one_of(&[End::Delivered, End::AsBefore]),
        };
        Some(Op::Attempt(message, endpoint, end))
    }

    /// A delivery to an endpoint that is there, of a message that is whole.
    fn one(&mut self, wanted: impl Fn(Option<Stand>) -> bool) -> Option<Choice> {
        let world = self.ledger.worlds.last()?;
        let mut choices: Vec<Choice> = vec![];
        for name in MESSAGES {
            let Some(deliveries) = world.messages.get(name) else { continue };
            if self.ledger.old.contains(name) || world.expunged.contains(name) {
                continue;
            }
            let there = ENDPOINTS.into_iter().filter(|endpoint| world.endpoints.contains_key(*endpoint));
            let all = there.map(|endpoint| (name, endpoint, deliveries.get(endpoint).copied()));
            choices.extend(all.filter(|(_, _, stand)| wanted(*stand)));
        }
        if choices.is_empty() { None } else { Some(*self.dice.one_of(&choices)) }
    }

    fn endpoint(&mut self) -> Option<(Name, bool)> {
        let name = *self.dice.one_of(&ENDPOINTS);
        self.world().endpoints.get(name).map(|paused| (name, *paused))
    }

    /// Nothing of it may be resent at the moment.
    fn expunge(&mut self) -> Option<Op> {
        let (name, _, _) = self.one(|_| true)?;
        let deliveries = self.world().messages.get(name)?;
        let resent =
            |stand: &Stand| matches!(stand, Stand::PendingResent(_) | Stand::DeadResent(_) | Stand::DeliveredResent(_));
        (!deliveries.values().any(resent)).then_some(Op::Expunge(name))
    }

    fn long_wait(&mut self) -> Option<Op> {
        if self.long_waits == LONG_WAITS {
            return None;
        }
        self.long_waits += 1;
        Some(*self.dice.one_of(&[Op::Erase, Op::Retire, Op::Retire]))
    }

    fn third_endpoint(&mut self) -> Option<Op> {
        if !self.has_made_c {
            self.has_made_c = true;
            let types = *self.dice.one_of(&TYPES);
            return Some(Op::Endpoint("c", types));
        }
        // The model knows what a deletion makes of these, and of no others.
        let known = |stand: &Stand| matches!(stand, Stand::Pending(1) | Stand::Delivered(_) | Stand::Cancelled);
        let world = self.world();
        let mut stands = world.messages.values().filter_map(|deliveries| deliveries.get("c"));
        (world.endpoints.contains_key("c") && stands.all(known)).then_some(Op::DeleteEndpoint("c"))
    }
}
