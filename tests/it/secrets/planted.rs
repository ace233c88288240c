//! Secrets that are planted, in every form in which they could come out again.

use std::collections::{BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What must not be seen, with its name, by its first two bytes: a data directory is many megabytes.
pub(super) struct Planted {
    by_start: HashMap<[u8; 2], Vec<(String, Vec<u8>)>>,
}

impl Planted {
    /// Out of names and secrets. What has a prefix such as `whsec_` is looked for without it, too.
    pub(super) fn new(secrets: &[(&str, &str)]) -> Self {
        let mut needles = vec![];
        for (name, text) in secrets {
            let bare = text.strip_prefix("whsec_").or_else(|| text.strip_prefix("whsk_")).unwrap_or(text);
            forms(name, text.as_bytes(), &mut needles);
            forms(name, bare.as_bytes(), &mut needles);
            if let Ok(bytes) = STANDARD.decode(bare) {
                forms(&format!("bytes of {name}"), &bytes, &mut needles);
            }
        }
        let mut by_start: HashMap<_, Vec<_>> = HashMap::new();
        for (name, needle) in needles {
            by_start.entry([needle[0], needle[1]]).or_default().push((name, needle));
        }
        Self { by_start }
    }

    /// What of it is in these bytes.
    pub(super) fn seen_in(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let mut starts = vec![false; 1 << 16];
        for start in self.by_start.keys() {
            starts[usize::from(u16::from_be_bytes(*start))] = true;
        }
        let mut seen = BTreeSet::new();
        for (at, pair) in bytes.windows(2).enumerate() {
            let start = [pair[0], pair[1]];
            if starts[usize::from(u16::from_be_bytes(start))] {
                let found = self.by_start[&start].iter().filter(|(_, needle)| bytes[at..].starts_with(needle));
                seen.extend(found.map(|(name, _)| name.as_str()));
            }
        }
        seen
    }
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
