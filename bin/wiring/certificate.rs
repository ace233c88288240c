//! The certificate of the HTTP API's TLS door: its files, and their renewal.
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
//! it has stayed the same from one look to the next.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use postrider_api::tls::{Certificate, CertificateError, Tls, Validity};
use postrider_model::time::{Clock, UnixMs};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::exit::Failure;

const CERT: &str = "api.tls.cert";
const KEY: &str = "api.tls.key";
/// Bytes of either file at most.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Bits of a key's mode that none may have but its owner and its group.
const FOR_OTHERS: u32 = 0o007;
/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// How long before its end a certificate should have been renewed.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 86_400);
/// How often that is said again.
const WARN_INTERVAL: Duration = Duration::from_secs(86_400);
const EXPIRY: &str = "postrider_tls_certificate_expiry_timestamp_seconds";

/// Where a certificate and its key lie.
#[derive(Clone, Debug)]
pub(super) struct Files {
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    /// Those of the configuration, if TLS is wanted.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let (cert, key) = config.api_tls.cert.clone().zip(config.api_tls.key.clone())?;
        Some(Self { cert, key })
    }

    /// Reads both.
    ///
    /// # Errors
    /// One is missing, holds something else, belongs to another, or tells the key to others.
    pub(super) fn read(&self) -> Result<Certificate, Failure> {
        let (_, cert) = read(CERT, &self.cert)?;
        let (metadata, key) = read(KEY, &self.key)?;
        let mode = metadata.mode() & 0o777;
        if mode & FOR_OTHERS != 0 {
            let key = self.key.display();
            return Err(Failure::usage(format!("{KEY}: {key} is open to all users (mode {mode:04o})"))
                .hint(format!("`chmod o= {key}`; whoever has read it can pass for this server: make a new one")));
        }
        Certificate::from_pem(&cert, &key).map_err(|error| self.unfit(&error, &key))
    }

    fn unfit(&self, error: &CertificateError, key_text: &[u8]) -> Failure {
        let (cert, key) = (self.cert.display(), self.key.display());
        let is_encrypted = key_text.windows(9).any(|part| part == b"ENCRYPTED");
        let (of, path, hint) = match error {
            CertificateError::NoCertificate | CertificateError::BadCertificate(_) => {
                let hint = format!(
                    "`openssl x509 -in {cert} -noout -text` shows a certificate; in PEM form it begins with \
                     `-----BEGIN CERTIFICATE-----`"
                );
                (CERT, &cert, hint)
            }
            CertificateError::NoKey | CertificateError::BadKey(_) if is_encrypted => {
                (KEY, &key, format!("it is encrypted: `openssl pkey -in {key} -out NEW` takes the passphrase off"))
            }
            CertificateError::NoKey | CertificateError::BadKey(_) => {
                (KEY, &key, format!("`openssl pkey -in {key} -noout -text_pub` shows what key it is"))
            }
            CertificateError::Mismatch => {
                let hint = format!(
                    "these print the same if they belong together: `openssl x509 -in {cert} -noout -pubkey` and \
                     `openssl pkey -in {key} -pubout`"
                );
                (KEY, &key, hint)
            }
        };
        Failure::usage(format!("{of}: {path} {error}")).hint(hint)
    }

    fn stamps(&self) -> [Option<Stamp>; 2] {
        [&self.cert, &self.key].map(|path| std::fs::metadata(path).ok().as_ref().map(Stamp::of))
    }
}

/// The content of a file, and what the system knows of it.
fn read(key: &str, path: &Path) -> Result<(Metadata, Zeroizing<Vec<u8>>), Failure> {
    let failed = |error: io::Error| {
        let failure = Failure::usage(format!("{key}: failed to read {}: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::PermissionDenied => failure.hint(
                "the server's user needs to read it and to enter the directories above: `chgrp` it to the server's \
                 group, or copy it to where that user may look",
            ),
            io::ErrorKind::NotFound if path.is_relative() => {
                failure.hint("a path that does not begin with `/` begins where the server is started")
            }
            _ => failure.hint(format!("{CERT} and {KEY} name a file in PEM form each")),
        }
    };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mut content = Zeroizing::new(vec![]);
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(Failure::usage(format!("{key}: {} has more than {MAX_FILE_BYTES} bytes", path.display())));
    }
    Ok((metadata, content))
}

/// By what it is seen that a file is another one: which it is, and when anything
/// about it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Self { device: metadata.dev(), inode: metadata.ino(), changed }
    }
}

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
}

impl Renewal {
    /// Reads the files.
    ///
    /// # Errors
    /// As [`Files::read`].
    pub(super) fn new(files: Files, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let read = files.stamps();
        let certificate = files.read()?;
        let valid = certificate.validity();
        let tls = Tls::new(certificate);
        let mut renewal = Self { files, tls, clock, valid, read, seen: read, warned: None };
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
        loop {
            tokio::select! {
                _ = ticks.tick() => self.look(),
                () = asked.notified() => self.renew(),
            }
        }
    }

    fn look(&mut self) {
        let now = self.files.stamps();
        let has_settled = now == std::mem::replace(&mut self.seen, now);
        if has_settled && now != self.read {
            self.renew();
        }
        self.warn();
    }

    fn renew(&mut self) {
        // Before they are read: what changes meanwhile is seen at the next look.
        self.read = self.files.stamps();
        match self.files.read() {
            Ok(certificate) => {
                self.valid = certificate.validity();
                self.tls.replace(certificate);
                self.warned = None;
                self.tell("the TLS certificate is read anew");
            }
            Err(Failure { error, hints, .. }) => {
                tracing::error!(error, hint = hints.join("; "), "the TLS certificate in use stays");
            }
        }
    }

    fn tell(&mut self, what: &str) {
        let cert = self.files.cert.display();
        match self.valid {
            Some(valid) => {
                gauge!(EXPIRY).set(valid.until.as_secs() as f64);
                tracing::info!(%cert, until = day(valid.until), "{what}");
            }
            None => tracing::warn!(%cert, "{what}, but not until when it counts"),
        }
        self.warn();
    }

    /// Says once a day that the certificate does not count (any more), or not for long.
    fn warn(&mut self) {
        let (now, monotonic) = (self.clock.now(), self.clock.monotonic());
        let Some(Validity { from, until }) = self.valid else { return };
        if self.warned.is_some_and(|warned| monotonic.saturating_sub(warned) < WARN_INTERVAL) {
            return;
        }
        let what = match () {
            () if now >= until => "the TLS certificate has expired: clients refuse it",
            () if now < from => "the TLS certificate does not count yet: clients refuse it",
            () if now + WARN_BEFORE >= until => "the TLS certificate expires soon",
            () => return,
        };
        self.warned = Some(monotonic);
        tracing::warn!(
            cert = %self.files.cert.display(),
            from = day(from),
            until = day(until),
            hint = "replace the files; no restart is needed",
            "{what}"
        );
    }
}

/// As RFC 3339 has it.
fn day(at: UnixMs) -> String {
    jiff::Timestamp::from_second(at.as_secs() as i64).map_or_else(|_| at.as_secs().to_string(), |at| at.to_string())
}

#[cfg(test)]
mod tests;
