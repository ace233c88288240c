//! An ext4 file system of its own, in a file, from which the power can be taken.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

use crate::support::say;

const CUTTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shim/cut_power.c");
const SHIM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shim/hide_syncs.c");
/// The file is sparse: it takes what is written.
const IMAGE_BYTES: u64 = 1 << 30;

/// The file system. It is gone when this is dropped.
pub(super) struct LoopDisk(TempDir);

impl LoopDisk {
    /// `None`, with the reason printed, where this user may not make one.
    pub(super) fn make() -> Option<Self> {
        let disk = Self(tempfile::tempdir().expect("there is room for temporary files"));
        let image = std::fs::File::create(disk.image()).expect("a file can be made");
        image.set_len(IMAGE_BYTES).expect("it takes no room");
        std::fs::create_dir(disk.path()).expect("a directory can be made");
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.arg("-q").arg(disk.image());
        let made = tried(&mut mkfs).and_then(|()| tried(&mut disk.mount_command()));
        match made {
            Ok(()) => {
                compile(&disk.cutter_path(), &["-O1"], CUTTER);
                Some(disk)
            }
            Err(why) => {
                say(format_args!("skipped power_cut: {why}"));
                None
            }
        }
    }

    /// Where it is mounted.
    pub(super) fn path(&self) -> PathBuf {
        self.0.path().join("mounted")
    }

    fn image(&self) -> PathBuf {
        self.0.path().join("image")
    }

    fn cutter_path(&self) -> PathBuf {
        self.0.path().join("cut_power")
    }

    fn mount_command(&self) -> Command {
        let mut mount = Command::new("mount");
        // The device goes by itself when it is unmounted.
        mount.args(["-t", "ext4", "-o", "loop"]).arg(self.image()).arg(self.path());
        mount
    }

    /// What takes the power from it, and waits for the word.
    pub(super) fn cutter(&self) -> Cutter {
        let mut command = Command::new(self.cutter_path());
        command.arg(self.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it was compiled");
        let said = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let cutter = Cutter(Mutex::new((child, said)));
        cutter.expect("ready");
        cutter
    }

    /// Lets the power come back. All processes that used it must be gone.
    pub(super) fn power_on(&self) {
        tried(Command::new("umount").arg(self.path())).expect("nobody uses it");
        tried(&mut self.mount_command()).expect("what was mounted can be mounted");
    }

    /// A library that hides the syncs of who loads it.
    pub(super) fn hide_syncs(&self) -> PathBuf {
        let shim = self.0.path().join("hide_syncs.so");
        compile(&shim, &["-shared", "-fPIC", "-O1"], SHIM);
        shim
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Whoever still uses it is on its way out. It may not be mounted at all.
        let _ = Command::new("umount").arg("-l").arg(self.path()).stderr(Stdio::null()).status();
    }
}

/// A process that has the file system open and cuts its power when it is told.
pub(super) struct Cutter(Mutex<(Child, BufReader<ChildStdout>)>);

impl Cutter {
    /// Cuts. Nothing reaches the disk after this has returned.
    pub(super) fn cut(&self) {
        {
            let (child, _) = &mut *self.0.lock().expect("nobody panics with it");
            let stdin = child.stdin.as_mut().expect("it is a pipe");
            stdin.write_all(b"\n").expect("it waits for that");
        }
        self.expect("cut");
    }

    fn expect(&self, word: &str) {
        let (_, said) = &mut *self.0.lock().expect("nobody panics with it");
        let mut line = String::new();
        said.read_line(&mut line).expect("it speaks in ASCII");
        assert_eq!(line.trim_end(), word, "the power cannot be cut");
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        if let Ok((child, _)) = self.0.get_mut() {
            drop(child.stdin.take());
            // It has nothing more to do.
            let _ = child.wait();
        }
    }
}

/// With the C compiler that Rust links with.
fn compile(to: &Path, flags: &[&str], source: &str) {
    let mut cc = Command::new("cc");
    cc.args(flags).args(["-Wall", "-Wextra", "-Werror", "-o"]).arg(to).arg(source);
    tried(&mut cc).expect("there is a C compiler");
}

fn tried(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().display().to_string();
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{name}: {error}")),
    }
}
