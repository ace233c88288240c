//! By which scheme the requests to an endpoint are signed, and with what.

use serde::{Deserialize, Serialize};

use crate::key_pair::{KEY_PAIR_PREFIX, PUBLIC_KEY_PREFIX};
use crate::secret::{InvalidSecret, Secret};
use crate::text_key::TextKey;
use crate::validate::Problem;

/// The scheme of an endpoint's signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signature {
    /// Standard Webhooks 1.0.0: `webhook-signature`, `v1` or `v1a`.
    #[default]
    Standard,
    /// As GitHub signs: `x-hub-signature-256`.
    Github,
    /// As Stripe signs: `stripe-signature`.
    Stripe,
    /// HTTP Message Signatures (RFC 9421): `signature-input` and `signature`.
    HttpMessageSignatures,
}

impl Signature {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Standard, Self::Github, Self::Stripe, Self::HttpMessageSignatures];
    /// The schemes in words, for errors and for the documentation.
    pub const WORDS: &str = "`standard`, `github`, `stripe` or `http-message-signatures`";

    /// The scheme as the API spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Github => "github",
            Self::Stripe => "stripe",
            Self::HttpMessageSignatures => "http-message-signatures",
        }
    }

    /// Whether it sets this header, so that nothing else can. Those of the standard begin with
    /// `webhook-` and are nobody's.
    #[must_use]
    pub fn sets_header(self, name: &str) -> bool {
        let own: &[&str] = match self {
            Self::Standard => &[],
            Self::Github => &["x-hub-signature-256"],
            Self::Stripe => &["stripe-signature"],
            Self::HttpMessageSignatures => &["signature", "signature-input"],
        };
        own.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Whether it is what an endpoint has that says nothing.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        matches!(self, Self::Standard)
    }

    /// Whether the key is the secret's text, all of it, as its receiver has it.
    #[must_use]
    pub const fn takes_text(self) -> bool {
        matches!(self, Self::Github | Self::Stripe)
    }

    /// A secret for this scheme from its text: `whsec_` or `whsk_` and base64,
    /// or, where the text is the key, any text that is long enough.
    ///
    /// # Errors
    /// The text is no such secret.
    pub fn parse_secret(self, text: &str) -> Result<Secret, InvalidSecret> {
        if !self.takes_text() {
            return Secret::parse(text);
        }
        if text.starts_with(KEY_PAIR_PREFIX) || text.starts_with(PUBLIC_KEY_PREFIX) {
            return Err(InvalidSecret::NoPairs(self.as_str()));
        }
        // In the standard's form it fits every scheme.
        Secret::parse(text).or_else(|_| TextKey::parse(text).map(Secret::Text))
    }

    /// Whether it can sign with this secret.
    ///
    /// # Errors
    /// It cannot; says of which kind the secret is.
    pub fn check(self, secret: &Secret) -> Result<(), Problem> {
        let kind = match (secret, self.takes_text()) {
            (Secret::Symmetric(_), _) | (Secret::Pair(_), false) | (Secret::Text(_), true) => return Ok(()),
            (Secret::Pair(_), true) => "an Ed25519 key pair",
            (Secret::Text(_), false) => "a text that is not in the form `whsec_...`",
        };
        Err(format!("is {kind}, with which `{}` cannot sign", self.as_str()))
    }

    /// A secret as this scheme signs with it; `None` if it cannot.
    #[must_use]
    pub fn prepared(self, secret: Secret) -> Option<Secret> {
        self.check(&secret).ok()?;
        match secret {
            Secret::Symmetric(_) if self.takes_text() => Some(Secret::Text(TextKey::of(&secret.expose_text()))),
            secret => Some(secret),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::auth::Auth;
    use crate::endpoint::EndpointFields;
    use crate::format::Format;
    use crate::secret::SignatureKind;

    const OURS: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const PAIR: &str = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

    #[test]
    fn each_scheme_is_read_as_it_is_written() {
        for scheme in Signature::ALL {
            assert_eq!(serde_json::to_value(scheme).expect("a word"), scheme.as_str());
            assert_eq!(serde_json::from_value::<Signature>(scheme.as_str().into()).expect("a scheme"), scheme);
            assert!(Signature::WORDS.contains(&format!("`{}`", scheme.as_str())));
            assert_eq!(scheme.is_default(), scheme == Signature::default());
        }
    }

    #[test]
    fn a_header_of_the_scheme_is_no_place_for_a_key() {
        assert!(Signature::Github.sets_header("X-Hub-Signature-256") && !Signature::Stripe.sets_header("x-key"));
        for (signature, format, header, is_fine) in [
            (Signature::Stripe, None, "Stripe-Signature", false),
            (Signature::Github, None, "stripe-signature", true),
            (Signature::HttpMessageSignatures, None, "signature", false),
            (Signature::Standard, Some(Format::CloudEventsBinary), "ce-id", false),
            (Signature::Standard, Some(Format::Standard), "ce-id", true),
        ] {
            let auth = Some(Auth::ApiKey { header: header.to_owned(), value: "v".to_owned() });
            let fields = EndpointFields {
                url: "https://a.test".to_owned(),
                signature,
                format,
                auth,
                ..EndpointFields::default()
            };
            let errors = fields.validate().err().map_or_else(Vec::new, |errors| errors.0);
            assert_eq!(errors.iter().map(|error| error.field).next(), (!is_fine).then_some("auth.header"), "{header}");
        }
    }

    #[test]
    fn what_the_receiver_has_already_is_a_secret_where_the_text_is_the_key() {
        for scheme in [Signature::Github, Signature::Stripe] {
            for text in ["It's a Secret to Everybody", "whsec_abc", "whsec_%%%", "12345678", &"x".repeat(256)] {
                let secret = scheme.parse_secret(text).expect(text);
                assert_eq!((scheme.check(&secret), secret.expose_text().as_str()), (Ok(()), text));
                assert!(matches!(secret, Secret::Text(_)), "{text}");
            }
            assert!(matches!(scheme.parse_secret(OURS), Ok(Secret::Symmetric(_))), "it fits every scheme");
            for text in ["", "1234567", &"x".repeat(257), "with a tab\t", "schlüssel-lang", "line\nbreak"] {
                assert_eq!(scheme.parse_secret(text), Err(InvalidSecret::Text), "{text}");
            }
            for text in [PAIR, PUBLIC, "whsk_short", "whpk_"] {
                assert_eq!(scheme.parse_secret(text), Err(InvalidSecret::NoPairs(scheme.as_str())), "{text}");
            }
        }
        for scheme in [Signature::Standard, Signature::HttpMessageSignatures] {
            for text in ["It's a Secret to Everybody", PUBLIC, "whsec_abc"] {
                assert_eq!(scheme.parse_secret(text), Secret::parse(text), "{text}");
                assert!(scheme.parse_secret(text).is_err());
            }
            assert!(scheme.parse_secret(PAIR).is_ok());
        }
    }

    #[test]
    fn a_scheme_says_with_what_it_cannot_sign() {
        let [pair, ours] = [PAIR, OURS].map(|text| Secret::parse(text).expect("an example of the standard"));
        let text = Signature::Github.parse_secret("some text").expect("long enough");
        for scheme in Signature::ALL {
            assert_eq!(scheme.check(&ours), Ok(()));
            assert_eq!(scheme.check(&pair).is_ok(), !scheme.takes_text());
            assert_eq!(scheme.check(&text).is_ok(), scheme.takes_text());
            for secret in [&pair, &ours, &text] {
                let prepared = scheme.prepared(secret.clone());
                assert_eq!(prepared.is_some(), scheme.check(secret).is_ok());
                let Some(prepared) = prepared else { continue };
                assert_eq!(prepared.expose_text(), secret.expose_text());
                assert_eq!(matches!(prepared, Secret::Text(_)), scheme.takes_text());
            }
        }
        let problem = Signature::Stripe.check(&pair);
        assert_eq!(problem, Err("is an Ed25519 key pair, with which `stripe` cannot sign".to_owned()));
    }

    proptest! {
        /// What is stored is what was given, whatever it looks like.
        #[test]
        fn every_secret_comes_back_from_its_stored_form(text in "(whsec_|text:|whsk)?[ -~]{8,40}", seed: [u8; 32]) {
            let own = Signature::Stripe.parse_secret(&text);
            let ours = [SignatureKind::HmacSha256, SignatureKind::Ed25519].map(|kind| Secret::from_random(kind, &seed));
            for secret in own.into_iter().chain(ours) {
                prop_assert_eq!(Secret::from_stored(&secret.to_stored()), Ok(secret));
            }
        }
    }
}
