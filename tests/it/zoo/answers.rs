//! Those that answer properly, and want more by it.

use super::KEPT_OF_SUCCESS;
use super::broken::saying;
use super::cage::{Animal, Shown};

/// Where a redirect leads.
const PLACES: &[(&str, &str)] = &[
    ("redirects to a metadata service", "location: http://169.254.169.254/latest/meta-data/\r\n"),
    ("redirects to this machine", "location: http://127.0.0.1:1/\r\n"),
    ("redirects to a file", "location: file:///etc/passwd\r\n"),
    ("redirects to another scheme", "location: gopher://example.com/_x\r\n"),
    ("redirects to https", "location: https://127.0.0.1:1/\r\n"),
    ("redirects to what is no URL", "location: ///\r\n"),
    ("redirects to nowhere", ""),
    ("redirects to two places", "location: http://127.0.0.1:1/a\r\nlocation: http://127.0.0.1:1/b\r\n"),
];

/// All of them.
pub(crate) async fn animals() -> Vec<Animal> {
    let mut animals = Vec::new();
    for (name, headers) in PLACES {
        animals.push(answering(name, 302, headers, b"away").await);
    }
    for (name, status) in [
        ("redirects to itself with 300", 300),
        ("redirects to itself with 301", 301),
        ("redirects to itself with 302", 302),
        ("redirects to itself with 303", 303),
        ("redirects to itself with 305", 305),
        ("redirects to itself with 307", 307),
        ("redirects to itself with 308", 308),
    ] {
        animals.push(answering(name, status, "location: /hook\r\n", b"again").await);
    }
    let bomb = gzip_bomb();
    animals.push(answering("sends a compressed bomb", 200, "content-encoding: gzip\r\n", &bomb).await);
    animals.push(answering("sends a compressed bomb as an error", 500, "content-encoding: gzip\r\n", &bomb).await);
    animals.push(answering("names a compression that is none", 200, "content-encoding: br, gzip, x\r\n", b"x").await);
    animals
}

/// What is kept is what came, byte for byte, and nothing is followed.
async fn answering(name: &'static str, status: u16, headers: &str, body: &[u8]) -> Animal {
    let head = format!("HTTP/1.1 {status} Yes\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let kept = if status < 300 { body.get(..KEPT_OF_SUCCESS).unwrap_or(body) } else { body };
    let shown = Shown::Answer(status, String::from_utf8_lossy(kept).into_owned());
    saying(name, [head.as_bytes(), body].concat(), shown).await
}

/// Some kilobytes that are more than a megabyte of zeros when they are expanded: one
/// block of deflate (RFC 1951, 3.2.6) that repeats its first byte.
fn gzip_bomb() -> Vec<u8> {
    let mut bits = vec![1, 1, 0];
    bits.extend([0, 0, 1, 1, 0, 0, 0, 0]);
    for _ in 0..5_000 {
        bits.extend([1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]);
    }
    bits.extend([0; 7]);
    let packed = bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |sum, bit| sum << 1 | bit));
    [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff].into_iter().chain(packed).collect()
}
