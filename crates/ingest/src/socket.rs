//! Unix sockets with the access that they were given, from their first moment.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::UnixListener;

/// Bytes of a socket's path: `sun_path` of unix(7) without its closing NUL.
pub const MAX_PATH_BYTES: usize = 107;

/// The file of a socket that somebody listens at. It goes when this is dropped: whatever ends first, a start
/// or the server, leaves none behind. One that stays behind all the same is replaced by [`bind`].
#[derive(Debug)]
pub struct SocketFile(PathBuf);

impl SocketFile {
    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Nobody could do anything about an error.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Connections that may wait to be taken.
const BACKLOG: i32 = 1_024;

/// Why there is no socket at a path.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The path is empty. A mistake in the configuration.
    #[error("the path of a socket must not be empty")]
    EmptyPath,
    /// The path is too long for a socket. A mistake in the configuration.
    #[error("failed to bind socket {}: the path has {bytes} bytes, a socket's has at most {MAX_PATH_BYTES}", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// A process answers at this path.
    #[error("failed to bind socket {}: another process listens there", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something that is no socket lies there. It is left alone.
    #[error("failed to bind socket {}: there is a file that is no socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused a step.
    #[error("failed to {step} socket {}", path.display())]
    Io {
        /// Which step.
        step: &'static str,
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl BindError {
    /// Whether another path in the configuration would help.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::EmptyPath | Self::PathTooLong { .. } | Self::NotASocket { .. })
    }
}

/// Listens at `path` with the permission bits of `mode` (owner-only: `0o600`)
/// and, if said, the group `group`. A socket that a dead process left is
/// replaced. Gives the socket's file, too.
///
/// Nobody can connect before mode and group are set: until `listen` the system
/// refuses every connection. So the process's umask need not be touched.
///
/// # Errors
/// The path cannot be that of a socket, or is taken, or the system refuses.
///
/// # Panics
/// It is called outside of a tokio runtime.
pub fn bind(path: &Path, mode: u32, group: Option<u32>) -> Result<(UnixListener, SocketFile), BindError> {
    let failed = |step| move |source: io::Error| BindError::Io { step, path: path.to_owned(), source };
    let address = address(path)?;
    remove_stale(path, &address)?;
    let socket = new_socket().map_err(|e| failed("create")(e.into()))?;
    rustix::net::bind(&socket, &address).map_err(|e| match e {
        Errno::ADDRINUSE => BindError::InUse { path: path.to_owned() },
        e => failed("bind")(e.into()),
    })?;
    let file = SocketFile(path.to_owned());
    if let Some(group) = group {
        rustix::fs::chown(path, None, Some(Gid::from_raw(group)))
            .map_err(|e| failed("change the group of")(e.into()))?;
    }
    rustix::fs::chmod(path, Mode::from_raw_mode(mode & 0o777)).map_err(|e| failed("change the mode of")(e.into()))?;
    rustix::net::listen(&socket, BACKLOG).map_err(|e| failed("listen on")(e.into()))?;
    let listener = UnixListener::from_std(socket.into()).map_err(failed("listen on"))?;
    Ok((listener, file))
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

fn address(path: &Path) -> Result<SocketAddrUnix, BindError> {
    // An empty path would make the system choose a name of its own.
    match path.as_os_str().len() {
        0 => Err(BindError::EmptyPath),
        bytes if bytes > MAX_PATH_BYTES => Err(BindError::PathTooLong { path: path.to_owned(), bytes }),
        _ => SocketAddrUnix::new(path).map_err(|e| BindError::Io {
            step: "name",
            path: path.to_owned(),
            source: e.into(),
        }),
    }
}

/// Removes the socket of a process that is no more. The one sign of that is
/// that the system refuses a connection to it.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), BindError> {
    let failed = |step, source| BindError::Io { step, path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    let probe = new_socket().map_err(|e| failed("create", e.into()))?;
    match rustix::net::connect(&probe, address) {
        Err(Errno::CONNREFUSED) => std::fs::remove_file(path).map_err(|e| failed("remove the stale", e)),
        Err(Errno::NOENT) => Ok(()),
        // It listens; its backlog may be full.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Err(BindError::InUse { path: path.to_owned() }),
        Err(error) => Err(failed("probe", error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn the_mode_is_as_asked_whatever_the_umask() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        for mode in [0o600, 0o660, 0o666] {
            let path = dir.path().join(format!("{mode:o}.sock"));
            let _listener = bind(&path, mode, Some(rustix::process::getegid().as_raw()))?;
            assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, mode);
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_socket_of_a_dead_process_is_replaced_and_a_live_one_is_not() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("in.sock");
        let (first, file) = bind(&path, 0o600, None)?;
        // A dead process removes nothing.
        std::mem::forget(file);
        assert!(matches!(bind(&path, 0o600, None), Err(BindError::InUse { .. })));
        UnixStream::connect(&path).await?;
        drop(first);
        assert!(path.exists() && UnixStream::connect(&path).await.is_err(), "stale");
        let _second = bind(&path, 0o600, None)?;
        UnixStream::connect(&path).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_socket_leaves_no_file_behind_whatever_came_of_it() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("in.sock");
        let bound = bind(&path, 0o600, None)?;
        assert_eq!(bound.1.path(), path);
        drop(bound);
        assert!(!path.exists());
        // Who is not root is refused another's group, after the file was made.
        let other_group = bind(&path, 0o600, Some(1)).map(drop);
        assert!(!path.exists(), "{other_group:?}");
        Ok(())
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("notes.txt");
        std::fs::write(&path, "dear diary")?;
        let error = bind(&path, 0o600, None).expect_err("it is a file");
        assert!(matches!(error, BindError::NotASocket { .. }) && error.is_configuration());
        assert_eq!(std::fs::read(&path)?, b"dear diary");
        Ok(())
    }

    #[tokio::test]
    async fn a_path_too_long_for_a_socket_is_a_mistake_in_the_configuration() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let room = MAX_PATH_BYTES - dir.path().as_os_str().len() - 1;
        let _fits = bind(&dir.path().join("x".repeat(room)), 0o600, None)?;
        let error = bind(&dir.path().join("x".repeat(room + 1)), 0o600, None).expect_err("one byte more");
        assert!(matches!(error, BindError::PathTooLong { bytes: 108, .. }) && error.is_configuration());
        assert!(matches!(bind(Path::new(""), 0o600, None), Err(BindError::EmptyPath)));
        Ok(())
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_is_named() -> anyhow::Result<()> {
        let dir = tempfile::tempdir()?;
        let error = bind(&dir.path().join("no/in.sock"), 0o600, None).expect_err("no directory");
        assert!(error.to_string().contains("no/in.sock") && !error.is_configuration());
        Ok(())
    }
}
