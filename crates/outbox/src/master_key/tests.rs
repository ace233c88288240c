//! What is made of a store's first key lies in every file of it: it never changes.

use super::*;

const IDENTITY: &str = "bcb20a47910b3514eda9f5563cd91c2717e98647ad73ec0ca8f124a0abcd2f6b7476eadc12cfd885";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_is_made_of_a_first_key_is_what_it_was() {
    let key = MasterKey::new([7; 32]);
    assert_eq!(hex(key.identity()), IDENTITY);
    assert_eq!(hex(&*key.mask()), IDENTITY[..64]);
    assert_eq!(key.store_id(), 0x7476_eadc_12cf_d885);
    let [sealing] = key.sealing() else { panic!("there is one") };
    assert_eq!(sealing.number, 0);
    assert_eq!(hex(&*sealing.key), "36a7bdc2869a8bb1b1655b329b30bf23482426bae350075e23cf24d162ba6f1d");
    assert_eq!(sealing.id(), "8fbe2144acad4225");
}

#[test]
fn another_first_key_is_another_store() {
    let (one, other) = (MasterKey::new([7; 32]), MasterKey::new([8; 32]));
    assert_ne!(one.store_id(), other.store_id());
    assert_ne!(*one.mask(), *other.mask());
    assert_ne!(one.sealing()[0].id(), other.sealing()[0].id());
    assert_eq!(other.open(&one.seal(b"text")), None);
}

#[test]
fn a_store_whose_key_was_exchanged_is_known_as_before_and_needs_a_key() {
    let first = MasterKey::new([7; 32]);
    let newer = SealingKey { number: 4, key: Zeroizing::new([9; 32]) };
    let key = MasterKey::of_parts(first.identity(), vec![newer]).expect("there is one");
    assert_eq!(key.identity(), first.identity());
    assert_eq!((key.store_id(), key.mask()), (first.store_id(), first.mask()));
    assert_eq!(key.sealing().iter().map(|sealing| sealing.number).collect::<Vec<_>>(), [4]);
    assert!(MasterKey::of_parts(first.identity(), vec![]).is_none());
}

#[test]
fn a_text_is_sealed_and_opened_and_tells_the_number_of_its_key() {
    let key = MasterKey::new([7; 32]);
    for text in [b"".as_slice(), b"a small text"] {
        let sealed = key.seal(text);
        assert_eq!(key.open(&sealed).as_deref().map(Vec::as_slice), Some(text));
        assert_eq!(MasterKey::number_of(&sealed), Some(0));
    }
    for no_envelope in [b"".as_slice(), b"\x00", b"\x03whatever", b"\x02abc"] {
        assert_eq!(MasterKey::number_of(no_envelope), None, "{no_envelope:?}");
        assert_eq!(key.open(no_envelope), None, "{no_envelope:?}");
    }
}

#[test]
fn keys_are_shown_nowhere() {
    let key = MasterKey::new([7; 32]);
    assert_eq!(format!("{key:?}"), "MasterKey(..)");
    assert_eq!(format!("{:?}", key.sealing()), "[SealingKey { number: 0, .. }]");
}
