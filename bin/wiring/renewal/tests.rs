//! When files are read anew, and when it is said that a certificate ends.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::super::certificate::DOOR;
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
    write_span(files, 2026, year);
}

fn write_span(files: &Files, from_year: i32, year: i32) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(from_year, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    std::fs::write(&files.cert, certificate.pem()).expect("there is room");
    std::fs::write(&files.key, key.serialize_pem()).expect("there is room");
    std::fs::set_permissions(&files.key, PermissionsExt::from_mode(0o600)).expect("it is ours");
}

fn renewal(until_year: i32) -> (Renewal, Arc<Told>, TempDir) {
    let dir = tempfile::tempdir().expect("there is room");
    let files = Files { names: DOOR, cert: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
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
fn one_that_does_not_count_leaves_one_that_does_until_it_does() {
    let (mut renewal, clock, _dir) = renewal(2028);
    // 33 days ahead of the clock, and one that is long over.
    for (from, until) in [(2027, 2033), (2020, 2025)] {
        write_span(&renewal.files, from, until);
        renewal.renew();
        assert_eq!(ends_in(&renewal), "2028-01-01T00:00:00Z");
        let failed = renewal.failed.as_ref().map(|failed| failed.failure.error.as_str()).unwrap_or_default();
        assert!(
            failed.contains("does not count before 2027-01-01") || failed.contains("has expired at 2025"),
            "{failed}"
        );
    }
    write_span(&renewal.files, 2027, 2033);
    let mut taken = None;
    for day in 0..40 {
        clock.0.store(day, Ordering::Relaxed);
        renewal.look();
        renewal.look();
        taken = taken.or_else(|| (ends_in(&renewal) == "2033-01-01T00:00:00Z").then_some(day));
    }
    assert_eq!((taken, renewal.failed.is_none()), (Some(33), true));
    // Where neither counts, the new one is as good as any.
    clock.0.store(20 * 365, Ordering::Relaxed);
    write(&renewal.files, 2034);
    renewal.renew();
    assert_eq!(ends_in(&renewal), "2034-01-01T00:00:00Z");
}

#[test]
fn a_failed_renewal_is_told_again_every_day_until_it_succeeds() {
    let (mut renewal, clock, _dir) = renewal(2031);
    std::fs::remove_file(&renewal.files.key).expect("it is there");
    renewal.renew();
    let mut told = vec![];
    for day in 1..4 {
        clock.0.store(day, Ordering::Relaxed);
        for _ in 0..3 {
            renewal.look();
            told.push(renewal.failed.as_ref().map(|failed| failed.told));
        }
    }
    assert_eq!(told, [1, 1, 1, 2, 2, 2, 3, 3, 3].map(|day| Some(DAY * day)));
    write(&renewal.files, 2032);
    renewal.renew();
    assert!(renewal.failed.is_none());
}

#[tokio::test]
async fn files_that_are_being_replaced_at_a_start_are_read_once_more() {
    let (renewal, clock, _dir) = renewal(2031);
    let files = renewal.files;
    let key = std::fs::read_to_string(&files.key).expect("it is there");
    std::fs::remove_file(&files.key).expect("it is there");
    let begin = |later: &'static str| {
        let (files, key) = (files.clone(), key.clone());
        let wait = {
            let path = files.key.clone();
            async move {
                if later == "there" {
                    std::fs::write(&path, key).expect("there is room");
                    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("it is ours");
                }
                assert_ne!(later, "at once", "nobody waits");
            }
        };
        Renewal::begin_after(files, Arc::clone(&clock) as _, wait)
    };
    let unfit = begin("still missing").await.err().expect("the key is missing");
    assert!(unfit.error.contains("No such file"), "{unfit:?}");
    assert!(begin("there").await.is_ok());
    // The certificate of another pair came first.
    let other = KeyPair::generate().expect("a key").serialize_pem();
    std::fs::write(&files.key, other).expect("there is room");
    assert!(begin("there").await.is_ok());
    // What is wrong for good is told at once.
    std::fs::write(&files.key, "hello").expect("there is room");
    assert!(begin("at once").await.is_err());
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
