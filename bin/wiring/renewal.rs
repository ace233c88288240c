//! How the certificate of the HTTP API's TLS door is renewed while the server runs.
//!
//! ```text
//!   SIGHUP ----------------------+
//!                                v
//!   every 2 s: files changed --> read --> good: served from the next connection on
//!                                 |
//!                                 +-----> bad: an error in the log, the present one stays
//! ```
//!
//! Renewals replace two files, one after the other. So what has changed is read once
//! it has stayed the same from one look to the next. Files are looked at on a thread
//! that may block.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use postrider_api::tls::{Certificate, Tls, Validity};
use postrider_model::time::{Clock, UnixMs};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use super::certificate::{Files, RENEW_HINT, Stamp, Unfit, concern, day};
use crate::exit::Failure;

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// How often that is said again, and that a renewal has failed.
const WARN_INTERVAL: Duration = Duration::from_secs(86_400);
const EXPIRY: &str = "postrider_tls_certificate_expiry_timestamp_seconds";
const FAILED: &str = "postrider_tls_renewal_failed";

/// The certificate that is served, and what is known of its files.
pub(super) struct Renewal {
    files: Files,
    tls: Tls,
    clock: Arc<dyn Clock>,
    valid: Option<Validity>,
    /// The files as they were when they were read.
    read: [Option<Stamp>; 2],
    /// As they were at the last look.
    seen: [Option<Stamp>; 2],
    /// When it was last said that the certificate ends, by the monotonic clock.
    warned: Option<Duration>,
    /// Why the files are not what is served.
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Failed {
    failure: Failure,
    /// From when on the certificate in the files counts, if it is that alone.
    counts_from: Option<UnixMs>,
    /// When it was last said, by the monotonic clock.
    told: Duration,
}

impl Renewal {
    /// Reads the files; if it seems that they are being replaced, once more a little later.
    ///
    /// # Errors
    /// As [`Files::read`].
    pub(super) async fn begin(files: Files, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        Self::begin_after(files, clock, async { tokio::time::sleep(LOOK_INTERVAL).await }).await
    }

    async fn begin_after(
        files: Files,
        clock: Arc<dyn Clock>,
        later: impl Future<Output = ()>,
    ) -> Result<Self, Failure> {
        let read = |files: Files, clock| tokio::task::spawn_blocking(move || Self::new(files, clock));
        match read(files.clone(), Arc::clone(&clock)).await? {
            Err(Unfit { failure: Failure { error, .. }, may_pass: true }) => {
                tracing::warn!(error, "the TLS certificate cannot be read; once more in {LOOK_INTERVAL:?}");
                later.await;
                read(files, clock).await?
            }
            read => read,
        }
        .map_err(|unfit| unfit.failure)
    }

    fn new(files: Files, clock: Arc<dyn Clock>) -> Result<Self, Unfit> {
        let read = files.stamps();
        let certificate = files.read()?;
        let valid = certificate.validity();
        let tls = Tls::new(certificate);
        let mut renewal = Self { files, tls, clock, valid, read, seen: read, warned: None, failed: None };
        renewal.tell("the TLS certificate is read");
        Ok(renewal)
    }

    /// What the door serves.
    pub(super) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// Looks after the files until the process ends, and reads them whenever `asked`.
    pub(super) async fn run(mut self, asked: Arc<Notify>) {
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        // Where a look takes long, such as at files on a network, the next one has time.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let look = tokio::select! {
                _ = ticks.tick() => Self::look,
                () = asked.notified() => Self::renew,
            };
            let looked = tokio::task::spawn_blocking(move || {
                look(&mut self);
                self
            });
            match looked.await {
                Ok(renewal) => self = renewal,
                Err(error) => return tracing::error!(%error, "nobody looks after the TLS certificate any more"),
            }
        }
    }

    fn look(&mut self) {
        let now = self.files.stamps();
        let has_settled = now == std::mem::replace(&mut self.seen, now);
        let counts_from = self.failed.as_ref().and_then(|failed| failed.counts_from);
        let counts_now = counts_from.is_some_and(|from| self.clock.now() >= from);
        if has_settled && (now != self.read || counts_now) {
            self.renew();
        }
        self.warn();
    }

    fn renew(&mut self) {
        // Before they are read: what changes meanwhile is seen at the next look.
        self.read = self.files.stamps();
        let failed = match self.files.read() {
            Ok(certificate) => match self.worse(&certificate) {
                None => return self.replace(certificate),
                Some(failed) => failed,
            },
            Err(Unfit { failure, .. }) => Failed { failure, counts_from: None, told: self.clock.monotonic() },
        };
        gauge!(FAILED).set(1.0);
        failed.tell();
        self.failed = Some(failed);
    }

    fn replace(&mut self, certificate: Certificate) {
        self.valid = certificate.validity();
        self.tls.replace(certificate);
        self.warned = None;
        self.failed = None;
        self.tell("the TLS certificate is read anew");
    }

    /// Why this one does not replace the present one, which counts now.
    fn worse(&self, new: &Certificate) -> Option<Failed> {
        let now = self.clock.now();
        let counts = |valid: &Validity| (valid.from..=valid.until).contains(&now);
        let new = new.validity().filter(|new| !counts(new) && self.valid.as_ref().is_none_or(counts))?;
        let cert = self.files.cert.display();
        let (what, counts_from) = match now < new.from {
            true => (format!("does not count before {}", day(new.from)), Some(new.from)),
            false => (format!("has expired at {}", day(new.until)), None),
        };
        let failure = Failure::usage(format!("{}: {cert} {what}", self.files.names.cert))
            .hint(format!("`openssl x509 -in {cert} -noout -dates` shows when it counts; is the clock right?"));
        Some(Failed { failure, counts_from, told: self.clock.monotonic() })
    }

    fn tell(&mut self, what: &str) {
        gauge!(FAILED).set(0.0);
        let cert = self.files.cert.display();
        // Not that of the one before, where nobody knows.
        gauge!(EXPIRY).set(self.valid.map_or(f64::NAN, |valid| valid.until.as_secs() as f64));
        match self.valid {
            Some(valid) => tracing::info!(%cert, until = day(valid.until), "{what}"),
            None => tracing::warn!(%cert, "{what}, but not until when it counts"),
        }
        self.warn();
    }

    /// Says once a day what is wrong with the files, and with the certificate.
    fn warn(&mut self) {
        let monotonic = self.clock.monotonic();
        if let Some(failed) = self.failed.as_mut().filter(|failed| is_due(failed.told, monotonic)) {
            failed.told = monotonic;
            failed.tell();
        }
        self.warn_of_times();
    }

    /// Says once a day that the certificate does not count (any more), or not for long.
    fn warn_of_times(&mut self) {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        if self.warned.is_some_and(|warned| !is_due(warned, monotonic)) {
            return;
        }
        let Some(valid) = self.valid else { return };
        let Some(what) = concern(valid, now) else { return };
        self.warned = Some(monotonic);
        let (cert, from, until) = (self.files.cert.display(), day(valid.from), day(valid.until));
        tracing::warn!(%cert, from, until, hint = RENEW_HINT, "{what}");
    }
}

impl Failed {
    fn tell(&self) {
        let Failure { error, hints, .. } = &self.failure;
        tracing::error!(error, hint = hints.join("; "), "the TLS certificate in use stays");
    }
}

/// Whether what was said then is to be said again.
fn is_due(told: Duration, now: Duration) -> bool {
    now.saturating_sub(told) >= WARN_INTERVAL
}

#[cfg(test)]
mod tests;
