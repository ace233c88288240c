//! The file that `export` writes and `import` reads: one JSON object a line. See docs/exchange.md.

mod file;
mod line;
mod page;

pub(crate) use file::Lines;
pub(crate) use line::{BadLine, Line};
pub(crate) use page::Pages;

/// The version of the file. A reader takes files of its own and of lower ones.
pub(crate) const FORMAT: u64 = 1;
/// Bytes of a line at most, line end included: the largest payload, 64 MiB, in base64, and room for the rest.
pub(crate) const LINE_LIMIT_BYTES: usize = 96 << 20;
