//! A certificate that is replaced while the server runs.

use rustix::process::Signal;
use serde_json::Value;

use super::authority::{Authority, BOTH, Files, at, get, handshake, serving};
use crate::support::{Setup, until};

fn is_renewed(line: &Value) -> bool {
    line["message"] == "the TLS certificate is read anew"
}

fn is_kept(line: &Value) -> bool {
    line["message"] == "the TLS certificate in use stays"
}

/// A day that lies so many days ahead.
fn in_days(days: i64) -> (i32, u8, u8) {
    let day = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days)).to_string();
    let number = |part: std::ops::Range<usize>| day[part].parse::<u16>().expect("RFC 3339 has it there");
    (number(0..4).into(), number(5..7) as u8, number(8..10) as u8)
}

#[tokio::test]
async fn a_hang_up_reads_it_anew_and_connections_that_are_there_go_on() {
    let authority = Authority::new();
    let (mut server, files) = serving(&authority.issue()).await;
    let first = authority.ask(&server).await.certificate;
    let open = handshake(&authority.client(BOTH, &[]), at(&server)).await.expect("a handshake");

    files.replace(&authority.issue());
    server.process.signal(Signal::HUP);
    server.process.line(is_renewed).await.expect("it says so");
    let second = authority.ask(&server).await.certificate;
    assert_ne!(first, second);
    assert_eq!(get(open, "/health/live").await.certificate, first);
}

#[tokio::test]
async fn files_that_are_replaced_are_noticed_without_a_signal() {
    let authority = Authority::new();
    let (mut server, files) = serving(&authority.issue()).await;
    let first = authority.ask(&server).await.certificate;
    files.replace(&authority.issue_until((2031, 5, 1)));
    server.process.line(is_renewed).await.expect("it says so");
    assert_ne!(authority.ask(&server).await.certificate, first);
    // date -u -d 2031-05-01 +%s
    let expiry = server.metrics().await.sum("postrider_tls_certificate_expiry_timestamp_seconds", "");
    assert_eq!(expiry, 1_935_360_000.0);
}

#[tokio::test]
async fn a_bad_new_one_is_told_and_the_old_one_goes_on() {
    let authority = Authority::new();
    let (mut server, files) = serving(&authority.issue()).await;
    let first = authority.ask(&server).await.certificate;
    // The key of another, noticed by itself.
    let (one, other) = (authority.issue(), authority.issue());
    std::fs::write(&files.cert, &one.cert).expect("it is ours");
    std::fs::write(&files.key, &other.key).expect("it is ours");
    let line = server.process.line(is_kept).await.expect("it says so");
    let (error, hint) = (line["error"].as_str().unwrap_or_default(), line["hint"].as_str().unwrap_or_default());
    assert_eq!(error, format!("api.tls.key: {} is not the key of the certificate", files.key.display()));
    assert!(line["level"] == "ERROR" && hint.contains("openssl x509"), "{line}");
    assert_eq!(server.metrics().await.sum("postrider_tls_renewal_failed", ""), 1.0);
    assert_eq!(authority.ask(&server).await.certificate, first);
    // What belongs together again is taken.
    std::fs::write(&files.key, &one.key).expect("it is ours");
    server.process.line(is_renewed).await.expect("it says so");
    assert_eq!(server.metrics().await.sum("postrider_tls_renewal_failed", ""), 0.0);
    assert_ne!(authority.ask(&server).await.certificate, first);
    // A missing one is told as well, by who is asked to look.
    std::fs::remove_file(&files.cert).expect("it is there");
    server.process.signal(Signal::HUP);
    let gone = |line: &Value| is_kept(line) && line["error"].as_str().unwrap_or_default().contains("No such file");
    server.process.line(gone).await.expect("it says so");
    assert_eq!(authority.ask(&server).await.status, 200);
}

#[tokio::test]
async fn one_that_expires_soon_is_told_in_time() {
    let authority = Authority::new();
    for (days, says) in [
        (13, Some("the TLS certificate expires soon")),
        (-2, Some("the TLS certificate has expired: clients refuse it")),
        (30, None),
    ] {
        let setup = Setup::new();
        let files = Files::of(&setup, &authority.issue_until(in_days(days)));
        let server = files.used_by(setup).start().await;
        let said = server.log().contains("expires soon") || server.log().contains("has expired");
        assert_eq!(said, says.is_some(), "{days} days");
        assert!(says.is_none_or(|says| server.log().contains(says)), "{days} days");
        // It is no reason to send nobody here any more.
        let ready =
            async || (server.metrics_door().ask("GET", "/health/ready", &[], "").await.status == 200).then_some(());
        until("the server to be ready", ready).await;
    }
}
