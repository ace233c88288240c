//! What the processes of a run say to each other: lines of JSON, and blocks of
//! numbers.

use std::os::unix::net::UnixStream as StdStream;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::Failure;

/// One side.
pub(crate) struct Wire(BufReader<UnixStream>);

impl Wire {
    /// Over one of a pair of sockets; needs a runtime around it.
    pub(crate) fn over(stream: StdStream) -> Result<Self, Failure> {
        stream.set_nonblocking(true)?;
        Ok(Self(BufReader::new(UnixStream::from_std(stream)?)))
    }

    pub(crate) async fn say(&mut self, what: &impl Serialize) -> Result<(), Failure> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        Ok(self.0.write_all(&line).await?)
    }

    /// Nothing if the other side has gone.
    pub(crate) async fn hear<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Failure> {
        let mut line = String::new();
        if self.0.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_str(&line)?))
    }

    pub(crate) async fn say_numbers(&mut self, numbers: &[u64]) -> Result<(), Failure> {
        let count = u64::try_from(numbers.len())?;
        let bytes: Vec<u8> = [count].iter().chain(numbers).flat_map(|number| number.to_le_bytes()).collect();
        Ok(self.0.write_all(&bytes).await?)
    }

    pub(crate) async fn hear_numbers(&mut self) -> Result<Vec<u64>, Failure> {
        let count = usize::try_from(self.0.read_u64_le().await?)?;
        let mut bytes = vec![0; count * size_of::<u64>()];
        self.0.read_exact(&mut bytes).await?;
        let (numbers, _) = bytes.as_chunks();
        Ok(numbers.iter().map(|number| u64::from_le_bytes(*number)).collect())
    }
}
