//! A message's payload as filters and order keys look into it.

use std::cell::{Cell, OnceCell};

use serde_json::Value;

use crate::filter::{MAX_STEPS, Size};
use crate::message::JSON;

/// Bytes of a payload that filters look into.
pub const MAX_FILTERED_BYTES: usize = 1 << 16;

/// The bytes of a payload, which are parsed when the first asks for that, and once.
#[derive(Debug)]
pub struct Payload<'a> {
    body: &'a [u8],
    /// Whether its content type says that it is JSON.
    json: bool,
    /// In a list of one, over which a filter selects. `None` if it is no JSON.
    listed: OnceCell<Option<Value>>,
    size: OnceCell<Size>,
    /// Steps that may still be taken by filters.
    left: Cell<u64>,
    /// Whether a filter would have taken more.
    ran_out: Cell<bool>,
}

impl Default for Payload<'_> {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl<'a> Payload<'a> {
    /// The payload with these bytes, of which nothing says what they are.
    #[must_use]
    pub const fn new(body: &'a [u8]) -> Self {
        Self {
            body,
            json: false,
            listed: OnceCell::new(),
            size: OnceCell::new(),
            left: Cell::new(MAX_STEPS),
            ran_out: Cell::new(false),
        }
    }

    /// The payload with these bytes of this content type; `None` is [`JSON`].
    #[must_use]
    pub fn of_type(body: &'a [u8], content_type: Option<&str>) -> Self {
        let name = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let json = content_type.map(name).is_none_or(|name| name == JSON || name.ends_with("+json"));
        Self { json, ..Self::new(body) }
    }

    /// The same, for all filters of which only so many steps are taken.
    #[must_use]
    pub fn with_steps(self, steps: u64) -> Self {
        Self { left: Cell::new(steps), ..self }
    }

    /// Steps that filters have taken, of [`MAX_STEPS`].
    #[must_use]
    pub fn taken(&self) -> u64 {
        MAX_STEPS.saturating_sub(self.left.get())
    }

    /// Whether a filter let it through because there were no steps left for it.
    #[must_use]
    pub fn ran_out(&self) -> bool {
        self.ran_out.get()
    }

    /// Whether no filter can look into it although it may be what was asked for: it is too
    /// long, or JSON that cannot be held, as a number beyond all bounds or half a surrogate.
    pub(crate) fn is_beyond_filters(&self) -> bool {
        self.body.len() > MAX_FILTERED_BYTES || self.is_unreadable()
    }

    /// Whether it is said to be JSON and cannot be held, as a number beyond all bounds or half a surrogate.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.json && self.listed().is_none()
    }

    /// Its value in JSON; `None` if it is none, or nested deeper than 128 levels.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        self.listed()?.get(0)
    }

    /// The same in a list of one.
    pub(crate) fn listed(&self) -> Option<&Value> {
        let parse = || serde_json::from_slice(self.body).ok().map(|value| Value::Array(vec![value]));
        self.listed.get_or_init(parse).as_ref()
    }

    /// How much of it there is to look at.
    pub(crate) fn size(&self) -> Size {
        *self.size.get_or_init(|| self.value().map(Size::of).unwrap_or_default())
    }

    /// Asks a filter that takes so many steps, and some of those that are left then, of which it gives the
    /// rest back. `None` if it would take more than there are: others may still be asked.
    pub(crate) fn spending<T>(&self, steps: u64, ask: impl FnOnce(u64) -> (Option<T>, u64)) -> Option<T> {
        let (answer, left) = self.left.get().checked_sub(steps).map_or((None, self.left.get()), ask);
        self.left.set(left);
        self.ran_out.set(self.ran_out.get() || answer.is_none());
        answer
    }
}
