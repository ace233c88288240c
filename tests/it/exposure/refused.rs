//! Certificates with which a server does not start.

use std::os::unix::fs::PermissionsExt;

use super::authority::{Authority, Files, Pair};
use crate::support::{Setup, run};

/// Wrong usage or configuration.
const USAGE: Option<i32> = Some(64);

/// Neither the server nor `check-config` takes it, both for the same reason.
async fn refuses(setup: Setup, files: &Files, says: &[&str]) {
    let [cert, key] = [&files.cert, &files.key].map(|path| path.display().to_string());
    let checked = run(
        setup.data_dir(),
        &["check-config", "--set", &format!("api.tls.cert={cert}"), "--set", &format!("api.tls.key={key}")],
    );
    let started = files.used_by(setup).refused().await;
    assert_eq!((started.code, checked.code), (USAGE, USAGE), "{started:?} {checked:?}");
    for says in says {
        assert!(started.stderr.contains(says) && checked.stderr.contains(says), "{says}\n{started:?}\n{checked:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_served_is_named_with_its_path_and_what_to_do() {
    let authority = Authority::new();
    let Pair { cert, key } = authority.issue();
    let other = authority.issue();
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (content, says) in [
        ((cert.as_str(), other.key.as_str()), ["key.pem is not the key of the certificate", "-noout -pubkey"]),
        (("hello", &key), ["cert.pem holds no certificate in PEM form", "hint: `openssl x509"]),
        ((&key, &key), ["cert.pem holds no certificate in PEM form", "api.tls.cert"]),
        ((&cert, &cert), ["key.pem holds no private key in PEM form", "hint: `openssl pkey"]),
        ((&cert, &encrypted), ["key.pem holds no private key in PEM form", "takes the passphrase off"]),
    ] {
        let setup = Setup::new();
        let files = Files::of(&setup, &Pair { cert: content.0.to_owned(), key: content.1.to_owned() });
        refuses(setup, &files, &says).await;
    }
}

#[tokio::test]
async fn a_file_that_is_missing_or_open_to_others_is_refused() {
    let pair = Authority::new().issue();
    for name in ["cert.pem", "key.pem"] {
        let setup = Setup::new();
        let files = Files::of(&setup, &pair);
        std::fs::remove_file(setup.home().join(name)).expect("it is there");
        refuses(setup, &files, &["failed to read", &format!("{name}: No such file or directory"), "hint: "]).await;
    }
    let setup = Setup::new();
    let files = Files::of(&setup, &pair);
    std::fs::set_permissions(&files.key, PermissionsExt::from_mode(0o644)).expect("it is ours");
    refuses(setup, &files, &["key.pem is open to all users (mode 0644)", "hint: `chmod o= "]).await;
    // A group may have it: that of those who renew it.
    let setup = Setup::new();
    let files = Files::of(&setup, &pair);
    std::fs::set_permissions(&files.key, PermissionsExt::from_mode(0o640)).expect("it is ours");
    files.used_by(setup).start().await.stop().await;
}

#[tokio::test]
async fn one_file_without_the_other_is_refused() {
    let (sent, its_key) = ("dispatch.client_cert", "dispatch.client_key");
    for (set, missing) in
        [("api.tls.cert", "api.tls.key"), ("api.tls.key", "api.tls.cert"), (sent, its_key), (its_key, sent)]
    {
        let ended = Setup::new().set(set, "x.pem").refused().await;
        assert_eq!(ended.code, USAGE, "{ended:?}");
        assert!(ended.stderr.contains(&format!("{missing}: is not set, but `{set}` is")), "{ended:?}");
    }
}
