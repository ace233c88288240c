//! How much memory bytes get that claim to be long: no more than goes with their size.

use super::*;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// How bytes of this size begin that are a text of a length which they do not have.
fn claim(of: usize) -> Vec<u8> {
    let mut bytes = vec![253];
    bytes.extend_from_slice(&(of as u64).to_le_bytes());
    bytes
}

/// Whether room was made for a text that claims to be so long, before it was looked whether it is there.
fn gets_room(decoded: Result<(), String>) -> bool {
    let problem = decoded.expect_err("a text that is not there cannot be read");
    assert!(problem == "LimitExceeded" || problem.starts_with("UnexpectedEnd"), "{problem}");
    problem != "LimitExceeded"
}

/// Of a checkpoint as large as `size`, whose checksum is right.
fn checked(size: usize, of: usize) -> bool {
    // Zeros that nobody looks at take no memory.
    let mut bytes = vec![0; size];
    let claim = claim(of);
    bytes[..claim.len()].copy_from_slice(&claim);
    gets_room(codec::from_checked_bincode::<String>(&bytes).map(drop))
}

#[test]
#[cfg_attr(miri, ignore = "an interpreter takes the memory that is only claimed here")]
fn a_text_in_a_checkpoint_gets_room_by_the_checkpoints_size() {
    // What fits is eight times the size, and some bytes that are counted besides.
    for (size, next) in [(32 * KIB, MIB), (MIB, 32 * MIB), (32 * MIB, 1 << 30)] {
        assert!(checked(size, 8 * size - 100), "{size}: it may count as much");
        assert!(!checked(size, 8 * size + 1), "{size}: it is longer than all of it by far");
        assert!(!checked(100, 8 * size + 1), "{size}: and the more so in fewer bytes");
        assert!(checked(size + 1, 8 * size + 1), "{size}: in more bytes it may be there");
        assert!(!checked(size + 1, 8 * next + 1), "{size}: but not any text");
    }
}

/// A message's record whose event type claims to be so long.
fn meta(size: usize, of: usize) -> bool {
    let meta = Accepted { event_type: "order.paid".to_owned(), ..accepted() };
    let whole = Encoder::default().encode(&Record::Accepted(meta, None)).to_vec();
    let text = b"order.paid";
    let at = whole.windows(text.len()).position(|window| window == text).expect("the text is there");
    // One byte of length stands before it.
    let mut record = whole[..at - 1].to_vec();
    record.extend_from_slice(&claim(of));
    record.resize(6 + size, 0);
    record[2..6].copy_from_slice(&(size as u32).to_le_bytes());
    gets_room(match decode(&record.into()) {
        Err(DecodeError::Meta { kind: 0x81, detail }) => Err(detail),
        other => panic!("it is no record: {other:?}"),
    })
}

#[test]
#[cfg_attr(miri, ignore = "an interpreter takes the memory that is only claimed here")]
fn a_text_in_a_record_gets_room_by_the_records_size() {
    for size in [KIB, 32 * KIB] {
        assert!(meta(size, 8 * size - 400), "{size}: it may count as much");
        assert!(!meta(size, 8 * size + 1), "{size}: it is longer than all of it by far");
        assert!(!meta(300, 8 * size + 1), "{size}: and the more so in fewer bytes");
        assert!(meta(size + 1, 8 * size + 1), "{size}: in more bytes it may be there");
    }
    for size in [32 * KIB + 1, MIB, 15 * MIB] {
        assert!(meta(size, 16 * MIB - 400), "{size}: up to a limit");
        assert!(!meta(size, 16 * MIB + 1), "{size}: no record has such a text");
    }
}

#[test]
fn a_checkpoint_of_any_size_is_read_however_much_its_numbers_count() {
    // An interpreter takes minutes for the large ones.
    let lengths: &[usize] = if cfg!(miri) { &[0, 1, 100] } else { &[0, 1, 100, 300 * KIB, 9 * MIB] };
    for &length in lengths {
        let text = "x".repeat(length);
        assert_eq!(codec::from_checked_bincode(&codec::to_bincode(&text)), Ok(text), "{length} letters");
    }
    for count in [1, 100, 5_000] {
        let numbers = vec![1u64; count];
        assert_eq!(codec::from_checked_bincode(&codec::to_bincode(&numbers)), Ok(numbers), "{count} numbers");
    }
}

#[test]
fn the_beginning_is_read_whatever_follows_it() {
    let mut bytes = codec::to_bincode(&(7u8, "text"));
    bytes.extend_from_slice(b"\xffwhatever");
    assert_eq!(codec::beginning_of_bincode::<(u8, String)>(&bytes), Ok((7, "text".to_owned())));
    assert!(codec::beginning_of_bincode::<(u8, String)>(&bytes[..3]).is_err());
}

#[test]
fn what_stands_behind_a_sealed_change_is_damage_and_not_of_a_newer_postrider() {
    let record = Record::SealedConfig(Bytes::from_static(b"envelope"));
    let bytes = encoded(&record);
    assert_eq!(decode(&bytes.clone().into()), Ok(record));
    let longer = decode(&[&bytes[..], b"x"].concat().into());
    assert_eq!(longer, Err(DecodeError::Meta { kind: 3, detail: "bytes are left over".to_owned() }));
}

#[test]
fn a_head_that_is_cut_or_says_more_than_there_is_is_too_short() {
    let bytes = encoded(&Record::TaskFinished(TaskFinished { id: TaskId(id(7)), at: UnixMs(17) }));
    for length in 0..bytes.len() {
        assert_eq!(decode(&Bytes::copy_from_slice(&bytes[..length])), Err(DecodeError::Short), "{length} bytes");
    }
    let mut longest = bytes;
    longest[2..6].fill(0xff);
    assert_eq!(decode(&longest.clone().into()), Err(DecodeError::Short));
    longest[0] = 1;
    assert!(erase(&mut longest), "it ends where there is nothing to take out");
}
