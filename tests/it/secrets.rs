//! Secrets: where the keys come from, what lies on disk, what is shown, and where credentials go.

mod arguments;
mod key;
mod moved;
mod planted;
mod redaction;
mod rotation;
