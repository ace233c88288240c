//! From one declaration of the keys come the typed configuration and the table
//! of keys, from which reading, showing and the documentation are made.

use std::ops::RangeInclusive;

use super::Config;
use super::value::{Raw, Span, Value};

type Set = fn(&mut Config, Raw<'_>, Option<&RangeInclusive<u64>>) -> Result<(), String>;

/// One key of the configuration.
pub(crate) struct Key {
    /// With its section: `limits.body_bytes`.
    pub(crate) name: &'static str,
    /// What it does, in one or two sentences.
    pub(crate) doc: &'static str,
    /// The type in words.
    pub(crate) kind: &'static str,
    /// The smallest and the largest number allowed; of seconds for a length of time.
    pub(crate) range: Option<RangeInclusive<u64>>,
    /// It takes effect at SIGHUP, without a restart.
    pub(crate) reload: bool,
    pub(super) set: Set,
    pub(super) show: fn(&Config) -> Option<String>,
    pub(super) is_same: fn(&Config, &Config) -> bool,
}

/// A group of keys.
pub(crate) struct Section {
    /// Its name; empty for the keys that stand before the first section.
    pub(crate) name: &'static str,
    /// What its keys are about.
    pub(crate) doc: &'static str,
}

impl Key {
    /// The environment variable: `POSTRIDER_LIMITS__BODY_BYTES`.
    pub(crate) fn env(&self) -> String {
        format!("POSTRIDER_{}", self.name.to_uppercase().replace('.', "__"))
    }

    /// The section's name and the key's name in it.
    pub(crate) fn parts(&self) -> (&'static str, &'static str) {
        self.name.rsplit_once('.').unwrap_or(("", self.name))
    }

    /// What is allowed, in words, if it is a number or a length of time.
    pub(crate) fn bounds(&self) -> Option<String> {
        let range = self.range.as_ref()?;
        Some(in_words(range, self.kind == Span::TYPE))
    }

    /// Sets it in `config`.
    ///
    /// # Errors
    /// The value is of another type or out of bounds; `config` stays as it is.
    pub(crate) fn set(&self, config: &mut Config, raw: Raw<'_>) -> Result<(), String> {
        (self.set)(config, raw, self.range.as_ref())
    }

    /// The value in `config` as TOML, secrets redacted; `None` if it is not set.
    pub(crate) fn show(&self, config: &Config) -> Option<String> {
        (self.show)(config)
    }

    /// Whether both configurations have the same value.
    pub(crate) fn is_same(&self, one: &Config, other: &Config) -> bool {
        (self.is_same)(one, other)
    }
}

fn in_words(range: &RangeInclusive<u64>, is_time: bool) -> String {
    let unit = if is_time { "s" } else { "" };
    format!("{}{unit} to {}{unit}", range.start(), range.end())
}

pub(super) fn assign<T: Value>(slot: &mut T, raw: Raw<'_>, range: Option<&RangeInclusive<u64>>) -> Result<(), String> {
    let bounds = range.map(|range| in_words(range, T::TYPE == Span::TYPE)).unwrap_or_default();
    let value = T::read(raw).map_err(|problem| match range {
        Some(_) => format!("{problem}; {bounds} are allowed"),
        None => problem,
    })?;
    if let (Some(number), Some(range)) = (value.number(), range)
        && !range.contains(&number)
    {
        return Err(format!("is {}, {bounds} are allowed", value.show().unwrap_or_else(|| number.to_string())));
    }
    *slot = value;
    Ok(())
}

/// Declares the configuration. See `keys.rs`, which is the only use.
macro_rules! settings {
    (
        top { $( $(#[doc = $top_doc:literal])+ $top:ident: $top_type:ty = $top_default:expr; )* }
        $(
            $(#[doc = $section_doc:literal])+
            $section:ident: $Section:ident {
                $(
                    $(#[doc = $doc:literal])+
                    $key:ident: $type:ty = $default:expr $(, in $range:expr)? $(=> $reload:ident)?;
                )*
            }
        )*
    ) => {
        /// The whole configuration. Every value in it is valid.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) struct Config {
            $( $(#[doc = $top_doc])+ pub(crate) $top: $top_type, )*
            $( $(#[doc = $section_doc])+ pub(crate) $section: $Section, )*
        }
        $(
            $(#[doc = $section_doc])+
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub(crate) struct $Section {
                $( $(#[doc = $doc])+ pub(crate) $key: $type, )*
            }
        )*

        impl Default for Config {
            fn default() -> Self {
                Self {
                    $( $top: $top_default, )*
                    $( $section: $Section { $( $key: $default, )* }, )*
                }
            }
        }

        /// The sections in the order of the documentation.
        pub(crate) static SECTIONS: &[Section] = &[
            $( Section { name: settings!(@name $section), doc: concat!($($section_doc),+) }, )*
        ];

        /// All keys, section after section.
        pub(crate) static KEYS: &[Key] = &[
            $( Key {
                name: stringify!($top),
                doc: concat!($($top_doc),+),
                kind: <$top_type as Value>::TYPE,
                range: None,
                reload: false,
                set: |config, raw, range| assign(&mut config.$top, raw, range),
                show: |config| config.$top.show(),
                is_same: |one, other| one.$top == other.$top,
            }, )*
            $( $( Key {
                name: concat!(settings!(@name $section), ".", stringify!($key)),
                doc: concat!($($doc),+),
                kind: <$type as Value>::TYPE,
                range: settings!(@range $($range)?),
                reload: settings!(@reload $($reload)?),
                set: |config, raw, range| assign(&mut config.$section.$key, raw, range),
                show: |config| config.$section.$key.show(),
                is_same: |one, other| one.$section.$key == other.$section.$key,
            }, )* )*
        ];
    };
    // A section within another one, which no identifier can name.
    (@name api_tls) => { "api.tls" };
    (@name $section:ident) => { stringify!($section) };
    (@range) => { None };
    (@range $range:expr) => { Some($range) };
    (@reload) => { false };
    (@reload reload) => { true };
}
pub(super) use settings;
