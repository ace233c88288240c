//! The address guard (W12): a customer's URL never makes Postrider talk to an
//! address that is not on the public internet, unless the operator allowed its
//! network.
//!
//! It is asked twice. [`Guard::check`] decides on every resolved address where
//! the socket is opened; this is what protects. [`Guard::refuses_url`] tells
//! the author of a URL early that it will never be reached; it sees no DNS and
//! protects nothing by itself.
//!
//! The classes are those of the IANA registries of special-purpose addresses,
//! read strictly: of IPv6 only 2000::/3, which is all that has been allocated
//! as global unicast, less the special parts of it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

use Class::*;

#[cfg(test)]
mod tests;

/// What the guard says about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be connected to.
    Allowed,
    /// It may not.
    Refused(Class),
}

/// Why an address is not one of the public internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// 0.0.0.0/8, `::`: this host.
    Unspecified,
    /// 127.0.0.0/8, `::1`.
    Loopback,
    /// RFC 1918, fc00::/7, fec0::/10.
    Private,
    /// 100.64.0.0/10: between a provider and its customers.
    CarrierNat,
    /// 169.254.0.0/16, fe80::/10; the metadata services of clouds live here.
    LinkLocal,
    /// Reachable from inside of a cloud only, and answers for its host.
    CloudMetadata,
    /// For documents: 192.0.2.0/24, 2001:db8::/32 and others.
    Documentation,
    /// 198.18.0.0/15: for measurements.
    Benchmark,
    /// 224.0.0.0/4, ff00::/8.
    Multicast,
    /// An IPv6 address that stands for an IPv4 address by 6to4, Teredo, ISATAP
    /// or translation: nobody can say where it ends.
    Transition,
    /// Everything else that is reserved or not allocated.
    Reserved,
}

impl Class {
    /// The class in words that follow "is".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Unspecified => "an unspecified address",
            Loopback => "a loopback address",
            Private => "a private address",
            CarrierNat => "a carrier's shared address",
            LinkLocal => "a link-local address",
            CloudMetadata => "an address inside of a cloud host",
            Documentation => "an address for documentation",
            Benchmark => "an address for benchmarks",
            Multicast => "a multicast address",
            Transition => "an address of a transition mechanism",
            Reserved => "a reserved address",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, d: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

/// The refused classes of IPv4.
const REFUSED_V4: [(Ipv4Net, Class); 20] = [
    (v4(0, 0, 0, 0, 8), Unspecified),
    (v4(10, 0, 0, 0, 8), Private),
    (v4(100, 64, 0, 0, 10), CarrierNat),
    (v4(127, 0, 0, 0, 8), Loopback),
    (v4(168, 63, 129, 16, 32), CloudMetadata),
    (v4(169, 254, 0, 0, 16), LinkLocal),
    (v4(172, 16, 0, 0, 12), Private),
    (v4(192, 0, 0, 0, 24), Reserved),
    (v4(192, 0, 2, 0, 24), Documentation),
    // AS112, AMT and the former 6to4 relays are anycast services: no receiver
    // of webhooks lives there, and whoever is nearest answers.
    (v4(192, 31, 196, 0, 24), Reserved),
    (v4(192, 52, 193, 0, 24), Reserved),
    (v4(192, 88, 99, 0, 24), Transition),
    (v4(192, 168, 0, 0, 16), Private),
    (v4(192, 175, 48, 0, 24), Reserved),
    (v4(198, 18, 0, 0, 15), Benchmark),
    (v4(198, 51, 100, 0, 24), Documentation),
    (v4(203, 0, 113, 0, 24), Documentation),
    (v4(224, 0, 0, 0, 4), Multicast),
    (v4(233, 252, 0, 0, 24), Documentation),
    (v4(240, 0, 0, 0, 4), Reserved),
];

/// The refused classes of IPv6, the narrower before the wider.
const REFUSED_V6: [(Ipv6Net, Class); 15] = [
    (Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128), Unspecified),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), Loopback),
    (v6(0x0064, 0xff9b, 1, 0, 48), Transition),
    // IPv4-compatible and translated addresses, and all else that begins so.
    (v6(0, 0, 0, 0, 8), Transition),
    (v6(0x2001, 0x0db8, 0, 0, 32), Documentation),
    (v6(0x2001, 0, 0, 0, 23), Transition),
    (v6(0x2002, 0, 0, 0, 16), Transition),
    (v6(0x2620, 0x004f, 0x8000, 0, 48), Reserved),
    (v6(0x3fff, 0, 0, 0, 20), Documentation),
    (v6(0xfc00, 0, 0, 0, 7), Private),
    (v6(0xfe80, 0, 0, 0, 10), LinkLocal),
    (v6(0xfec0, 0, 0, 0, 10), Private),
    (v6(0xff00, 0, 0, 0, 8), Multicast),
    (v6(0x0100, 0, 0, 0, 64), Reserved),
    (v6(0x5f00, 0, 0, 0, 16), Reserved),
];

/// All that has been allocated as global unicast.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 0, 3);

/// Says whether an address belongs to the public internet, whatever the
/// operator allows. Pure.
#[must_use]
pub fn classify(address: IpAddr) -> Verdict {
    let class = match canonical(address) {
        IpAddr::V4(address) => REFUSED_V4.iter().find(|(net, _)| net.contains(&address)).map(|(_, class)| *class),
        IpAddr::V6(address) => class_v6(address),
    };
    class.map_or(Verdict::Allowed, Verdict::Refused)
}

fn class_v6(address: Ipv6Addr) -> Option<Class> {
    if let Some((_, class)) = REFUSED_V6.iter().find(|(net, _)| net.contains(&address)) {
        return Some(*class);
    }
    // ISATAP (RFC 5214) hides an IPv4 address behind 0:5efe or 200:5efe, under any prefix.
    let [_, _, _, _, high, low, _, _] = address.segments();
    if low == 0x5efe && matches!(high, 0 | 0x0200) {
        return Some(Transition);
    }
    (!GLOBAL_V6.contains(&address)).then_some(Reserved)
}

/// The address that a packet really goes to. A mapped address is the IPv4
/// address in it. So is one under 64:ff9b::/96: behind DNS64 every host that
/// has only IPv4 resolves there, so the prefix cannot be refused as a whole.
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return v4.into();
    }
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into(),
        _ => address,
    }
}

/// The guard as the operator configured it.
#[derive(Clone, Debug)]
pub struct Guard {
    on: bool,
    allow_networks: Vec<IpNet>,
}

impl Guard {
    /// A guard that allows `allow_networks` beside the public internet, or
    /// everything if it is not `on`.
    #[must_use]
    pub const fn new(on: bool, allow_networks: Vec<IpNet>) -> Self {
        Self { on, allow_networks }
    }

    /// Whether a socket to this address may be opened.
    #[must_use]
    pub fn check(&self, address: IpAddr) -> Verdict {
        if !self.on || self.is_listed(address) || self.is_listed(canonical(address)) {
            return Verdict::Allowed;
        }
        classify(address)
    }

    fn is_listed(&self, address: IpAddr) -> bool {
        self.allow_networks.iter().any(|net| net.contains(&address))
    }

    fn allows(&self, address: impl Into<IpAddr>) -> bool {
        self.check(address.into()) == Verdict::Allowed
    }

    /// Why no request to this URL would ever be made, if the URL alone tells so.
    ///
    /// Addresses are judged as [`Guard::check`] does, in every spelling that the
    /// URL parser takes for one. Names of the host itself need an allowed
    /// loopback address, names of metadata services an allowed 169.254.169.254.
    /// Names that only mean something inside of a network (a single label,
    /// `.internal`, `.local` and their like) need any allowed network at all;
    /// their addresses are judged when they are known.
    #[must_use]
    pub fn refuses_url(&self, url: &Url) -> Option<UrlRefusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Some(UrlRefusal::Scheme);
        }
        let address = match url.host() {
            None => return Some(UrlRefusal::HostName),
            Some(Host::Domain(name)) => return self.refuses_name(name),
            Some(Host::Ipv4(address)) => IpAddr::from(address),
            Some(Host::Ipv6(address)) => IpAddr::from(address),
        };
        match self.check(address) {
            Verdict::Allowed => None,
            Verdict::Refused(class) => Some(UrlRefusal::Address { address, class }),
        }
    }

    /// The same of a name alone.
    pub(crate) fn refuses_name(&self, name: &str) -> Option<UrlRefusal> {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if name.len() > MAX_NAME_BYTES || !name.split('.').all(is_label) {
            return Some(UrlRefusal::HostName);
        }
        if !self.on {
            return None;
        }
        let last = name.rsplit('.').next().unwrap_or(&name);
        let local = matches!(last, "localhost" | "localdomain") || LOCALHOST_NAMES.contains(&name.as_str());
        let loopback_allowed = self.allows(Ipv4Addr::LOCALHOST) || self.allows(Ipv6Addr::LOCALHOST);
        if local && !loopback_allowed {
            return Some(UrlRefusal::ThisHost);
        }
        if METADATA_NAMES.contains(&name.as_str()) && !self.allows(METADATA_ADDRESS) {
            return Some(UrlRefusal::Metadata);
        }
        let internal = last == name || INTERNAL_SUFFIXES.contains(&last) || name.ends_with(".home.arpa");
        (internal && !local && self.allow_networks.is_empty()).then_some(UrlRefusal::InternalName)
    }
}

/// The longest host name (RFC 1035).
const MAX_NAME_BYTES: usize = 253;
const LOCALHOST_NAMES: [&str; 4] = ["ip6-localhost", "ip6-loopback", "localhost4", "localhost6"];
const METADATA_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const METADATA_NAMES: [&str; 7] = [
    "metadata",
    "metadata.goog",
    "metadata.google.internal",
    "metadata.azure.internal",
    "metadata.tencentyun.com",
    "instance-data",
    "instance-data.ec2.internal",
];
/// Last labels that are used inside of networks only.
const INTERNAL_SUFFIXES: [&str; 9] =
    ["corp", "home", "internal", "intranet", "lan", "local", "localdomain", "onion", "private"];

/// Letters, digits, hyphens and the underscore that many hosts have in practice.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Why no request to a URL would ever be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefusal {
    /// Neither `http` nor `https`.
    #[error("must begin with `https://` or `http://`")]
    Scheme,
    /// The host is no name that DNS could know.
    #[error("has a host that is neither an address nor a host name")]
    HostName,
    /// The host is an address of a refused class.
    #[error("{address} is {class}; requests to it are not allowed")]
    Address {
        /// The address as it was understood.
        address: IpAddr,
        /// What it is.
        class: Class,
    },
    /// The host is this host by another name.
    #[error("names the local host; requests to it are not allowed")]
    ThisHost,
    /// The host is a cloud's metadata service.
    #[error("names a metadata service; requests to it are not allowed")]
    Metadata,
    /// The host name only means something inside of a network.
    #[error("has a host name that is only known inside of a network; requests to it are not allowed")]
    InternalName,
}
