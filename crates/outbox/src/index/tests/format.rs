//! The bytes on disk. A partition is read by later builds as it is: with other
//! bytes for the same rows its lists would be wrong and nobody would know.

use postrider_model::id::{AppId, EndpointId};
use postrider_model::position::Position;
use postrider_model::time::UnixMs;

use super::memory::MemoryPartitions;
use super::rows::id;
use super::world::shown;
use crate::index::{AttemptRow, Day, EndpointMask, KeyRow, MessageRow, Row, SettledRow};

const SEGMENT: u32 = 0x0102;

/// Rows of every kind, of this segment's messages and of earlier ones.
fn rows() -> Vec<Row> {
    let message = |segment, offset, app| MessageRow {
        app: AppId(id(app)),
        sequence: Position::new(segment, offset),
        position: Position::new(SEGMENT, offset),
        accepted: UnixMs(1_700_000_000_000 + u64::from(offset)),
        endpoints: EndpointMask(0x8000_0001),
        event_type: 0x1122_3344_5566_7788,
    };
    let attempt = |message, offset, status, [succeeded, delivered]: [bool; 2]| AttemptRow {
        app: AppId(id(1)),
        endpoint: EndpointId(id(0xaabb)),
        message,
        position: Position::new(SEGMENT, offset),
        ended: UnixMs(1_700_000_100_000 - u64::from(offset)),
        status,
        succeeded,
        delivered,
    };
    let settled = |message, state| SettledRow {
        app: AppId(id(1)),
        endpoint: EndpointId(id(0xccdd)),
        message,
        position: Position::new(SEGMENT, 4_000),
        state,
        at: UnixMs(1_700_000_200_000),
        attempt: 300,
    };
    let (own, earlier) = (message(SEGMENT, 100, 1), message(7, 200, 1));
    vec![
        own.into(),
        message(SEGMENT, 300, 1).into(),
        message(SEGMENT, 500, 2).into(),
        earlier.into(),
        attempt(own.sequence, 1_000, 200, [true, true]).into(),
        attempt(own.sequence, 2_000, 503, [false, false]).into(),
        attempt(earlier.sequence, 3_000, 0, [true, false]).into(),
        settled(own.sequence, 3).into(),
        settled(earlier.sequence, 4).into(),
        KeyRow { hash: [0x5a; 16], position: own.position, at: own.accepted }.into(),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = (0..hex.len() / 2).map(|at| &hex[2 * at..2 * at + 2]);
    digits.map(|digits| u8::from_str_radix(digits, 16).expect("it is hexadecimal")).collect()
}

#[test]
fn a_segment_of_version_1_has_these_bytes() {
    let store = MemoryPartitions::default();
    let index = store.fresh_index();
    index.insert_all(SEGMENT, rows());
    index.seal(SEGMENT, Day(1)).expect("the store works");
    let written: Vec<_> = store.items(Day(1)).iter().map(|(key, value)| (hex(key), hex(value))).collect();
    let written: Vec<_> = written.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(written, FROZEN);
}

#[test]
fn a_segment_of_version_1_is_read() {
    let store = MemoryPartitions::default();
    store.put(Day(1), FROZEN.iter().map(|(key, value)| (bytes(key), bytes(value))));
    let index = store.index();
    let missing = index.unindexed(&[(SEGMENT, Day(1))], UnixMs(1_700_000_000_000)).expect("the store works");
    assert_eq!((missing, index.partitions_set_aside()), (vec![], 0));
    let mut found = Vec::new();
    for app in [1, 2] {
        let (rows, _) = shown(|each| index.messages(AppId(id(app)), None, false, 10, each));
        found.extend(rows.into_iter().map(Row::from));
    }
    let of_endpoint = shown(|each| index.attempts_of_endpoint(EndpointId(id(0xaabb)), None, false, 10, each)).0;
    let settled = shown(|each| index.settled_of_endpoint(EndpointId(id(0xccdd)), 10, each)).0;
    let (mut of_messages, mut settled_of_messages) = (Vec::new(), Vec::new());
    for row in &found {
        let Row::Message(MessageRow { app, sequence, .. }) = *row else { continue };
        of_messages.extend(shown(|each| index.attempts_of_message(app, sequence, None, false, 10, each)).0);
        settled_of_messages.extend(index.settled_of_message(app, sequence).expect("nothing is missing"));
    }
    of_messages.sort_by_key(|row| row.position);
    settled_of_messages.sort_by_key(|row| std::cmp::Reverse(row.message));
    assert_eq!(of_messages, of_endpoint);
    assert_eq!(settled_of_messages, settled);
    found.extend(of_endpoint.into_iter().map(Row::from));
    found.extend(settled.into_iter().map(Row::from));
    found.extend(index.find_key(&[0x5a; 16]).expect("nothing is missing").map(Row::from));
    let mut expected = rows();
    assert_eq!(found.len(), expected.len());
    expected.retain(|row| !found.contains(row));
    assert_eq!(expected, []);
}

/// Keys and values: the marker with the summary, and a block for each run.
const FROZEN: &[(&str, &str)] = &[
    (
        "0100000102",
        concat!(
            "011000000001000001020000006400000102000001f4000000000000000000091084447e2233f1089f11000000",
            "0100000007000000c800000007000000c800000000000000000009108444422231110888200000000100000102",
            "00000064000001020000006400000000000000000000210000000100000007000000c800000007000000c80000",
            "0000000000000009100c183060c0810306300000000100000102000003e80000010200000bb800000000000000",
            "00000910030180c060381c06400000000100000102000000640000010200000064000000000000000000004100",
            "00000100000007000000c800000007000000c800000000000000000009100c183060c081030660000000010000",
            "010200000fa00000010200000fa000000000000000000000500000000100000102000000640000010200000064",
            "0000018bcfe568640000835b87f9",
        ),
    ),
    (
        "100000010200000000000000010000000000000000000000000000010200000064000000000000000000000000",
        concat!(
            "011000000102000000000003516856d1000000000000000001000000000000000000000000c0c08080814800e2",
            "f9feaba14880000001112233445566778801831000831080000001112233445566778800000000000000000200",
            "00000000000000000000008310008310800000011122334455667788",
        ),
    ),
    (
        "1100000102000000000000000100000000000000000000000000000007000000c8000000000000000000000000",
        concat!(
            "011100000102000000000001ea4815e000000000000000000100000000000000000000000081e080808310bee0",
            "80808000e2f9feaba310800000011122334455667788",
        ),
    ),
    (
        "20000001020000000000000001000000000000000000000000000001020000006400000102000003e800000000",
        concat!(
            "012000000102000000000002e00e092a00000000000000000100000000000000000000000000000000000000aa",
            "bb000000000000000000000000c0c080808148c0c080808f50e2f9feb7aa7086230102008f508f4f8f5c",
        ),
    ),
    (
        "2100000102000000000000000100000000000000000000000000000007000000c80000010200000bb800000000",
        concat!(
            "012100000102000000000001f6770aed00000000000000000100000000000000000000000000000000000000aa",
            "bb00000000000000000000000081e080808310c0c08080ae70e2f9feb78b5001",
        ),
    ),
    (
        "3000000102000000000000aabb00000000000000000000000000000102000003e8000000000000000000000000",
        concat!(
            "013000000102000000000003e360857800000000000000aabb0000000000000000000000000000000000000000",
            "01000000000000000000000000c0c080808148c0c080808f50e2f9feb7aa7086230102008f508f4f8f5c0102be",
            "dffffffe378f508f4f01",
        ),
    ),
    (
        "4000000102000000000000000100000000000000000000000000000102000000640000010200000fa000000000",
        concat!(
            "0140000001020000000000012705b92c00000000000000000100000000000000000000000000000000000000cc",
            "dd000000000000000000000000c0c080808148c0c08080be40e2f9fec3d50003822c",
        ),
    ),
    (
        "4100000102000000000000000100000000000000000000000000000007000000c80000010200000fa000000000",
        concat!(
            "0141000001020000000000016036fd0000000000000000000100000000000000000000000000000000000000cc",
            "dd00000000000000000000000081e080808310c0c08080be40e2f9fec3d50004822c",
        ),
    ),
    (
        "50000001025a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a000000000000010200000064000000000000000000000000",
        "0150000001020000000000013e4484ca5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5ac0c080808148e2f9feaba148",
    ),
    (
        "6000000102000000000000ccdd0000000000000000000000000000010200000fa000000007000000c800000000",
        concat!(
            "0160000001020000000000022519ec1800000000000000000100000000000000000000000000000000000000cc",
            "dd00000000000000000000000081e080808310c0c08080be40e2f9fec3d50004822c0102bedffffffe38000003",
            "822c",
        ),
    ),
];
