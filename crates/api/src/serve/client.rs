//! Who is at the other end of a connection.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use crate::auth::Door;

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
}

fn is_in(proxies: &[IpNet], address: IpAddr) -> bool {
    proxies.iter().any(|network| network.contains(&address.to_canonical()))
}

fn behind(headers: &HeaderMap, proxies: &[IpNet], peer: IpAddr) -> IpAddr {
    let mut nearest = peer;
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    // After what is no address nothing can be trusted.
    let named = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    for address in named.map_while(|name| read(name.trim())) {
        nearest = address;
        if !is_in(proxies, address) {
            break;
        }
    }
    nearest
}

/// An address, as some proxies write it with the port.
fn read(name: &str) -> Option<IpAddr> {
    let address = name.parse().or_else(|_| name.parse().map(|with_port: SocketAddr| with_port.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

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
            ("192.0.2.1", &["192.0.2.7"], "192.0.2.1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
            }
            let [peer, expected] = [peer, expected].map(|text| text.parse().expect("an address"));
            let client = Client { door: Door::TcpFrom(peer), over_tls: false };
            assert_eq!(client.door(&headers, &proxies), Door::TcpFrom(expected), "{peer} {lines:?}");
        }
    }
}
