//! What must hold of whatever a customer gives as the URL of an endpoint (W12).
//! Run by `fuzz/`, and by a test over the corpus there.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use postrider_model::credentials::{self, MASK};
use postrider_model::target::Target;
use postrider_model::validate::{MAX_URL_BYTES, endpoint_url};
use url::Position::BeforeHost;
use url::Url;

use crate::guard::{Guard, Verdict, classify};
use crate::origin::Origin;

/// A URL; and the first four bytes as an address in all its spellings.
///
/// # Panics
/// The law is broken.
pub(crate) fn url(bytes: &[u8]) {
    let guard = Guard::new(true, Vec::new());
    if let Some(address) = bytes.first_chunk() {
        spellings(&guard, Ipv4Addr::from(*address));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(url) = endpoint_url(text) else { return };
    if url.as_str().len() <= MAX_URL_BYTES {
        assert_eq!(endpoint_url(url.as_str()).as_ref(), Ok(&url), "what was read is read again as the same");
    }
    check_shown(text, &url);
    let target = Target::new(&url, &BTreeMap::new(), Vec::new(), Duration::from_secs(1));
    let target = target.unwrap_or_else(|error| panic!("{text:?} is accepted and cannot be asked for: {error}"));
    let asked = target.uri.to_string();
    assert!(asked.bytes().all(|byte| (0x21..0x7f).contains(&byte)), "{asked:?} is one line without a space");
    let origin = Origin::of(&target.uri).unwrap_or_else(|| panic!("{asked:?} has no host"));
    assert!(!origin.authority().contains('@'), "{asked:?} shows who asks");
    assert_eq!(Some(origin.port()), url.port_or_known_default());
    if guard.refuses_url(&url).is_some() {
        return;
    }
    let host = origin.host();
    assert!(host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte)), "{host:?}");
    // However somebody reads the host as an address: it is none that is denied.
    let literals = [host.parse().ok(), as_libc_reads(host).map(IpAddr::V4)];
    for address in literals.into_iter().flatten() {
        assert_eq!(guard.check(address), Verdict::Allowed, "{text:?} leads to {address}");
    }
}

/// Whoever reads the URL as it is shown finds the mask for a user, no password, and all
/// else as it is; what is hidden may well stand in the path, too.
fn check_shown(text: &str, url: &Url) {
    let shown = credentials::masked(text);
    let read = Url::parse(&shown).unwrap_or_else(|error| panic!("{text:?} is shown as {shown:?}: {error}"));
    let has_any = !url.username().is_empty() || url.password().is_some();
    let (user, whole) = if has_any { (MASK, read.as_str()) } else { ("", text) };
    assert_eq!((read.username(), read.password()), (user, None), "{shown:?}");
    assert_eq!((read.scheme(), &read[BeforeHost..]), (url.scheme(), &url[BeforeHost..]));
    assert_eq!(shown, whole, "nothing stands there that a reader passes over");
}

/// What `inet_aton` takes for an address: one to four numbers, decimal, octal or
/// hexadecimal, the last of which fills what is left.
fn as_libc_reads(host: &str) -> Option<Ipv4Addr> {
    let numbers: Vec<u32> = host.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = numbers.split_last()?;
    let rest = 8 * (4u32.checked_sub(u32::try_from(first.len()).ok()?)?);
    let fits = first.iter().all(|number| *number < 256) && u64::from(*last) < 1 << rest;
    let high = first.iter().fold(0u64, |all, number| all << 8 | u64::from(*number));
    fits.then(|| Ipv4Addr::from_bits((high << rest) as u32 | last))
}

fn number(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
        (Some(hexadecimal), _) => u32::from_str_radix(hexadecimal, 16).ok(),
        (None, Some(octal)) if !octal.is_empty() => u32::from_str_radix(octal, 8).ok(),
        (None, _) => lower.parse().ok(),
    }
}

/// An address is judged the same however it is written.
fn spellings(guard: &Guard, address: Ipv4Addr) {
    let verdict = classify(address.into());
    let bits = address.to_bits();
    let [a, b, c, d] = address.octets();
    let (high, low) = (bits >> 16, bits & 0xffff);
    for host in [
        format!("{address}"),
        format!("{address}."),
        format!("{bits}"),
        format!("0x{bits:X}"),
        format!("0{bits:o}"),
        format!("{a}.{}", bits & 0xff_ffff),
        format!("0x{a:x}.0{b:o}.{low}"),
        format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
        format!("[::ffff:{address}]"),
        format!("[::ffff:{high:x}:{low:x}]"),
        format!("[64:ff9b::{high:x}:{low:x}]"),
    ] {
        let url = endpoint_url(&format!("http://{host}/")).unwrap_or_else(|error| panic!("{host}: {error}"));
        assert_eq!(guard.refuses_url(&url).is_none(), verdict == Verdict::Allowed, "{host}");
    }
    // By IPv4-compatible, 6to4 and ISATAP addresses nobody is reached at all.
    for host in [
        format!("[::{high:x}:{low:x}]"),
        format!("[2002:{high:x}:{low:x}::1]"),
        format!("[2001:4860::5efe:{high:x}:{low:x}]"),
    ] {
        let url = endpoint_url(&format!("http://{host}/")).unwrap_or_else(|error| panic!("{host}: {error}"));
        assert!(guard.refuses_url(&url).is_some(), "{host}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_law_holds_for_the_corpus() {
        postrider_proof::corpus("url", super::url);
    }
}
