//! What must hold of whatever lies on the disk. Run by `fuzz/`, and by a test
//! over the corpus there.
//!
//! A fuzzer does not find check sums, so all that an input lacks to be taken for
//! something of ours is put right first: what is looked at is what comes behind.

use bytes::Bytes;

use crate::MasterKey;
use crate::checkpoint;
pub use crate::index::fuzzing::{block, summary};
pub use crate::journal::fuzzing::journal;
use crate::options::Options;
use crate::record::{DecodeError, Encoder, Record, decode, erase};
use crate::seal::Sealer;

/// A record.
///
/// # Panics
/// The law is broken.
pub fn record(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let record = match decode(&bytes) {
        Ok(record) => record,
        Err(DecodeError::Short) => return,
        Err(error) => return assert!(error.to_string().starts_with("record of kind "), "{error}"),
    };
    assert!(record.raw().len() <= bytes.len());
    assert_eq!(decode(&encoded(&record)).as_ref(), Ok(&record), "what was read is read again as the same");
    if !matches!(record, Record::Config(_) | Record::Audit(_)) {
        assert!(encoded(&record).len() <= bytes.len(), "we write nothing longer than need be");
    }
    erased(&bytes, record);
}

/// Its raw bytes can be taken out, and nothing else changes.
fn erased(bytes: &Bytes, mut record: Record) {
    let mut changed = bytes.to_vec();
    let had_raw = erase(&mut changed);
    assert_eq!(changed.len(), bytes.len());
    if let Record::Accepted(_, raw) | Record::Outcome(_, raw) | Record::Carried(_, raw) = &mut record {
        assert_eq!(raw.take().is_some(), had_raw);
    } else {
        assert!(!had_raw);
    }
    assert_eq!(decode(&changed.into()), Ok(record));
}

fn encoded(record: &Record) -> Bytes {
    let mut encoder = Encoder::default();
    let mut bytes = encoder.encode(record).to_vec();
    bytes.extend_from_slice(record.raw());
    bytes.into()
}

/// The body of a checkpoint.
///
/// # Panics
/// The law is broken.
pub fn checkpoint(body: &[u8]) {
    let options = Options::new("/store", MasterKey::new([7; 32]));
    assert!(checkpoint::decode(body, &options).is_err(), "without its head it is none");
    // Where the configuration is not sealed all of it is tried.
    let headed = checkpoint::headed(checkpoint::PLAIN_MAGIC, body);
    let Ok(restored) = checkpoint::decode(&headed, &options) else { return };
    let bytes =
        checkpoint::encode(&restored.state, &restored.config, &Sealer::new(&options.master_key), restored.position);
    let Ok(again) = checkpoint::decode(&bytes, &options) else { panic!("we wrote it ourselves: {bytes:?}") };
    assert_eq!(again.position, restored.position);
    assert_eq!(again.config.to_changes(), restored.config.to_changes());
    assert_eq!(again.state.lanes, restored.state.lanes);
    assert_eq!(again.state.tasks, restored.state.tasks);
    assert_eq!(again.state.expunging, restored.state.expunging);
    assert_eq!(again.state.audit, restored.state.audit);
    assert_eq!(again.state.last_record, restored.state.last_record);
    assert_eq!(again.state.pending_total(), restored.state.pending_total());
}

#[cfg(test)]
mod tests {
    use postrider_proof::corpus;

    #[test]
    fn the_law_holds_for_the_corpus_of_records() {
        corpus("record", super::record);
    }

    #[test]
    fn the_law_holds_for_the_corpus_of_checkpoints() {
        corpus("checkpoint", super::checkpoint);
    }

    #[test]
    fn the_law_holds_for_the_corpus_of_journals() {
        corpus("journal", super::journal);
    }

    #[test]
    fn the_law_holds_for_the_corpus_of_blocks() {
        corpus("block", super::block);
    }

    #[test]
    fn the_law_holds_for_the_corpus_of_summaries() {
        corpus("summary", super::summary);
    }
}
