//! The fields of a request's body: given, given as `null`, or left out. All
//! problems of a body are gathered and answered at once.

use std::fmt;
use std::marker::PhantomData;

use postrider_model::bounds::Whole;
use postrider_model::validate::{self, ThrottleRate};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{ApiError, Item};

/// A field of a request's body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Field<T> {
    /// It is not there.
    #[default]
    Absent,
    /// It is `null`.
    Null,
    /// It is there.
    Value(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}

/// Only the default is ever written: the description of a body asks for it.
impl<T> Serialize for Field<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<T> Field<T> {
    /// The value, where leaving it out and `null` mean the same.
    pub(crate) fn nullable(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// The value, to look at.
    pub(crate) const fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// What to change it to: `null` clears, leaving it out changes nothing.
    pub(crate) fn change(self) -> Option<Option<T>> {
        match self {
            Self::Absent => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }

    /// The value if it is there; `null` is a problem.
    pub(crate) fn given(self, name: &'static str, problems: &mut Problems) -> Option<T> {
        match self {
            Self::Absent => None,
            Self::Null => {
                problems.note(&[name], "must not be null", "type_error.none.not_allowed");
                None
            }
            Self::Value(value) => Some(value),
        }
    }

    /// The value; `null` and leaving it out are problems. The default stands in
    /// until the problems are answered.
    pub(crate) fn required(self, name: &'static str, problems: &mut Problems) -> T
    where
        T: Default,
    {
        self.given_or_missing(name, problems).unwrap_or_default()
    }

    /// The value; `null` and leaving it out are problems.
    pub(crate) fn given_or_missing(self, name: &'static str, problems: &mut Problems) -> Option<T> {
        if matches!(self, Self::Absent) {
            problems.note(&[name], "field required", "value_error.missing");
        }
        self.given(name, problems)
    }

    /// Changes the value if it is there.
    pub(crate) fn map<R>(self, change: impl FnOnce(T) -> R) -> Field<R> {
        match self {
            Self::Absent => Field::Absent,
            Self::Null => Field::Null,
            Self::Value(value) => Field::Value(change(value)),
        }
    }

    /// This field, or its other name where this one is left out.
    pub(crate) fn or(self, other: Self) -> Self {
        if matches!(self, Self::Absent) { other } else { self }
    }

    pub(crate) const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// An object within a body. The derived readers would take an array of its fields
/// for it, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<T, E> {
                // What should be an object with a secret in it may be the secret, which is not told back.
                Err(E::invalid_type(Unexpected::Other("a text"), &self))
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields))
            }
        }
        deserializer.deserialize_any(Fields(PhantomData)).map(Self)
    }
}

/// The throttle rate by its name, or by its older one, which a problem then names.
pub(crate) fn throttle(
    rate: Field<Whole<ThrottleRate>>,
    older: Field<Whole<ThrottleRate>>,
    problems: &mut Problems,
) -> Field<u32> {
    if let (Field::Absent, Field::Value(per_second)) = (&rate, &older) {
        problems.check("rateLimit", validate::rate(Some(per_second.number())));
    }
    rate.or(older).map(Whole::number)
}

/// Reads one of a few words; `words` says which are allowed.
pub(crate) fn word<'de, T: DeserializeOwned, D: Deserializer<'de>>(reader: D, words: &str) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(reader)?;
    let word = Some(value).filter(serde_json::Value::is_string).and_then(|value| T::deserialize(value).ok());
    word.ok_or_else(|| D::Error::custom(format!("must be {words}")))
}

/// Changes a field if a change was asked for.
pub(crate) fn set<T>(field: &mut T, change: Option<T>) {
    if let Some(value) = change {
        *field = value;
    }
}

/// The problems of one body.
#[derive(Default)]
pub(crate) struct Problems(Vec<Item>);

impl Problems {
    /// Notes a problem of the field that these names lead to.
    pub(crate) fn note(&mut self, names: &[&str], msg: impl Into<String>, kind: &'static str) {
        let loc = std::iter::once("body").chain(names.iter().copied()).map(str::to_owned).collect();
        self.0.push(Item { loc, msg: msg.into(), kind });
    }

    /// Notes the problem of a field, if it has one.
    pub(crate) fn check(&mut self, name: &str, result: Result<(), String>) {
        if let Err(msg) = result {
            self.note(&[name], msg, "value_error");
        }
    }

    /// Fine if nothing was noted.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::Invalid(self.0)) }
    }
}
