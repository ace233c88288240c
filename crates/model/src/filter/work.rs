//! What it takes to ask filters of a payload, in steps, so that what all of a message's filters may
//! take together is bounded. Steps are counted and not timed: what comes of a message does not depend
//! on how busy the machine is.

/// Steps that all filters of a message may take. One is up to 20 ns on a core of today.
pub const MAX_STEPS: u64 = 8 << 20;
/// Those that are taken where others wait for the thread: some 10 ms.
pub const HURRIED_STEPS: u64 = MAX_STEPS / 16;

/// Steps at a value for each selector of many values, and for each term that is asked of each of many.
const WIDE_STEPS: u64 = 3;
/// Terms that are asked of the payload as a whole, and take a step for each value in it at the worst: where
/// both sides are long lists that are equal.
const TERMS_A_STEP: u64 = 2;
/// Segments of a path at which there is nothing.
const SEGMENTS_A_STEP: u64 = 4;
/// Bytes of a text of the filter that are copied to be compared.
const TEXT_BYTES_A_STEP: u64 = 256;

/// How often a filter looks at values, by what it has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looks {
    /// Comparisons, calls, `&&` and `||`.
    pub(super) terms: usize,
    /// Those of them within `[?...]`.
    pub(super) within: usize,
    /// Selectors of many values.
    pub(super) wide: usize,
    /// Segments of the paths within `[?...]`.
    pub(super) segments: usize,
    /// Bytes of the texts there.
    pub(super) text_bytes: usize,
    /// Whether `..` is among these.
    pub(super) descends: bool,
}

impl Looks {
    /// Steps that a filter takes at the most with a payload of this size, besides its patterns.
    pub(super) fn steps(self, size: Size) -> u64 {
        let values = if self.descends { size.nested } else { size.values };
        let wide = if self.wide == 0 { 0 } else { (self.wide + self.within) as u64 * WIDE_STEPS };
        let paths = self.segments as u64 / SEGMENTS_A_STEP + self.text_bytes as u64 / TEXT_BYTES_A_STEP;
        values.saturating_mul(wide + paths + (self.terms as u64).div_ceil(TERMS_A_STEP))
    }
}

/// How much there is to look at in a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Values, a long text as several.
    values: u64,
    /// The same, each as many times as it lies deep: so often it is a part of what `..` selects.
    nested: u64,
}

impl Size {
    /// Bytes of a text that are compared as fast as a value.
    const TEXT_BYTES: usize = 64;

    pub(crate) fn of(value: &serde_json::Value) -> Self {
        let mut size = Self::default();
        size.add(value, 1);
        size
    }

    fn add(&mut self, value: &serde_json::Value, depth: u64) {
        let mut bytes = 0;
        match value {
            serde_json::Value::String(text) => bytes = text.len(),
            serde_json::Value::Array(members) => members.iter().for_each(|member| self.add(member, depth + 1)),
            serde_json::Value::Object(members) => {
                for (name, member) in members {
                    bytes += name.len();
                    self.add(member, depth + 1);
                }
            }
            _ => {}
        }
        let values = 1 + (bytes / Self::TEXT_BYTES) as u64;
        self.values += values;
        self.nested += values * depth;
    }
}
