//! What a configuration may say, though it is hardly what was meant.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use ipnet::IpNet;

use super::open_data::open_places;
use crate::config::Config;

/// A sentence for each, which says what to do.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let open_data = open_places(config).into_iter().map(|place| format!("data_dir: {}: {}", place.says, place.help));
    let open_doors = [open_api(config), open_metrics(config)].into_iter().flatten();
    unreachable(config).into_iter().chain(open_data).chain(open_doors).collect()
}

/// Sockets that other users may use but cannot reach.
fn unreachable(config: &Config) -> Vec<String> {
    // It is made 0700; whoever has opened it since knows what they do.
    let is_open = std::fs::metadata(&config.data_dir).is_ok_and(|dir| dir.permissions().mode() & 0o011 != 0);
    let keys = config.unreachable_sockets().into_iter().filter(|_| !is_open);
    keys.map(|key| format!("{key}: other users cannot enter the data directory; name a path elsewhere")).collect()
}

/// Tokens and payloads that go over a network in clear.
fn open_api(config: &Config) -> Option<String> {
    let api = &config.api;
    // A proxy on this machine needs no door that others reach.
    let is_behind_proxy = api.trusted_proxies.iter().any(|network| !is_here(network));
    let is_in_clear = is_wide(api.listen) && config.api_tls.cert.is_none() && !is_behind_proxy;
    is_in_clear.then(|| {
        format!(
            "api.listen: other machines reach {} without TLS, so that tokens and payloads can be read on the way; set \
             `api.tls.cert` and `api.tls.key`, or listen on 127.0.0.1, or name the proxies that speak TLS in front in \
             `api.trusted_proxies`",
            api.listen
        )
    })
}

/// Figures that everybody can read.
fn open_metrics(config: &Config) -> Option<String> {
    let at = config.metrics.listen;
    is_wide(at).then(|| {
        format!(
            "metrics.listen: other machines reach {at} without a token and without TLS; listen on 127.0.0.1, or let a \
             firewall keep away all but those that scrape"
        )
    })
}

/// It has only addresses of this machine.
const fn is_here(network: &IpNet) -> bool {
    match network {
        IpNet::V4(network) => network.addr().is_loopback() && network.prefix_len() >= 8,
        IpNet::V6(network) => network.addr().is_loopback() && network.prefix_len() == 128,
    }
}

/// Others than this machine reach it.
const fn is_wide(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn keys(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config::default();
        change(&mut config);
        let warnings = warnings(&config).into_iter();
        warnings.map(|warning| warning.split(':').next().unwrap_or_default().to_owned()).collect()
    }

    fn at(address: &str) -> SocketAddr {
        address.parse().expect("an address with a port")
    }

    #[test]
    fn what_leaves_the_machine_in_clear_is_told() {
        assert_eq!(keys(|_| {}), Vec::<String>::new(), "the defaults are the loopback");
        for wide in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
            assert_eq!(keys(|config| config.api.listen = at(wide)), ["api.listen"], "{wide}");
            assert_eq!(keys(|config| config.metrics.listen = at(wide)), ["metrics.listen"], "{wide}");
        }
        for narrow in ["127.0.0.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(keys(|config| config.api.listen = at(narrow)), Vec::<String>::new(), "{narrow}");
        }
    }

    #[test]
    fn a_data_directory_that_others_can_read_or_write_is_told() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (mode, told) in [(0o700, vec![]), (0o711, vec![]), (0o740, vec!["data_dir"]), (0o722, vec!["data_dir"])] {
            std::fs::set_permissions(dir.path(), Permissions::from_mode(mode)).expect("it is there");
            assert_eq!(keys(|config| config.data_dir = dir.path().to_owned()), told, "{mode:o}");
        }
    }

    #[test]
    fn tls_here_or_at_a_proxy_is_enough() {
        let with_tls = keys(|config| {
            config.api.listen = at("0.0.0.0:1");
            config.api_tls.cert = Some("c.pem".into());
        });
        let behind_a_proxy = keys(|config| {
            config.api.listen = at("0.0.0.0:1");
            config.api.trusted_proxies = vec!["10.0.0.2/32".parse().expect("a network")];
        });
        assert_eq!((with_tls, behind_a_proxy), (vec![], vec![]));
        for here in ["127.0.0.1/32", "127.0.0.0/8", "::1/128"] {
            let behind_a_proxy_here = keys(|config| {
                config.api.listen = at("0.0.0.0:1");
                config.api.trusted_proxies = vec![here.parse().expect("a network")];
            });
            assert_eq!(behind_a_proxy_here, ["api.listen"], "{here}");
        }
    }
}
