//! Those that no request comes to.

use postrider_model::job::FailureKind;

use super::endpoint::{Act, Certified, Endpoint, Way};
use super::hostile::{AT_ONCE, Case, RECORD_BYTES, Shown};
use crate::options::Options;

/// The head of a record of the handshake that is as long as one can be, and of a hello
/// in it that is longer still (RFC 8446, 5.1 and 4).
const HELLO: [u8; 9] = [22, 3, 3, 0x40, 0, 2, 0xff, 0xff, 0xff];
/// A record with a warning that no user is left (RFC 5246, 7.2).
const WARNING: [u8; 7] = [21, 3, 3, 0, 2, 1, 90];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = before_a_connection();
    cases.extend(in_the_handshake());
    cases.extend(at_the_proxy());
    cases
}

fn before_a_connection() -> Vec<Case> {
    vec![
        slow("is never resolved", Way::Nameless, [], "resolving did not end in time"),
        slow("never accepts", Way::Absent, [], "connecting did not end in time"),
    ]
}

fn in_the_handshake() -> Vec<Case> {
    let way = || Way::Handshake(Certified::new());
    let hello = || Act::Says(HELLO.to_vec());
    let refused = |name, acts, says| at_once(name, way(), acts, Shown::Failure(FailureKind::Tls, says));
    let hangs = "TLS handshake did not end in time";
    vec![
        slow("hangs in the handshake", way(), [Act::Hangs], hangs),
        slow("says a byte a second in the handshake", way(), [hello(), Act::SaysEachSecond(vec![0])], hangs),
        refused("never ends its hello", vec![hello(), Act::Floods(vec![0])], "HandshakePayloadTooLarge"),
        refused("floods with warnings", vec![Act::Floods(WARNING.to_vec())], "TooManyWarningAlerts"),
        refused("closes in the handshake", vec![hello()], "handshake eof"),
        refused("resets in the handshake", vec![hello(), Act::Resets], "connection reset"),
    ]
}

fn at_the_proxy() -> Vec<Case> {
    let head = || Act::Says(b"HTTP/1.1 200 OK\r\nx-slow: ".to_vec());
    let refused = |name, acts, says| at_once(name, Way::Proxy, acts, Shown::Failure(FailureKind::Proxy, says));
    let hangs = "connecting through the proxy did not end in time";
    vec![
        slow("is a proxy that never answers", Way::Proxy, [Act::Hangs], hangs),
        slow("is a proxy that says a byte a second", Way::Proxy, [head(), Act::SaysEachSecond(vec![b'a'])], hangs),
        refused("is a proxy without end", vec![head(), Act::Floods(vec![b'a'])], "no connection through the proxy"),
        refused("is a proxy that closes", vec![Act::ReadsConnect], "no connection through the proxy"),
    ]
}

/// One whose connection is given up when its time has come.
fn slow<const N: usize>(name: &'static str, way: Way, acts: [Act; N], says: &'static str) -> Case {
    Case {
        name,
        endpoint: Endpoint { way, acts: acts.into() },
        shown: Shown::Failure(FailureKind::Timeout, says),
        ends: Options::default().connect_timeout,
        takes_at_most: 64,
    }
}

fn at_once(name: &'static str, way: Way, acts: Vec<Act>, shown: Shown) -> Case {
    Case { name, endpoint: Endpoint { way, acts }, shown, ends: AT_ONCE, takes_at_most: 2 * RECORD_BYTES }
}
