use super::*;
use proptest::prelude::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} in the test's table is no address"))
}

fn guard(allow: &[&str]) -> Guard {
    Guard::new(true, allow.iter().map(|net| net.parse().expect("a network in the test's table")).collect())
}

fn refusal(guard: &Guard, url: &str) -> Option<UrlRefusal> {
    guard.refuses_url(&Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}")))
}

/// The first and last address of each refused class, and its neighbours where
/// they are public.
const CLASSES: [(&str, &str, Class, &[&str]); 36] = [
    ("0.0.0.0", "0.255.255.255", Unspecified, &["1.0.0.0"]),
    ("10.0.0.0", "10.255.255.255", Private, &["9.255.255.255", "11.0.0.0"]),
    ("100.64.0.0", "100.127.255.255", CarrierNat, &["100.63.255.255", "100.128.0.0"]),
    ("127.0.0.0", "127.255.255.255", Loopback, &["126.255.255.255", "128.0.0.0"]),
    ("168.63.129.16", "168.63.129.16", CloudMetadata, &["168.63.129.15", "168.63.129.17"]),
    ("169.254.0.0", "169.254.255.255", LinkLocal, &["169.253.255.255", "169.255.0.0"]),
    ("172.16.0.0", "172.31.255.255", Private, &["172.15.255.255", "172.32.0.0"]),
    ("192.0.0.0", "192.0.0.255", Reserved, &["191.255.255.255", "192.0.1.0"]),
    ("192.0.2.0", "192.0.2.255", Documentation, &["192.0.1.255", "192.0.3.0"]),
    ("192.31.196.0", "192.31.196.255", Reserved, &["192.31.195.255", "192.31.197.0"]),
    ("192.52.193.0", "192.52.193.255", Reserved, &["192.52.192.255", "192.52.194.0"]),
    ("192.88.99.0", "192.88.99.255", Transition, &["192.88.98.255", "192.88.100.0"]),
    ("192.168.0.0", "192.168.255.255", Private, &["192.167.255.255", "192.169.0.0"]),
    ("192.175.48.0", "192.175.48.255", Reserved, &["192.175.47.255", "192.175.49.0"]),
    ("198.18.0.0", "198.19.255.255", Benchmark, &["198.17.255.255", "198.20.0.0"]),
    ("198.51.100.0", "198.51.100.255", Documentation, &["198.51.99.255", "198.51.101.0"]),
    ("203.0.113.0", "203.0.113.255", Documentation, &["203.0.112.255", "203.0.114.0"]),
    ("224.0.0.0", "239.255.255.255", Multicast, &["223.255.255.255"]),
    ("240.0.0.0", "255.255.255.255", Reserved, &[]),
    ("::", "::", Unspecified, &[]),
    ("::1", "::1", Loopback, &[]),
    ("::2", "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Transition, &[]),
    ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", Transition, &[]),
    ("100::", "100::ffff:ffff:ffff:ffff", Reserved, &[]),
    ("200::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, &["2000::"]),
    ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", Transition, &["2000:ffff::", "2001:200::"]),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Documentation, &["2001:db7:ffff::", "2001:db9::"]),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Transition, &["2001:ffff::", "2003::"]),
    ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", Reserved, &["2620:4f:7fff::", "2620:4f:8001::"]),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Documentation, &["3ffe::", "3fff:1000::"]),
    ("4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, &[]),
    ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved, &[]),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Private, &[]),
    ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", LinkLocal, &[]),
    ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Private, &[]),
    ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Multicast, &[]),
];

#[test]
fn first_and_last_address_of_each_class_are_refused_and_its_neighbours_are_not() {
    for (first, last, class, neighbours) in CLASSES {
        for text in [first, last] {
            assert_eq!(classify(address(text)), Verdict::Refused(class), "{text}");
        }
        for text in neighbours {
            assert_eq!(classify(address(text)), Verdict::Allowed, "{text}");
        }
    }
    for text in ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::200e", "64:ff9b::8.8.8.8"] {
        assert_eq!(classify(address(text)), Verdict::Allowed, "{text}");
    }
}

/// URLs that must never lead to a request. The URL parser turns the numeric
/// spellings into addresses; names are refused as names.
const HOSTILE: [&str; 132] = [
    // Loopback and unspecified in every numeric spelling.
    "http://127.0.0.1/",
    "http://127.0.0.1:8071/api/v1/app/",
    "https://127.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.255.255.254/",
    "http://127.0.0.1./",
    "http://2130706433/",
    "http://2130706433./",
    "http://0x7f000001/",
    "http://0X7F.1/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://017700000001/",
    "http://0177.0.0.1/",
    "http://0177.0x0.0.1/",
    "http://00000177.1/",
    "http://127.0x1/",
    "http://127.000.000.001/",
    "http://%31%32%37.0.0.1/",
    "http://127%2e0%2e0%2e1/",
    "http://127。0。0。1/",
    "http://１２７．０．０．１/",
    "http://①②⑦.⓪.⓪.①/",
    "http://0/",
    "http://0.0.0.0/",
    "http://0x0/",
    "http://00/",
    "http://0.0/",
    "http://0.1.2.3/",
    // Metadata services.
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.169.254./latest/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0xA9.0xFE.0xA9.0xFE/",
    "http://0251.0376.0251.0376/",
    "http://025177524776/",
    "http://169.254.43518/",
    "http://169.16689662/",
    "http://169.254.170.2/v2/credentials",
    "http://100.100.100.200/latest/meta-data/",
    "http://192.0.0.192/latest/",
    "http://168.63.129.16/machine?comp=goalstate",
    "http://[fd00:ec2::254]/latest/",
    "http://[fd20:ce::254]/",
    "http://[::ffff:169.254.169.254]/",
    "http://metadata/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://METADATA.google.INTERNAL./",
    "http://metadata.goog/",
    "http://metadata.azure.internal/",
    "http://metadata.tencentyun.com/",
    "http://instance-data/latest/",
    "http://instance-data.ec2.internal/",
    // Private and shared networks.
    "http://10.0.0.1/",
    "http://10.1/",
    "http://167772161/",
    "http://012.0.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://0xac100001/",
    "http://192.168.0.1/",
    "http://192.168.257/",
    "http://0xc0a80001/",
    "http://030052000001/",
    "http://100.64.0.1/",
    "http://100.127.255.254/",
    "http://192.0.0.8/",
    "http://192.0.2.1/",
    "http://192.88.99.1/",
    "http://198.18.0.1/",
    "http://198.19.255.254/",
    "http://198.51.100.7/",
    "http://203.0.113.7/",
    "http://224.0.0.1/",
    "http://239.255.255.250:1900/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://4294967295/",
    // IPv6, and IPv4 inside of it.
    "http://[::]/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]:80/",
    "http://[::127.0.0.1]/",
    "http://[::7f00:1]/",
    "http://[::10.0.0.1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::FFFF:7F00:1]/",
    "http://[0:0:0:0:0:ffff:10.0.0.1]/",
    "http://[::ffff:0.0.0.0]/",
    "http://[::ffff:192.168.1.1]/",
    "http://[::ffff:100.64.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[::5efe:127.0.0.1]/",
    "http://[2a00:1450::5efe:10.0.0.1]/",
    "http://[2a00:1450::200:5efe:192.168.0.1]/",
    "http://[fe80::5efe:10.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b::10.0.0.1]/",
    "http://[64:ff9b:1::8.8.8.8]/",
    "http://[64:ff9b:1::127.0.0.1]/",
    "http://[64:ff9b::1:8.8.8.8]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[2002:c0a8:101::]/",
    "http://[2001::1]/",
    "http://[2001:0:7f00:1::]/",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    "http://[2001:20::1]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[5f00::1]/",
    "http://[100::1]/",
    "http://[fc00::1]/",
    "http://[fd12:3456:789a::1]/",
    "http://[fe80::1]/",
    "http://[febf::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[4000::1]/",
    // Names of this host and of networks.
    "http://localhost/",
    "http://LocalHost:9000/",
    "http://localhost./",
    "http://foo.localhost/",
    "http://localhost.localdomain/",
    "http://ip6-localhost/",
    "http://redis:6379/",
    "http://printer.local/",
    "http://wiki.corp/",
    "http://router.home.arpa/",
    "http://user:pass@127.0.0.1:80@10.0.0.1/",
];

#[test]
fn hostile_urls_are_refused() {
    let guard = guard(&[]);
    for url in HOSTILE {
        assert!(refusal(&guard, url).is_some(), "{url} is let through");
    }
    for url in ["ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "unix:/run/x.sock", "data:,x"] {
        assert_eq!(refusal(&guard, url), Some(UrlRefusal::Scheme), "{url}");
    }
    for url in ["http://a..example.com/", "http://a,b.example.com/", "http://ex*mple.com/", "http://-%7B.com/"] {
        assert_eq!(refusal(&guard, url), Some(UrlRefusal::HostName), "{url}");
    }
    let long = format!("http://{}com/", "a.".repeat(126));
    assert_eq!(refusal(&guard, &long), Some(UrlRefusal::HostName));
}

#[test]
fn public_urls_are_not_refused() {
    let guard = guard(&[]);
    for url in [
        "https://example.com/hooks",
        "http://example.com:8080/",
        "https://example.com./",
        "https://EXAMPLE.com/",
        "https://a_b.example.co.uk/",
        "https://bücher.example/",
        "https://localhost.example.com/",
        "https://local.example.com/",
        "https://user:pass@example.com/",
        "https://8.8.8.8/",
        "https://134744072/",
        "https://[2606:4700::1111]/",
        "https://[64:ff9b::8.8.8.8]/",
    ] {
        assert_eq!(refusal(&guard, url), None, "{url}");
    }
}

#[test]
fn allowed_networks_open_just_what_they_name() {
    let loopback = guard(&["127.0.0.0/8", "::1/128"]);
    for url in [
        "http://127.0.0.1:9000/",
        "http://localhost:9000/",
        "http://a.localhost/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
    ] {
        assert_eq!(refusal(&loopback, url), None, "{url}");
    }
    for url in ["http://10.0.0.1/", "http://[::]/", "http://0.0.0.0/", "http://169.254.169.254/", "http://metadata/"] {
        assert!(refusal(&loopback, url).is_some(), "{url}");
    }
    let private = guard(&["10.0.0.0/8"]);
    assert_eq!(refusal(&private, "http://redis.internal/"), None);
    assert_eq!(refusal(&private, "http://redis/"), None);
    assert_eq!(refusal(&private, "http://localhost/"), Some(UrlRefusal::ThisHost));
    assert_eq!(refusal(&private, "http://metadata.google.internal/"), Some(UrlRefusal::Metadata));
    assert_eq!(private.check(address("10.1.2.3")), Verdict::Allowed);
    assert_eq!(private.check(address("::ffff:10.1.2.3")), Verdict::Allowed);
    assert_eq!(private.check(address("11.1.2.3")), Verdict::Allowed);
    assert_eq!(private.check(address("192.168.0.1")), Verdict::Refused(Private));
    assert_eq!(private.check(address("2002:a01:203::")), Verdict::Refused(Transition));
}

#[test]
fn a_guard_that_is_off_lets_addresses_through() {
    let off = Guard::new(false, Vec::new());
    for url in ["http://127.0.0.1/", "http://localhost/", "http://metadata/", "http://[fe80::1]/"] {
        assert_eq!(refusal(&off, url), None, "{url}");
    }
    assert_eq!(refusal(&off, "ftp://example.com/"), Some(UrlRefusal::Scheme));
}

proptest! {
    /// However an IPv4 address is wrapped, it is never judged more mildly.
    #[test]
    fn wrapping_an_ipv4_address_never_helps(bits: u32) {
        let v4 = Ipv4Addr::from_bits(bits);
        let bare = classify(v4.into());
        prop_assert_eq!(classify(v4.to_ipv6_mapped().into()), bare);
        let [high, low] = [(bits >> 16) as u16, bits as u16];
        prop_assert_eq!(classify(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low).into()), bare);
        for wrapped in [
            v4.to_ipv6_compatible(),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 0),
            Ipv6Addr::new(0x2001, 0, high, low, 0, 0, !high, !low),
            Ipv6Addr::new(0x2a00, 1, 2, 3, 0, 0x5efe, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
        ] {
            prop_assert_ne!(classify(wrapped.into()), Verdict::Allowed);
        }
    }

    /// What the parser makes of a number is judged as the address that it is.
    #[test]
    fn every_spelling_of_a_number_gets_the_same_verdict(bits: u32) {
        let guard = guard(&[]);
        let allowed = classify(Ipv4Addr::from_bits(bits).into()) == Verdict::Allowed;
        for url in [
            format!("http://{}/", Ipv4Addr::from_bits(bits)),
            format!("http://{bits}/"),
            format!("http://{bits:#x}/"),
            format!("http://0{bits:o}/"),
            format!("http://{}.{}/", bits >> 24, bits & 0xff_ffff),
        ] {
            prop_assert_eq!(refusal(&guard, &url).is_none(), allowed, "{}", url);
        }
    }

    /// Of IPv6 nothing outside of 2000::/3 is ever allowed, but wrapped public IPv4.
    #[test]
    fn outside_of_global_unicast_nothing_is_allowed(bits: u128) {
        let address = Ipv6Addr::from_bits(bits);
        let wrapped = canonical(address.into()) != IpAddr::from(address);
        prop_assume!(!wrapped && bits >> 125 != 1);
        prop_assert_ne!(classify(address.into()), Verdict::Allowed);
    }
}
