//! Secrets that are planted, in every form in which they could come out again.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What must not be seen, with its name.
pub(super) struct Planted {
    needles: Vec<(String, Vec<u8>)>,
}

impl Planted {
    /// Out of names and secrets. What has a prefix such as `whsec_` is looked for without it, too.
    pub(super) fn new(secrets: &[(&str, &str)]) -> Self {
        let mut needles = vec![];
        for (name, text) in secrets {
            let bare = text.split_once('_').map_or(*text, |(_, bare)| bare);
            forms(name, text.as_bytes(), &mut needles);
            forms(name, bare.as_bytes(), &mut needles);
            if let Ok(bytes) = STANDARD.decode(bare) {
                forms(&format!("bytes of {name}"), &bytes, &mut needles);
            }
        }
        Self { needles }
    }

    /// What of it is in these bytes.
    pub(super) fn seen_in(&self, bytes: &[u8]) -> Vec<&str> {
        let is_in = |needle: &[u8]| memchr_find(bytes, needle);
        self.needles.iter().filter(|(_, needle)| is_in(needle)).map(|(name, _)| name.as_str()).collect()
    }
}

fn memchr_find(bytes: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return false };
    let starts = bytes.iter().enumerate().filter(|(_, byte)| *byte == first);
    starts.map(|(at, _)| at).any(|at| bytes[at..].starts_with(needle))
}

fn forms(name: &str, bytes: &[u8], needles: &mut Vec<(String, Vec<u8>)>) {
    let mut add = |form: &str, needle: Vec<u8>| needles.push((format!("{name} ({form})"), needle));
    add("as it is", bytes.to_vec());
    add("hex", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into());
    add("HEX", bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>().into());
    add("percent", bytes.iter().map(|byte| format!("%{byte:02X}")).collect::<String>().into());
    let reserved =
        |byte: &u8| if byte.is_ascii_alphanumeric() { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    add("percent where it must be", bytes.iter().map(reserved).collect::<String>().into());
    add("numbers", bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ").into());
    // Base64 of it wherever it stands in what was encoded: what its neighbours change is left out.
    for shift in 0..3 {
        let part = &bytes[shift.min(bytes.len())..];
        let whole = &part[..part.len() / 3 * 3];
        add("base64", STANDARD_NO_PAD.encode(whole).into());
        add("base64url", URL_SAFE_NO_PAD.encode(whole).into());
    }
}

#[test]
fn every_form_of_a_secret_is_found() {
    let secret = "hunter/2?of the till";
    let planted = Planted::new(&[("it", secret)]);
    for text in [
        format!("a {secret} b"),
        STANDARD.encode(format!("till:{secret}")),
        STANDARD.encode(format!("x{secret}y")),
        URL_SAFE_NO_PAD.encode(secret),
        "hunter%2F2%3Fof%20the%20till".to_owned(),
        secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
        format!("{:?}", secret.as_bytes()),
    ] {
        assert!(!planted.seen_in(text.as_bytes()).is_empty(), "{text}");
    }
    assert!(planted.seen_in(b"hunter/2 of the till").is_empty());
}
