//! The numbers that fields allow, and how they are read from JSON: whatever is
//! there instead is answered with what is allowed.

use std::marker::PhantomData;
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_json::Value;

/// The numbers that a field allows.
pub trait Bounds {
    /// The least and the largest.
    const RANGE: RangeInclusive<u32>;

    /// What is allowed, in words.
    #[must_use]
    fn allowed() -> String {
        in_words(&Self::RANGE)
    }

    /// Checks a value.
    ///
    /// # Errors
    /// It is not allowed.
    fn check(value: u32) -> Result<(), String> {
        if Self::RANGE.contains(&value) { Ok(()) } else { Err(format!("is {value}, {}", Self::allowed())) }
    }
}

/// Checks a value against a range that depends on other fields.
///
/// # Errors
/// It lies outside.
pub fn within(value: u32, range: &RangeInclusive<u32>) -> Result<(), String> {
    if range.contains(&value) { Ok(()) } else { Err(format!("is {value}, {}", in_words(range))) }
}

fn in_words(range: &RangeInclusive<u32>) -> String {
    format!("{} to {} are allowed", range.start(), range.end())
}

/// The range in the width of the configuration's numbers.
#[must_use]
pub const fn wide<B: Bounds>() -> RangeInclusive<u64> {
    *B::RANGE.start() as u64..=*B::RANGE.end() as u64
}

/// Declares fields with the numbers that they allow.
macro_rules! bounds {
    ($( $(#[doc = $doc:literal])+ $name:ident: $range:expr; )*) => {
        $(
            $(#[doc = $doc])+
            #[derive(Clone, Copy, Debug)]
            pub enum $name {}

            impl $crate::bounds::Bounds for $name {
                const RANGE: std::ops::RangeInclusive<u32> = $range;
            }
        )*
    };
}
pub(crate) use bounds;

/// A whole number as JSON has it, for a field with these bounds. Whether it lies
/// within is another question, so that all fields can be asked at once.
#[derive(Clone, Copy, Debug)]
pub struct Whole<B>(u32, PhantomData<B>);

impl<B> Whole<B> {
    /// One that was not read.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number, PhantomData)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

impl<'de, B: Bounds> Deserialize<'de> for Whole<B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if let Some(number) = value.as_u64().and_then(|number| u32::try_from(number).ok()) {
            return Ok(Self::new(number));
        }
        let is_whole = value.is_i64() || value.is_u64();
        let what = if is_whole { format!("is {value}") } else { "must be a whole number".to_owned() };
        Err(de::Error::custom(format!("{what}, {}", B::allowed())))
    }
}

/// Reads a number that must lie within the bounds.
///
/// # Errors
/// It does not, or is no whole number.
pub(crate) fn read<'de, B: Bounds, N: TryFrom<u32>, D: Deserializer<'de>>(deserializer: D) -> Result<N, D::Error> {
    let Whole(number, _) = Whole::<B>::deserialize(deserializer)?;
    B::check(number).map_err(de::Error::custom)?;
    N::try_from(number).map_err(|_| de::Error::custom(B::allowed()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::MaxInFlight as Slots;

    #[test]
    fn whatever_is_there_instead_is_answered_with_the_bounds() {
        let read =
            |text: &str| serde_json::from_str::<Whole<Slots>>(text).map(Whole::number).map_err(|e| e.to_string());
        assert_eq!((read("7"), read("5000")), (Ok(7), Ok(5_000)));
        for (text, says) in [
            ("-1", "is -1, 1 to 4096 are allowed"),
            ("4294967296", "is 4294967296, 1 to 4096 are allowed"),
            ("1.5", "must be a whole number, 1 to 4096 are allowed"),
            ("\"5\"", "must be a whole number, 1 to 4096 are allowed"),
            ("[1]", "must be a whole number, 1 to 4096 are allowed"),
            ("null", "must be a whole number, 1 to 4096 are allowed"),
        ] {
            assert!(read(text).is_err_and(|error| error.starts_with(says)), "{text}");
        }
        assert_eq!(Slots::check(5_000), Err("is 5000, 1 to 4096 are allowed".to_owned()));
        assert_eq!(wide::<Slots>(), 1..=4_096);
    }
}
