//! What is logged on a thread, for who looks at it.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber};

/// Never in use. With one dispatcher alone, what a thread without it says of a place in the code holds for all.
static OTHERS: LazyLock<[Dispatch; 2]> =
    LazyLock::new(|| [Dispatch::new(Logged::default()), Dispatch::new(Logged::default())]);

/// The lines, each with its fields as `name=value`.
#[derive(Clone, Default)]
pub(crate) struct Logged(Arc<Mutex<Vec<String>>>);

impl Logged {
    /// The lines that were logged meanwhile in which this text stands.
    pub(crate) fn of(text: &str, work: impl FnOnce()) -> Vec<String> {
        LazyLock::force(&OTHERS);
        let logged = Self::default();
        tracing::subscriber::with_default(logged.clone(), work);
        let lines = std::mem::take(&mut *logged.0.lock());
        lines.into_iter().filter(|line| line.contains(text)).collect()
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).expect("a text takes it");
    }
}

impl Subscriber for Logged {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
