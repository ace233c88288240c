//! Configuration values that are one of a few words.

use postrider_dispatcher::SignatureHeaders;
use postrider_model::event_type::Validation;
use postrider_model::format::Format;
use postrider_model::order::{AfterDead, OrderBy};
use postrider_model::rate::Per;
use postrider_model::secret::SignatureKind;
use postrider_model::signature::Signature;
use postrider_model::verification::Verification;

use super::value::{Raw, Value, quoted};

/// A value that is one of a few words.
pub(crate) trait Choice: Copy + PartialEq + 'static {
    /// The words in words, for the documentation and for errors.
    const WORDS: &'static str;
    /// Each word with what it stands for.
    const CHOICES: &'static [(&'static str, Self)];
}

impl<T: Choice> Value for T {
    const TYPE: &'static str = T::WORDS;

    fn read(raw: Raw<'_>) -> Result<Self, String> {
        let text = raw.text::<Self>()?;
        let found = T::CHOICES.iter().find(|(word, _)| *word == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| raw.mismatch::<Self>())
    }

    fn show(&self) -> Option<String> {
        T::CHOICES.iter().find(|(_, choice)| choice == self).map(|(word, _)| quoted(word))
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Choice for LogFormat {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("human", Self::Human), ("json", Self::Json)];
    const WORDS: &'static str = "`auto`, `human` or `json`";
}

impl Choice for Per {
    const CHOICES: &'static [(&'static str, Self)] = &[("second", Self::Second), ("minute", Self::Minute)];
    const WORDS: &'static str = Self::WORDS;
}

impl Choice for OrderBy {
    const CHOICES: &'static [(&'static str, Self)] = &[("key", Self::Key), ("fifo", Self::Fifo), ("none", Self::None)];
    const WORDS: &'static str = Self::WORDS;
}

impl Choice for AfterDead {
    const CHOICES: &'static [(&'static str, Self)] = &[("continue", Self::Continue), ("hold", Self::Hold)];
    const WORDS: &'static str = Self::WORDS;
}

impl Choice for Validation {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("off", Self::Off), ("warn", Self::Warn), ("refuse", Self::Refuse)];
    const WORDS: &'static str = Self::WORDS;
}

impl Choice for SignatureKind {
    const CHOICES: &'static [(&'static str, Self)] = &[("hmac-sha256", Self::HmacSha256), ("ed25519", Self::Ed25519)];
    const WORDS: &'static str = "`hmac-sha256` or `ed25519`";
}

impl Choice for Signature {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("standard", Self::Standard),
        ("github", Self::Github),
        ("stripe", Self::Stripe),
        ("http-message-signatures", Self::HttpMessageSignatures),
    ];
    const WORDS: &'static str = Self::WORDS;
}

impl Choice for SignatureHeaders {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("webhook", Self::Webhook), ("svix", Self::Svix), ("both", Self::Both)];
    const WORDS: &'static str = "`webhook`, `svix` or `both`";
}

impl Choice for Format {
    const CHOICES: &'static [(&'static str, Self)] = &[
        ("payload", Self::Payload),
        ("standard", Self::Standard),
        ("cloudevents-binary", Self::CloudEventsBinary),
        ("cloudevents-structured", Self::CloudEventsStructured),
    ];
    const WORDS: &'static str = Self::WORDS;
}

impl Choice for Verification {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("challenge", Self::Challenge), ("cloudevents", Self::CloudEvents)];
    const WORDS: &'static str = Self::WORDS;
}
