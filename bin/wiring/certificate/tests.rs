//! When files are read anew, and when it is said that a certificate ends.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::*;

/// 2026-11-29T00:00:00Z
const NOW: UnixMs = UnixMs(1_795_910_400_000);
const DAY: Duration = Duration::from_secs(86_400);

/// A clock that goes on when it is told to.
#[derive(Default)]
struct Told(AtomicU64);

impl Clock for Told {
    fn now(&self) -> UnixMs {
        NOW + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        DAY * u32::try_from(self.0.load(Ordering::Relaxed)).expect("some days")
    }
}

fn write(files: &Files, year: i32) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    std::fs::write(&files.cert, certificate.pem()).expect("there is room");
    std::fs::write(&files.key, key.serialize_pem()).expect("there is room");
    std::fs::set_permissions(&files.key, PermissionsExt::from_mode(0o600)).expect("it is ours");
}

fn renewal(until_year: i32) -> (Renewal, Arc<Told>, TempDir) {
    let dir = tempfile::tempdir().expect("there is room");
    let files = Files { cert: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
    write(&files, until_year);
    let clock = Arc::new(Told::default());
    let renewal = Renewal::new(files, Arc::clone(&clock) as _).expect("a good pair");
    (renewal, clock, dir)
}

fn ends_in(renewal: &Renewal) -> String {
    day(renewal.valid.expect("it can be read").until)
}

#[test]
fn what_has_changed_is_read_once_it_stays_the_same() {
    let (mut renewal, _clock, _dir) = renewal(2031);
    renewal.look();
    write(&renewal.files, 2032);
    renewal.look();
    assert_eq!(ends_in(&renewal), "2031-01-01T00:00:00Z", "the other file may be on its way");
    renewal.look();
    assert_eq!(ends_in(&renewal), "2032-01-01T00:00:00Z");
}

#[test]
fn a_bad_one_is_read_once_and_a_better_one_again() {
    let (mut renewal, _clock, _dir) = renewal(2031);
    std::fs::remove_file(&renewal.files.key).expect("it is there");
    for _ in 0..3 {
        renewal.look();
    }
    assert_eq!((renewal.read[1], ends_in(&renewal).as_str()), (None, "2031-01-01T00:00:00Z"));
    write(&renewal.files, 2033);
    renewal.look();
    renewal.look();
    assert_eq!(ends_in(&renewal), "2033-01-01T00:00:00Z");
}

#[test]
fn an_end_is_told_from_two_weeks_before_on_and_once_a_day() {
    // 33 days ahead of the clock.
    let (mut renewal, clock, _dir) = renewal(2027);
    let mut told = vec![];
    for day in 0..40 {
        clock.0.store(day, Ordering::Relaxed);
        for _ in 0..3 {
            let before = renewal.warned;
            renewal.look();
            if renewal.warned != before {
                told.push(day);
            }
        }
    }
    assert_eq!(told, (19..40).collect::<Vec<_>>());
    write(&renewal.files, 2035);
    renewal.renew();
    assert_eq!(renewal.warned, None);
}
