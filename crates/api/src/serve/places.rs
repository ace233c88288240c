//! How many connections one address has at a door.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use metrics::counter;
use parking_lot::Mutex;

use super::Options;
use super::client::is_in;
use crate::request_limits::neighbourhood;

const REFUSED: &str = "postrider_http_connections_refused_total";

/// How many each address has that has any, so no more addresses than there are connections.
type Taken = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// The places of a door, of which one address may have a quarter. A proxy of ours speaks
/// for many, and this machine is trusted to leave something to others: they may have all.
#[derive(Debug)]
pub(super) struct Places {
    max_per_address: usize,
    proxies: Arc<[IpNet]>,
    counts_loopback: bool,
    taken: Taken,
}

/// A place, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place(Option<(IpAddr, Taken)>);

impl Places {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            max_per_address: (options.max_connections / 4).max(1),
            proxies: Arc::clone(&options.proxies),
            counts_loopback: options.counts_loopback,
            taken: Arc::default(),
        }
    }

    /// A place for a connection, if its address may have one more.
    pub(super) fn take(&self, peer: Option<IpAddr>) -> Option<Place> {
        let Some(peer) = peer.filter(|peer| self.counts(*peer)) else { return Some(Place(None)) };
        let address = neighbourhood(peer);
        let mut taken = self.taken.lock();
        let connections = taken.entry(address).or_default();
        if *connections >= self.max_per_address {
            counter!(REFUSED).increment(1);
            tracing::debug!(%peer, "a connection was closed: its address has too many");
            return None;
        }
        *connections += 1;
        Some(Place(Some((address, Arc::clone(&self.taken)))))
    }

    fn counts(&self, peer: IpAddr) -> bool {
        (self.counts_loopback || !peer.to_canonical().is_loopback()) && !is_in(&self.proxies, peer)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((address, taken)) = self.0.take() else { return };
        let mut taken = taken.lock();
        if let Some(connections) = taken.get_mut(&address) {
            *connections -= 1;
            if *connections == 0 {
                taken.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(max_connections: usize) -> Places {
        let proxies = ["10.0.0.0/8".parse().expect("a network")].into();
        Places::new(&Options { max_connections, proxies, ..Options::default() })
    }

    fn from(address: &str) -> Option<IpAddr> {
        Some(address.parse().expect("an address"))
    }

    #[test]
    fn an_address_has_a_quarter_and_gets_back_what_it_leaves() {
        let places = places(8);
        let [one, _two] = ["192.0.2.1", "::ffff:192.0.2.1"].map(|address| places.take(from(address)));
        assert!(one.is_some() && places.take(from("192.0.2.1")).is_none());
        let other = places.take(from("192.0.2.2"));
        assert!(other.is_some(), "another address has places of its own");
        drop(one);
        assert!(places.take(from("192.0.2.1")).is_some());
        drop((_two, other));
        assert!(places.taken.lock().is_empty());
    }

    #[test]
    fn addresses_of_ipv6_count_together_by_their_network() {
        let places = places(1);
        let _one = places.take(from("2001:db8::1"));
        assert!(places.take(from("2001:db8::2")).is_none());
        assert!(places.take(from("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn this_machine_and_proxies_of_ours_may_have_all() {
        let places = places(4);
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "::ffff:10.0.0.1"] {
            let taken = [from(address); 4].map(|peer| places.take(peer).is_some());
            let kept = [from(address); 4].map(|peer| places.take(peer));
            assert!(taken.iter().all(|taken| *taken) && kept.iter().all(Option::is_some), "{address}");
        }
        assert!([None, None].map(|socket| places.take(socket)).iter().all(Option::is_some));
    }
}
