//! Who is at the other end of a connection.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use crate::auth::{Door, Scheme};

const FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// The door that it came through.
    pub(super) door: Door,
    /// It speaks TLS.
    pub(super) over_tls: bool,
}

impl Client {
    /// The door of one request. A proxy speaks for others: then it is the address that
    /// the nearest proxy of ours saw, which is the last that is no proxy of ours. What
    /// stands before that one the client itself may have written.
    pub(super) fn door(self, headers: &HeaderMap, proxies: &[IpNet]) -> Door {
        match self.door {
            Door::TcpFrom(peer) if is_in(proxies, peer) => Door::TcpFrom(behind(headers, proxies, peer)),
            door => door,
        }
    }

    /// What the client of one request speaks: here, or as a proxy of ours says, there.
    pub(super) fn scheme(self, headers: &HeaderMap, proxies: &[IpNet]) -> Scheme {
        let here = if self.over_tls { Scheme::Https } else { Scheme::Http };
        match self.door {
            Door::TcpFrom(peer) if is_in(proxies, peer) => {
                let said = headers.get(FORWARDED_PROTO).map(HeaderValue::as_bytes);
                [Scheme::Http, Scheme::Https]
                    .into_iter()
                    .find(|scheme| said.is_some_and(|said| said.eq_ignore_ascii_case(scheme.as_str().as_bytes())))
                    .unwrap_or(here)
            }
            _ => here,
        }
    }
}

/// It is in one of these networks.
pub(super) fn is_in(proxies: &[IpNet], address: IpAddr) -> bool {
    proxies.iter().any(|network| network.contains(&address.to_canonical()))
}

fn behind(headers: &HeaderMap, proxies: &[IpNet], peer: IpAddr) -> IpAddr {
    let mut nearest = peer;
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    // What stands before something that is no address nobody of ours has written. Each is
    // read by itself: the client may have put any bytes before what the proxy adds.
    let named = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for address in named.map_while(read) {
        nearest = address;
        if !is_in(proxies, address) {
            break;
        }
    }
    nearest
}

/// An address, as some proxies write it with the port.
fn read(name: &[u8]) -> Option<IpAddr> {
    let name = std::str::from_utf8(name).ok()?.trim();
    let address = name.parse().or_else(|_| name.parse().map(|with_port: SocketAddr| with_port.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_through_proxies_counts_for_the_last_address_that_is_none() {
        let proxies: Vec<IpNet> = ["10.0.0.0/8", "::1/128"].map(|text| text.parse().expect("a network")).into();
        for (peer, lines, expected) in [
            ("10.0.0.1", &["192.0.2.7"][..], "192.0.2.7"),
            ("10.0.0.1", &["203.0.113.9, 192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["203.0.113.9", "192.0.2.7, 10.0.0.2"], "192.0.2.7"),
            ("::ffff:10.0.0.1", &["192.0.2.7:4711"], "192.0.2.7"),
            ("::1", &["[2001:db8::7]:80"], "2001:db8::7"),
            ("::1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.7, unknown, 10.0.0.3"], "10.0.0.3"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["M\u{fc}ller, 192.0.2.7"], "192.0.2.7"),
            ("10.0.0.1", &["192.0.2.7, M\u{fc}ller, 10.0.0.3"], "10.0.0.3"),
            ("192.0.2.1", &["192.0.2.7"], "192.0.2.1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).expect("no control characters"));
            }
            let [peer, expected] = [peer, expected].map(|text| text.parse().expect("an address"));
            let client = Client { door: Door::TcpFrom(peer), over_tls: false };
            assert_eq!(client.door(&headers, &proxies), Door::TcpFrom(expected), "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_proxy_of_ours_says_what_the_client_speaks_and_nobody_else() {
        let proxies: Vec<IpNet> = vec!["10.0.0.0/8".parse().expect("a network")];
        for (peer, over_tls, said, expected) in [
            ("192.0.2.7", false, None, Scheme::Http),
            ("192.0.2.7", true, None, Scheme::Https),
            ("192.0.2.7", false, Some("https"), Scheme::Http),
            ("192.0.2.7", true, Some("http"), Scheme::Https),
            ("10.0.0.1", false, None, Scheme::Http),
            ("10.0.0.1", false, Some("HTTPS"), Scheme::Https),
            ("10.0.0.1", true, Some("http"), Scheme::Http),
            ("10.0.0.1", true, Some("gopher"), Scheme::Https),
        ] {
            let said =
                said.map(|said| (http::HeaderName::from_static(FORWARDED_PROTO), HeaderValue::from_static(said)));
            let client = Client { door: Door::TcpFrom(peer.parse().expect("an address")), over_tls };
            let headers = said.clone().into_iter().collect();
            assert_eq!(client.scheme(&headers, &proxies), expected, "{peer} {over_tls} {said:?}");
        }
        let client = Client { door: Door::unix(true), over_tls: false };
        assert_eq!(client.scheme(&HeaderMap::new(), &proxies), Scheme::Http);
    }
}
