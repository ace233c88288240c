//! The lines of a file, one in memory at a time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, Write as _};
use std::path::Path;

use super::{BadLine, LINE_LIMIT_BYTES};
use crate::exit::Failure;

/// Reads lines, and can begin anew.
pub(crate) struct Lines {
    reader: BufReader<File>,
    name: String,
    buffer: Vec<u8>,
    number: u64,
    read_bytes: u64,
    bytes: u64,
}

impl Lines {
    /// The lines of a file; of standard input for `-`, which is kept in a temporary file,
    /// since everything is looked at before anything is done.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let name = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
        let failed = |what: &str, error: &io::Error| Failure::system(format_args!("failed to {what} {name}"), error);
        let file = if path == Path::new("-") {
            let mut spool = tempfile::tempfile().map_err(|error| failed("make a temporary file for", &error))?;
            io::copy(&mut io::stdin().lock(), &mut spool).map_err(|error| failed("read", &error))?;
            spool.flush().and_then(|()| spool.rewind()).map_err(|error| failed("keep", &error))?;
            spool
        } else {
            File::open(path).map_err(|error| failed("open", &error))?
        };
        let about = file.metadata().map_err(|error| failed("look at", &error))?;
        if !about.is_file() {
            return Err(Failure::usage(format!("{name} is no file"))
                .hint("what comes through a pipe is read from standard input: `postrider import -`"));
        }
        let bytes = about.len();
        Ok(Self { reader: BufReader::new(file), name, buffer: vec![], number: 0, read_bytes: 0, bytes })
    }

    /// Begins anew.
    pub(crate) fn rewind(&mut self) -> Result<(), Failure> {
        (self.number, self.read_bytes) = (0, 0);
        self.reader
            .rewind()
            .map_err(|error| Failure::system(format_args!("failed to read {} again", self.name), &error))
    }

    /// How many bytes of how many were read.
    pub(crate) const fn progress(&self) -> (u64, u64) {
        (self.read_bytes, self.bytes)
    }

    /// The next line with its number; empty ones are passed over. `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, &str)>, Failure> {
        loop {
            self.buffer.clear();
            self.number += 1;
            let limit = LINE_LIMIT_BYTES as u64 + 1;
            let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.buffer);
            let read = read.map_err(|error| Failure::system(format_args!("failed to read {}", self.name), &error))?;
            self.read_bytes += read as u64;
            if read > LINE_LIMIT_BYTES {
                let what = format!("has more than {LINE_LIMIT_BYTES} bytes");
                return Err(BadLine::new(self.number, what).into());
            }
            if read == 0 {
                return Ok(None);
            }
            if !self.buffer.iter().all(u8::is_ascii_whitespace) {
                break;
            }
        }
        match std::str::from_utf8(&self.buffer) {
            Ok(text) => Ok(Some((self.number, text.trim_end()))),
            Err(error) => {
                let what = format!("is not UTF-8 from byte {} on", error.valid_up_to() + 1);
                Err(BadLine::new(self.number, what).into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(content: &[u8]) -> (Vec<(u64, String)>, Option<String>) {
        let file = tempfile::NamedTempFile::new().expect("there is room for temporary files");
        std::fs::write(file.path(), content).expect("it can be written");
        let (mut lines, mut read) = (Lines::open(file.path()).expect("it is there"), vec![]);
        loop {
            match lines.next() {
                Ok(Some((number, text))) => read.push((number, text.to_owned())),
                Ok(None) => return (read, None),
                Err(failure) => return (read, Some(failure.error)),
            }
        }
    }

    #[test]
    fn lines_have_numbers_and_bad_ones_are_named() {
        let (read, bad) = lines(b"{}\n\n  \n{\"a\":1}");
        assert_eq!((read, bad), (vec![(1, "{}".into()), (4, "{\"a\":1}".into())], None));
        let (read, bad) = lines(b"{}\nab\xff\n");
        assert_eq!((read.len(), bad.as_deref()), (1, Some("line 2: is not UTF-8 from byte 3 on")));
        let mut huge = vec![b' '; LINE_LIMIT_BYTES + 5];
        huge.push(b'\n');
        let (_, bad) = lines(&huge);
        assert_eq!(bad, Some(format!("line 1: has more than {LINE_LIMIT_BYTES} bytes")));
        assert!(Lines::open(Path::new("/")).is_err_and(|failure| failure.error.contains("is no file")));
    }
}
