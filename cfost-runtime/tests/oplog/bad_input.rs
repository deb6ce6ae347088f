//! What a hostile or broken peer may send, each with the error it gets. None of it panics, and none makes
//! a decoder allocate more than it was sent bytes for.

use cfost_runtime::clock::Timestamp;
use cfost_runtime::oplog::limits::{
    CHANGE_BYTES_MAX, CHANGE_OPS_MAX, COLUMNS_MAX, DEPS_MAX, PAYLOAD_BYTES_MAX, RUN_BYTES_MAX, RUN_CHANGES_MAX,
    SEGMENTS_MAX,
};
use cfost_runtime::oplog::{
    ChangeFlags, ChangeId, Dep, Head, Header, LogId, OpKind, Opener, OplogError, PackedChange, RuleTag, Run, Sealer,
    SegmentReader, SegmentWriter, SpaceId, ValueRef, sign_change,
};
use ed25519_dalek::SigningKey;
use uuid::Uuid;

use crate::maker::{LOG, TestChange, empty_chain, epoch_key, run};

/// All ops of a segment are read: the first error, if any.
fn read_all(payload: &[u8]) -> Result<u32, OplogError> {
    let mut reader = SegmentReader::new(payload)?;
    while reader.next_op()?.is_some() {}
    Ok(reader.ops())
}

#[track_caller]
fn assert_malformed<T: std::fmt::Debug>(outcome: Result<T, OplogError>, expected: &str) {
    match outcome {
        Err(OplogError::Malformed { reason, .. }) => assert_eq!(reason, expected),
        other => panic!("{other:?}, but expected: {expected}"),
    }
}

#[track_caller]
fn assert_too_large<T: std::fmt::Debug>(outcome: Result<T, OplogError>, expected: &str) {
    match outcome {
        Err(OplogError::TooLarge { what, found, max }) => {
            assert_eq!(what, expected);
            assert!(found > max);
        }
        other => panic!("{other:?}, but expected too many {expected}"),
    }
}

/// The head of a segment of the table `t`: schema version 1, timestamp 1.
const SEGMENT_HEAD: [u8; 12] = [1, 1, b't', 1, 1, 0, 0, 0, 0, 0, 0, 0];
const ROW: [u8; 16] = [9; 16];

fn segment(ops: &[&[u8]]) -> Vec<u8> {
    [&SEGMENT_HEAD[..], &ops.concat()].concat()
}

fn long_varint(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = value;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

#[test]
fn a_segment_has_one_way_to_say_each_thing() {
    // Shape 0: an update of the column `a`, last writer wins.
    let update: &[u8] = &[0, 2, 1, 1, 1, b'a'];
    let op = |value: &'static [u8]| segment(&[update, &ROW, value]);
    read_all(&op(&[0])).unwrap();
    for (payload, reason) in [
        (op(&[1, 0x80, 0x00]), "a number in more bytes than it needs"),
        (op(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), "a number beyond 64 bits"),
        (op(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x00]), "a number beyond 64 bits"),
        (op(&[2, 0, 0, 0, 0, 0, 0, 0, 0x80]), "a float that is NaN or negative zero"),
        (op(&[2, 1, 0, 0, 0, 0, 0, 0xf0, 0x7f]), "a float that is NaN or negative zero"),
        (op(&[2, 0, 0, 0]), "the bytes end too early"),
        (op(&[3, 2, 0xff, 0xff]), "text that isn't UTF-8"),
        (op(&[3, 0x80, 0x00]), "a number in more bytes than it needs"),
        (op(&[4, 5, 1, 2]), "a length beyond the end of the bytes"),
        (op(&[4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), "a length beyond the end of the bytes"),
        (op(&[5, 0]), "a value that its column's merge rule can't take"),
        (op(&[6]), "an unknown type of value"),
        (op(&[]), "the bytes end too early"),
        (segment(&[&[0, 2, 1, 2, 1, b'a'], &ROW, &[3, 0]]), "a value that its column's merge rule can't take"),
        (segment(&[&[0, 4, 0], &ROW]), "an unknown kind of op"),
        (segment(&[&[0, 0, 0], &ROW]), "an unknown kind of op"),
        (segment(&[&[0, 3, 1, 1, 1, b'a'], &ROW, &[0]]), "a delete with columns"),
        (segment(&[&[0, 2, 1, 1, 0], &ROW, &[0]]), "a column without a name"),
        (segment(&[&[0, 2, 2, 1, 1, b'a', 1, 1, b'a'], &ROW, &[0, 0]]), "the same column twice by one rule in a shape"),
        (segment(&[&[1, 3, 0], &ROW]), "a shape that was not introduced"),
        (segment(&[&[0, 3, 0], &ROW, &[2], &ROW]), "a shape that was not introduced"),
        (segment(&[&[0, 3, 0], &ROW, &[1, 3, 0], &ROW]), "a shape that was introduced before"),
        (segment(&[&[0, 3, 0], &ROW[..15]]), "the bytes end too early"),
        (segment(&[&[0, 3, 0], &ROW, &[0]]), "the bytes end too early"),
        (segment(&[]), "no op"),
        (vec![0, 1, b't'], "a format that never was"),
        (vec![1, 1, 0xff], "text that isn't UTF-8"),
        (vec![1, 1, b't', 0xff, 0xff, 0xff, 0xff, 0x1f], "a number beyond 32 bits"),
        (vec![], "the bytes end too early"),
    ] {
        assert_malformed(read_all(&payload), reason);
    }
}

#[test]
fn a_segment_of_a_newer_format_is_told_from_a_broken_one() {
    let newer = OplogError::Newer { what: "segment", version: 2, known: 1 };
    assert_eq!(read_all(&[2, 1, 2, 3]).unwrap_err(), newer);
}

#[test]
fn a_segment_over_a_limit_is_refused_before_anything_is_allocated_for_it() {
    assert_too_large(read_all(&vec![0; PAYLOAD_BYTES_MAX + 1]), "bytes of one segment");
    // More columns than a table has; more columns than there are bytes left.
    let count = long_varint(COLUMNS_MAX as u64 + 1);
    assert_too_large(read_all(&segment(&[&[0, 2], &count])), "columns of one op");
    let count = long_varint(COLUMNS_MAX as u64);
    assert_malformed(read_all(&segment(&[&[0, 2], &count])), "a count of more things than the bytes hold");
    let op = [&[0][..], &ROW].concat();
    let mut ops = segment(&[&[0, 3, 0], &ROW]);
    for _ in 1..CHANGE_OPS_MAX {
        ops.extend_from_slice(&op);
    }
    assert_eq!(read_all(&ops).unwrap(), CHANGE_OPS_MAX);
    ops.extend_from_slice(&op);
    assert_too_large(read_all(&ops), "ops of one change");
}

#[test]
fn a_writer_stops_where_a_reader_would_refuse() {
    let mut writer = SegmentWriter::new("t", 1, Timestamp::from_ms(1));
    let delete = writer.shape(OpKind::Delete, &[]).unwrap();
    for _ in 0..CHANGE_OPS_MAX {
        writer.push(delete, &Uuid::nil(), []).unwrap();
    }
    assert_too_large(writer.push(delete, &Uuid::nil(), []), "ops of one change");
    assert_eq!(read_all(writer.payload()).unwrap(), CHANGE_OPS_MAX);
}

#[test]
fn no_op_has_a_timestamp_after_the_end_of_time() {
    let mut writer = SegmentWriter::new("t", 1, Timestamp::MAX);
    let delete = writer.shape(OpKind::Delete, &[]).unwrap();
    assert_eq!(writer.push(delete, &Uuid::nil(), []).unwrap(), Timestamp::MAX);
    assert!(matches!(writer.push(delete, &Uuid::nil(), []), Err(OplogError::Value { .. })));
    let payload = [writer.payload(), &[0], &ROW].concat();
    assert_malformed(read_all(&payload), "a timestamp after the end of time");
}

/// A packed change with one segment, whose parts can be replaced.
fn packed(flags: &[u8], epoch: &[u8], deps: &[u8], segments: &[u8]) -> Vec<u8> {
    [flags, epoch, &[7; 24], deps, segments].concat()
}

#[test]
fn a_change_has_one_encoding() {
    let dep = |log: u8, seq: u8| [&[log; 16][..], &[seq], &[3; 32]].concat();
    let sealed = [&[17][..], &[5; 17]].concat();
    let one = [&[1][..], &sealed].concat();
    PackedChange::decode(&packed(&[1], &[0], &[0], &one)).unwrap();
    PackedChange::decode(&packed(&[0], &[0], &[0], &[0])).unwrap();
    for (bytes, reason) in [
        (packed(&[0x10, 0, 0], &[0], &[0], &one), "a kind that is not another one"),
        (packed(&[0x10, 1, 0], &[0], &[0], &one), "a kind that is not another one"),
        (packed(&[0x10, 2, 99], &[0], &[0], &one), "a length beyond the end of the bytes"),
        (packed(&[0], &[0x80, 0], &[0], &one), "a number in more bytes than it needs"),
        (packed(&[0], &[0xff, 0xff, 0xff, 0xff, 0x1f], &[0], &one), "a number beyond 32 bits"),
        (
            packed(&[0], &[0], &[&[2][..], &dep(2, 1), &dep(1, 1)].concat(), &one),
            "deps that aren't sorted by log, each once",
        ),
        (
            packed(&[0], &[0], &[&[2][..], &dep(1, 1), &dep(1, 2)].concat(), &one),
            "deps that aren't sorted by log, each once",
        ),
        (packed(&[0], &[0], &[&[1][..], &dep(1, 0)].concat(), &one), "a dep on a change that can't be"),
        (packed(&[0], &[0], &[9], &one), "a count of more things than the bytes hold"),
        (packed(&[0], &[0], &[0], &[9, 1]), "a count of more things than the bytes hold"),
        (packed(&[0], &[0], &[0], &[&[1][..], &[16], &[5; 16], &[0]].concat()), "a segment too short to be sealed"),
        (packed(&[0], &[0], &[0], &[&[1][..], &[18], &[5; 17]].concat()), "a length beyond the end of the bytes"),
        (packed(&[0], &[0], &[0], &[&one[..], &[0]].concat()), "bytes after the end"),
    ] {
        assert_malformed(PackedChange::decode(&bytes), reason);
    }
    let many = |count: usize| long_varint(count as u64);
    assert_too_large(PackedChange::decode(&packed(&[0], &[0], &many(DEPS_MAX + 1), &[])), "deps of one change");
    assert_too_large(
        PackedChange::decode(&packed(&[0], &[0], &[0], &many(SEGMENTS_MAX + 1))),
        "segments of one change",
    );
    assert_too_large(PackedChange::decode(&vec![0; CHANGE_BYTES_MAX + 1]), "bytes of one change");
}

/// The canonical header of a change with a dep and two segments.
fn header() -> Vec<u8> {
    let dep = Dep { log: LogId::from_bytes([1; 16]), head: Head { seq: 1, id: ChangeId::from_bytes([1; 32]) } };
    let (mut chain, mut reader) = (empty_chain(), empty_chain());
    let sealed = Sealer::new().seal(&mut chain, ChangeFlags::NONE, &epoch_key(1), &[0; 24], &[dep], &[&[1], &[2]]);
    let packed = sealed.unwrap().0;
    let (header, _) = reader.next(&PackedChange::decode(&packed).unwrap(), epoch_key(1).commitment()).unwrap();
    header.as_bytes().to_vec()
}

#[test]
fn a_header_has_one_encoding() {
    let good = header();
    Header::decode(&good).unwrap();
    let with = |at: usize, bytes: &[u8]| {
        let mut header = good.clone();
        header[at..at + bytes.len()].copy_from_slice(bytes);
        Header::decode(&header)
    };
    for (at, what) in [(0, "header"), (1, "header's suite")] {
        assert_eq!(with(at, &[2]).unwrap_err(), OplogError::Newer { what, version: 2, known: 1 });
        assert_malformed(with(at, &[0]), "a version that never was");
    }
    assert_malformed(with(2, &[0]), "a kind that never was");
    assert_malformed(with(3, &[0x10]), "an unknown flag");
    assert_malformed(with(68, &[0]), "a sequence number that doesn't fit the previous change");
    assert_malformed(with(68, &[2]), "a sequence number that doesn't fit the previous change");
    assert_malformed(with(76, &[1]), "a sequence number that doesn't fit the previous change");
    assert_malformed(with(172, LOG.as_bytes()), "a dep on the change's own log");
    assert_malformed(with(172 + 16, &[0; 8]), "a dep on a change that can't be");
    assert_malformed(with(172 + 56, &[16, 0, 0, 0]), "a segment too short to be sealed");
    assert_too_large(with(172 + 56, &[0, 0, 0, 1]), "bytes of one change");
    assert_too_large(with(168, &[0xff, 0xff]), "deps of one change");
    assert_too_large(with(170, &[0xff, 0xff]), "segments of one change");
    assert_malformed(with(170, &[3]), "a count of more things than the bytes hold");
    assert_malformed(with(170, &[1]), "bytes after the end");
    for len in 0..good.len() {
        Header::decode(&good[..len]).expect_err("a header that was cut off");
    }
}

fn change(nonce: u8, payload: &[u8]) -> TestChange {
    TestChange { continues: false, epoch: 3, nonce: [nonce; 24], deps: Vec::new(), payloads: vec![payload.to_vec()] }
}

fn three() -> Run {
    run(&mut empty_chain(), &[change(1, b"a"), change(2, b"b"), change(3, b"c")], 2)
}

#[test]
fn a_run_has_one_encoding() {
    let good = three();
    assert_eq!(Run::decode(&good.encode()).unwrap(), good);
    let with = |alter: fn(&mut Run)| {
        let mut run = three();
        alter(&mut run);
        Run::decode(&run.encode())
    };
    assert_malformed(with(|run| run.first_seq = 0), "a run of changes that can't be");
    assert_malformed(with(|run| run.first_seq = u64::MAX - 1), "a run of changes that can't be");
    assert_malformed(with(|run| run.changes.clear()), "a run of changes that can't be");
    assert_malformed(with(|run| run.epochs.push((2, [0; 32]))), "epochs that aren't ascending");
    assert_malformed(with(|run| run.epochs.push((9, [0; 32]))), "the commitment of an epoch without a change");
    assert_malformed(with(|run| run.epochs[0].0 = 4), "a change of an epoch without a commitment");
    assert_malformed(with(|run| run.signatures.reverse()), "signatures that aren't of the run's changes, ascending");
    assert_malformed(with(|run| run.signatures[0].0 = 0), "signatures that aren't of the run's changes, ascending");
    assert_malformed(with(|run| run.signatures[1].0 = 4), "signatures that aren't of the run's changes, ascending");
    assert_malformed(with(|run| run.signatures.truncate(1)), "a last change without a signature");
    assert_malformed(with(|run| run.signatures.clear()), "a last change without a signature");
    assert_malformed(with(|run| run.changes[0].push(0)), "bytes after the end");
    let bytes = good.encode();
    assert_malformed(Run::decode(&[&bytes[..], &[0]].concat()), "bytes after the end");
    for len in 0..bytes.len() {
        Run::decode(&bytes[..len]).expect_err("a run that was cut off");
    }
    let newer = [&[3], &bytes[1..]].concat();
    assert_eq!(Run::decode(&newer).unwrap_err(), OplogError::Newer { what: "run", version: 3, known: 2 });
    let branch = Run { origin: Some(LogId::from_bytes([3; 16])), ..good.clone() };
    assert_eq!(Run::decode(&branch.encode()).unwrap(), branch);
    let itself = Run { origin: Some(good.log), ..good };
    assert_malformed(Run::decode(&itself.encode()), "a branch that is its own log");
    assert_malformed(Run::decode(&[&[0], &bytes[1..]].concat()), "a version that never was");
}

#[test]
fn a_run_over_a_limit_is_refused_before_anything_is_allocated_for_it() {
    assert_too_large(Run::decode(&vec![0; RUN_BYTES_MAX + 1]), "bytes of one run");
    let head = &three().encode()[..65];
    let huge = long_varint(RUN_CHANGES_MAX as u64 + 1);
    let most = long_varint(RUN_CHANGES_MAX as u64);
    assert_too_large(Run::decode(&[head, &[1], &huge].concat()), "epochs of one run");
    assert_too_large(Run::decode(&[head, &[1, 0], &huge].concat()), "changes of one run");
    assert_malformed(Run::decode(&[head, &[1], &most].concat()), "a count of more things than the bytes hold");
    assert_malformed(Run::decode(&[head, &[1, 0], &most].concat()), "a count of more things than the bytes hold");
}

#[test]
fn a_forged_run_is_refused() {
    let good = three();
    let refused = |run: &Run| {
        let mut chain = empty_chain();
        let error = run.verify(&mut chain).unwrap_err();
        assert_eq!(chain, empty_chain(), "a run that is refused moves nothing");
        error
    };
    // Signed by somebody else.
    let mut forged = good.clone();
    let mut chain = empty_chain();
    good.verify(&mut chain).unwrap();
    forged.signatures[1].1 = sign_change(&SigningKey::from_bytes(&[8; 32]), &chain.head.id);
    assert!(matches!(refused(&forged), OplogError::BadSignature { seq: 3, .. }));
    // A bad signature in the middle would be kept and relayed, so it counts.
    let mut forged = good.clone();
    forged.signatures[0].1[0] ^= 1;
    assert!(matches!(refused(&forged), OplogError::BadSignature { seq: 2, .. }));
    // A signature on another change than it says.
    let mut forged = good.clone();
    forged.signatures[0].0 = 1;
    assert!(matches!(refused(&forged), OplogError::BadSignature { seq: 1, .. }));
    // Changes swapped, dropped, doubled.
    let mut forged = good.clone();
    forged.changes.swap(0, 1);
    assert!(matches!(refused(&forged), OplogError::BadSignature { .. }));
    let mut forged = good.clone();
    forged.changes.remove(0);
    assert!(matches!(refused(&forged), OplogError::BadSignature { .. } | OplogError::Unsigned { .. }));
    let mut forged = good.clone();
    forged.changes.insert(0, good.changes[0].clone());
    assert!(matches!(refused(&forged), OplogError::BadSignature { .. }));
    // Another commitment, so that other keys would open it.
    let mut forged = good.clone();
    forged.epochs[0].1[0] ^= 1;
    assert!(matches!(refused(&forged), OplogError::BadSignature { .. }));
    // An author that is no point on the curve, and one of small order, for which anyone can sign.
    for author in [[2; 32], {
        let mut one = [0; 32];
        one[0] = 1;
        one
    }] {
        let forged = Run { author, ..good.clone() };
        let mut chain = empty_chain();
        chain.author = author;
        assert!(matches!(forged.verify(&mut chain), Err(OplogError::BadSignature { .. })));
    }
}

#[test]
fn a_change_of_another_space_author_or_place_is_refused() {
    let good = three();
    let chain = empty_chain();
    for (mut other, field) in [
        (cfost_runtime::oplog::Chain { space: SpaceId::from_bytes([0; 16]), ..chain }, "space"),
        (cfost_runtime::oplog::Chain { log: LogId::from_bytes([0; 16]), ..chain }, "id"),
        (cfost_runtime::oplog::Chain { author: [0; 32], ..chain }, "author"),
    ] {
        let expected = OplogError::OtherLog { log: other.log, field };
        assert_eq!(good.verify(&mut other).unwrap_err(), expected);
    }
    // The same bytes under the name of another space: the ids differ, so the signature doesn't fit.
    let moved = Run { space: SpaceId::from_bytes([0; 16]), ..good.clone() };
    let mut other = cfost_runtime::oplog::Chain { space: moved.space, ..chain };
    assert!(matches!(moved.verify(&mut other), Err(OplogError::BadSignature { .. })));
    // A gap, and what is held already.
    let mut ahead = chain;
    good.verify(&mut ahead).unwrap();
    let again = OplogError::Gap { log: LOG, held: 3, found: 1 };
    assert_eq!(good.verify(&mut ahead).unwrap_err(), again);
    let gap = Run { first_seq: 5, ..good };
    assert_eq!(gap.verify(&mut ahead).unwrap_err(), OplogError::Gap { log: LOG, held: 3, found: 5 });
    // A log at its end.
    let mut full = chain;
    full.head = Head { seq: u64::MAX, id: ChangeId::from_bytes([1; 32]) };
    assert!(matches!(gap.verify(&mut full), Err(OplogError::TooLarge { .. })));
}

#[test]
fn every_flipped_bit_of_a_sealed_segment_is_noticed() {
    let mut writer = SegmentWriter::new("todos", 1, Timestamp::from_ms(1));
    let shape = writer.shape(OpKind::Create, &[(RuleTag::LWW, "title")]).unwrap();
    for row in 0..8 {
        writer.push(shape, &Uuid::from_u128(row), [ValueRef::Text("Buy milk".into())]).unwrap();
    }
    let mut chain = empty_chain();
    let run = run(&mut chain, &[change(1, writer.payload())], 1);
    let verified = run.verify(&mut empty_chain()).unwrap();
    let sealed = verified[0].change.segments[0];
    assert!(sealed.len() < writer.bytes(), "this segment is compressed");
    let mut opener = Opener::new();
    let mut open = |sealed: &[u8]| opener.open(&epoch_key(3), &verified[0].header, 0, sealed).map(<[u8]>::to_vec);
    assert_eq!(open(sealed).unwrap(), writer.payload());
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(open(&flipped), Err(OplogError::Sealed { seq: 1, index: 0, .. })), "bit {bit}");
    }
    for len in 0..sealed.len() {
        assert!(matches!(open(&sealed[..len]), Err(OplogError::Sealed { .. })), "cut to {len} bytes");
    }
}

/// Opens a segment whose plaintext an insider wrote by hand: the holder of the key can seal anything.
fn open_plaintext(plaintext: &[u8]) -> Result<usize, OplogError> {
    use chacha20poly1305::aead::inout::InOutBuf;
    use chacha20poly1305::{AeadInOut, Key, KeyInit, XChaCha20Poly1305, XNonce};
    let (mut chain, mut reader) = (empty_chain(), empty_chain());
    let key = epoch_key(3);
    // An honest change of as many segments, to learn what the sealing authenticates.
    let (honest, _) = change(1, b"").seal(&mut Sealer::new(), &mut chain);
    let (header, _) = reader.next(&PackedChange::decode(&honest).unwrap(), key.commitment()).unwrap();
    let associated = [&header.as_bytes()[..172], &[0; 4]].concat();
    let mut sealed = plaintext.to_vec();
    let cipher = XChaCha20Poly1305::new(&Key::from(*key.secret()));
    let nonce = XNonce::from([1; 24]);
    let tag = cipher.encrypt_inout_detached(&nonce, &associated, InOutBuf::from(sealed.as_mut_slice())).unwrap();
    sealed.extend_from_slice(&tag);
    Opener::new().open(&key, &header, 0, &sealed).map(<[u8]>::len)
}

#[test]
fn an_insiders_decompression_bomb_is_refused_before_anything_is_allocated_for_it() {
    assert_eq!(open_plaintext(&[0, 1, 2, 3]).unwrap(), 3);
    let compressed = |raw_len: u64, body: &[u8]| open_plaintext(&[&[1], &long_varint(raw_len)[..], body].concat());
    let zeros = lz4_flex::block::compress(&[0; 1000]);
    let found = "a compressed form that saves too little or too much";
    assert_too_large(compressed(PAYLOAD_BYTES_MAX as u64 + 1, &[0; 99]), "bytes of one segment");
    assert_too_large(compressed(u64::MAX, &[0; 99]), "bytes of one segment");
    assert_malformed(compressed(PAYLOAD_BYTES_MAX as u64, &[0; 99]), found);
    assert_malformed(compressed(1000, &zeros), found);
    assert_malformed(compressed(3, &[0x30, 1, 2, 3]), found);
    let mut mixed = [7; 300];
    for (index, byte) in mixed.iter_mut().take(150).enumerate() {
        *byte = index as u8;
    }
    let body = lz4_flex::block::compress(&mixed);
    assert_eq!(compressed(300, &body).unwrap(), 300);
    let found = "a compressed form that is not its length's";
    assert_malformed(compressed(301, &body), found);
    assert_malformed(compressed(299, &body), found);
    assert_malformed(compressed(300, &body[..body.len() - 1]), found);
    assert_malformed(compressed(300, &[0xff; 200]), found);
    let newer = OplogError::Newer { what: "segment's compression", version: 2, known: 1 };
    assert_eq!(open_plaintext(&[2, 1, 2, 3]).unwrap_err(), newer);
    assert_malformed(open_plaintext(&[]), "the bytes end too early");
}

#[test]
fn content_that_compresses_too_well_is_kept_as_it_is() {
    let zeros = vec![0; 100_000];
    let mut chain = empty_chain();
    let run = run(&mut chain, &[change(1, &zeros)], 1);
    let verified = run.verify(&mut empty_chain()).unwrap();
    let sealed = verified[0].change.segments[0];
    assert!(sealed.len() > zeros.len());
    assert_eq!(Opener::new().open(&epoch_key(3), &verified[0].header, 0, sealed).unwrap(), zeros);
}

#[test]
fn a_key_says_nothing_in_messages() {
    let shown = format!("{:?} {:?}", epoch_key(3), Sealer::new());
    assert_eq!(shown, "EpochKey { epoch: 3, .. } Sealer");
}
