//! A certificate and its key, as they lie in two files: those of the HTTP API's TLS door,
//! and those that requests to endpoints come with.

use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use postrider_api::tls::{Certificate, CertificateError, Validity};
use postrider_model::time::UnixMs;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::exit::Failure;

/// What the configuration calls the two files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    pub(super) cert: &'static str,
    key: &'static str,
}

impl Names {
    fn hint(self) -> String {
        format!("{} and {} name a file in PEM form each", self.cert, self.key)
    }
}

/// Those of the door.
pub(super) const DOOR: Names = Names { cert: "api.tls.cert", key: "api.tls.key" };
/// Those of requests to endpoints.
const REQUESTS: Names = Names { cert: "dispatch.client_cert", key: "dispatch.client_key" };
/// Bytes of either file at most.
const MAX_FILE_BYTES: usize = 1 << 20;
/// Bits of a key's mode that none may have but its owner and its group.
const FOR_OTHERS: u32 = 0o007;
/// How long before its end a certificate should have been renewed.
const WARN_BEFORE: Duration = Duration::from_secs(14 * 86_400);
/// What to do about one that does not count, or not for long.
pub(super) const RENEW_HINT: &str = "replace the files; no restart is needed";

/// Where a certificate and its key lie.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) names: Names,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

/// What is in them.
pub(super) struct Contents {
    pub(super) cert: Zeroizing<Vec<u8>>,
    pub(super) key: Zeroizing<Vec<u8>>,
    certificate: Certificate,
}

/// Why the files are of no use as they are.
#[derive(Debug)]
pub(super) struct Unfit {
    pub(super) failure: Failure,
    /// It is what is seen of files that are being replaced, one after the other.
    pub(super) may_pass: bool,
}

impl From<Failure> for Unfit {
    fn from(failure: Failure) -> Self {
        Self { failure, may_pass: false }
    }
}

impl Files {
    /// Those of the door, if TLS is wanted.
    pub(super) fn of_door(config: &Config) -> Option<Self> {
        let (cert, key) = config.api_tls.cert.clone().zip(config.api_tls.key.clone())?;
        Some(Self { names: DOOR, cert, key })
    }

    /// Those of requests to endpoints, if they are to come with any.
    pub(super) fn of_requests(config: &Config) -> Option<Self> {
        let (cert, key) = config.dispatch.client_cert.clone().zip(config.dispatch.client_key.clone())?;
        Some(Self { names: REQUESTS, cert, key })
    }

    /// Reads both.
    ///
    /// # Errors
    /// One is missing, holds something else, belongs to another, or tells the key to others.
    pub(super) fn read(&self) -> Result<Certificate, Unfit> {
        self.contents().map(|contents| contents.certificate)
    }

    /// The same, as what they hold.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn contents(&self) -> Result<Contents, Unfit> {
        let (_, cert) = read(self.names, self.names.cert, &self.cert)?;
        let (metadata, key) = read(self.names, self.names.key, &self.key)?;
        let mode = metadata.mode() & 0o777;
        if mode & FOR_OTHERS != 0 {
            let (name, key) = (self.names.key, self.key.display());
            return Err(Failure::usage(format!("{name}: {key} is open to all users (mode {mode:04o})"))
                .hint(format!("`chmod o= {key}`; whoever has read it can pass for this server: make a new one"))
                .into());
        }
        let certificate = Certificate::from_pem(&cert, &key).map_err(|error| Unfit {
            may_pass: matches!(error, CertificateError::Mismatch),
            failure: self.unfit(&error, &key),
        })?;
        Ok(Contents { cert, key, certificate })
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
                (self.names.cert, &cert, hint)
            }
            CertificateError::NoKey | CertificateError::BadKey(_) if is_encrypted => (
                self.names.key,
                &key,
                format!("it is encrypted: `openssl pkey -in {key} -out NEW` takes the passphrase off"),
            ),
            CertificateError::NoKey | CertificateError::BadKey(_) => {
                (self.names.key, &key, format!("`openssl pkey -in {key} -noout -text_pub` shows what key it is"))
            }
            CertificateError::Mismatch => {
                let hint = format!(
                    "these print the same if they belong together: `openssl x509 -in {cert} -noout -pubkey` and \
                     `openssl pkey -in {key} -pubout`"
                );
                (self.names.key, &key, hint)
            }
        };
        Failure::usage(format!("{of}: {path} {error}")).hint(hint)
    }

    /// What the system knows of both; `None` of one that is missing.
    pub(super) fn stamps(&self) -> [Option<Stamp>; 2] {
        [&self.cert, &self.key].map(|path| std::fs::metadata(path).ok().as_ref().map(Stamp::of))
    }
}

/// What a start would say of the times of the door's certificate.
pub(crate) fn certificate_warning(config: &Config, now: UnixMs) -> Option<String> {
    let files = Files::of_door(config)?;
    let valid = files.read().ok()?.validity()?;
    let what = concern(valid, now)?;
    let (cert, from, until) = (files.cert.display(), day(valid.from), day(valid.until));
    Some(format!("{}: {what} ({cert}, from {from} until {until}): {RENEW_HINT}", files.names.cert))
}

/// Why clients refuse a certificate, or will soon.
pub(super) fn concern(valid: Validity, now: UnixMs) -> Option<&'static str> {
    match () {
        () if now >= valid.until => Some("the TLS certificate has expired: clients refuse it"),
        () if now < valid.from => Some("the TLS certificate does not count yet: clients refuse it"),
        () if now + WARN_BEFORE >= valid.until => Some("the TLS certificate expires soon"),
        () => None,
    }
}

/// As RFC 3339 has it.
pub(super) fn day(at: UnixMs) -> String {
    jiff::Timestamp::from_second(at.as_secs() as i64).map_or_else(|_| at.as_secs().to_string(), |at| at.to_string())
}

/// The content of a file, and what the system knows of it.
fn read(names: Names, key: &str, path: &Path) -> Result<(Metadata, Zeroizing<Vec<u8>>), Unfit> {
    let failed = |error: io::Error| unread(names, key, path, &error);
    // To open a pipe would wait for who writes to it.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        let failure = Failure::usage(format!("{key}: {} is not a regular file", path.display()));
        return Err(failure.hint(names.hint()).into());
    }
    // All that may be read fits without a move, which would leave pieces of a key behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES + 1));
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() > MAX_FILE_BYTES {
        let failure = Failure::usage(format!("{key}: {} has more than {MAX_FILE_BYTES} bytes", path.display()));
        return Err(failure
            .hint("a certificate with its chain, or a key, has some thousands: is it this file?")
            .into());
    }
    Ok((metadata, content))
}

fn unread(names: Names, key: &str, path: &Path, error: &io::Error) -> Unfit {
    let failure = Failure::usage(format!("{key}: failed to read {}: {error}", path.display()));
    let failure = match error.kind() {
        io::ErrorKind::PermissionDenied => failure.hint(
            "the server's user needs to read it and to enter the directories above: `chgrp` it to the server's \
             group, or copy it to where that user may look",
        ),
        io::ErrorKind::NotFound if path.is_relative() => {
            failure.hint("a path that does not begin with `/` begins where the server is started")
        }
        _ => failure.hint(names.hint()),
    };
    Unfit { failure, may_pass: error.kind() == io::ErrorKind::NotFound }
}

/// By what it is seen that a file is another one: which it is, and when anything
/// about it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
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

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    #[test]
    fn what_is_no_file_or_too_large_is_refused_with_a_hint() {
        let dir = tempfile::tempdir().expect("there is room");
        let path = |name: &str| dir.path().join(name);
        rustix::fs::mknodat(CWD, path("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        std::fs::write(path("large"), vec![b'\n'; MAX_FILE_BYTES + 1]).expect("there is room");
        for (name, says) in [
            ("pipe", "is not a regular file"),
            (".", "is not a regular file"),
            ("large", "has more than 1048576 bytes"),
            ("none", "No such file"),
        ] {
            let unfit = read(DOOR, DOOR.cert, &path(name)).expect_err(says);
            assert!(unfit.failure.error.contains(says) && unfit.failure.hints.len() == 1, "{unfit:?}");
            assert_eq!(unfit.may_pass, name == "none");
        }
    }
}
