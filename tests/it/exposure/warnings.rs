//! Doors that are open wider than they seem.

use super::authority::{Authority, Files};
use crate::support::{Setup, run};

fn warned(log: &str) -> Vec<&str> {
    let keys = ["api.listen", "metrics.listen"];
    let is_warned = |key: &&str| log.lines().any(|line| line.contains(&format!("{key}: other machines reach")));
    keys.into_iter().filter(is_warned).collect()
}

#[tokio::test]
async fn a_server_that_others_reach_in_clear_says_so_once() {
    let wide = || Setup::new().set("api.listen", "0.0.0.0:0").set("metrics.listen", "0.0.0.0:0");
    let server = wide().start().await;
    assert_eq!(warned(&server.log()), ["api.listen", "metrics.listen"]);
    let lines = server.log().lines().filter(|line| line.contains("other machines reach")).count();
    assert_eq!(lines, 2);

    let setup = wide();
    let files = Files::of(&setup, &Authority::new().issue());
    let server = files.used_by(setup).start().await;
    assert_eq!(warned(&server.log()), ["metrics.listen"]);
    let server = wide().set("api.trusted_proxies", "10.0.0.2").start().await;
    assert_eq!(warned(&server.log()), ["metrics.listen"]);
    let server = Setup::new().start().await;
    assert_eq!(warned(&server.log()), [""; 0]);
}

#[test]
fn the_check_of_a_configuration_says_it_too() {
    let setup = Setup::new();
    let checked =
        |arguments: &[&str]| run(setup.data_dir(), &[&["check-config"], arguments].concat()).ok().stderr.clone();
    assert_eq!(warned(&checked(&["--set", "api.listen=[::]:1"])), ["api.listen"]);
    assert_eq!(warned(&checked(&["--set", "metrics.listen=10.0.0.1:1"])), ["metrics.listen"]);
    assert_eq!(warned(&checked(&[])), [""; 0]);
}

#[tokio::test]
async fn a_certificate_that_clients_refuse_is_told_by_the_check_and_by_a_start() {
    let setup = Setup::new();
    for (until, says) in [((2026, 1, 2), "has expired"), ((2099, 1, 1), "")] {
        let files = Files::of(&setup, &Authority::new().issue_until(until));
        let path = |path: &std::path::Path| path.display().to_string();
        let set =
            [("cert", path(&files.cert)), ("key", path(&files.key))].map(|(key, at)| format!("api.tls.{key}={at}"));
        let checked = run(setup.data_dir(), &["check-config", "--set", &set[0], "--set", &set[1]]);
        let warnings: Vec<_> =
            checked.ok().stderr.lines().filter(|line| line.starts_with("warning: api.tls")).collect();
        assert!(warnings.concat().contains(says) && warnings.is_empty() == says.is_empty(), "{checked:?}");
        let server = files.used_by(setup.clone()).start().await;
        assert_eq!(server.log().contains("has expired: clients refuse it"), !says.is_empty(), "{}", server.log());
        server.stop().await;
    }
}
