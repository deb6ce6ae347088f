//! Targets for the oplog's decoders.

use cfost_runtime::clock::Timestamp;
use cfost_runtime::oplog::{
    Chain, ChangeFlags, ChangeId, Dep, ElementEdit, ElementsReader, EncodedElements, EpochKey, Head, Header, LogId,
    OpKind, OpValue, Opener, OplogError, PackedChange, RuleTag, Run, Sealer, SegmentReader, SegmentWriter, SpaceId,
    ValueRef, read_value, sign_change, write_value,
};
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, Key, KeyInit, XChaCha20Poly1305, XNonce};
use ed25519_dalek::SigningKey;
use uuid::Uuid;
use zeroize::Zeroizing;

const NONCE: [u8; 24] = [5; 24];

fn author() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn key() -> EpochKey {
    EpochKey::new(7, Zeroizing::new([4; 32]))
}

pub(super) fn empty_chain(space: SpaceId) -> Chain {
    Chain::new(space, author().verifying_key().to_bytes(), LogId::from_bytes([2; 16]))
}

const SPACE: SpaceId = SpaceId::from_bytes([1; 16]);

/// A header that is accepted is kept as it is, and so has one id.
pub(super) fn header(bytes: &[u8]) -> bool {
    let Ok(header) = Header::decode(bytes) else { return false };
    assert_eq!(header.as_bytes(), bytes);
    assert_eq!(header.deps().count(), header.deps().len());
    assert!((0..header.segments()).all(|index| header.segment(index).is_some()));
    true
}

pub(super) fn header_seeds() -> Vec<Vec<u8>> {
    let mut chain = empty_chain(SPACE);
    let headers = changes(&mut chain.clone()).into_iter().map(|packed| {
        let change = PackedChange::decode(&packed).expect("a seed is valid");
        let (header, _) = chain.next(&change, key().commitment()).expect("a seed is valid");
        header.as_bytes().to_vec()
    });
    headers.collect()
}

/// A change that is accepted has this one encoding, and a header that is accepted too.
pub(super) fn change(bytes: &[u8]) -> bool {
    let Ok(change) = PackedChange::decode(bytes) else { return false };
    assert_eq!(change.encode(), bytes);
    let Ok((header, id)) = empty_chain(SPACE).next(&change, &[6; 32]) else { return false };
    let decoded = Header::decode(header.as_bytes()).expect("a header that was made can be read");
    assert_eq!(decoded.id(), id);
    true
}

pub(super) fn change_seeds() -> Vec<Vec<u8>> {
    let mut seeds = changes(&mut empty_chain(SPACE));
    let mut newer = seeds[0].clone();
    // The same as a change of another kind, with an extension and a flag that nobody knows.
    newer.splice(..1, [0x14 | newer[0], 7, 2, 8, 9]);
    seeds.push(newer);
    seeds
}

/// A segment that is accepted to its end has one encoding: writing its ops again gives the same bytes.
pub(super) fn segment(payload: &[u8]) -> bool {
    let mut writer = SegmentWriter::new("", 0, Timestamp::ZERO);
    if rewrite(payload, &mut writer).is_err() {
        return false;
    }
    assert_eq!(writer.payload(), payload, "there is another encoding of the same ops");
    true
}

/// Writes the ops of a segment again.
fn rewrite(payload: &[u8], writer: &mut SegmentWriter) -> Result<(), OplogError> {
    let mut reader = SegmentReader::new(payload)?;
    writer.reset(reader.table(), reader.schema_version(), reader.base());
    while let Some(op) = reader.next_op()? {
        let columns: Vec<(RuleTag, &str)> = op.columns.iter().map(|column| (column.rule, column.name)).collect();
        let shape = writer.shape(op.kind, &columns).expect("a shape that was read can be written");
        let at = writer.push_values(shape, &op.row, op.values.iter().cloned());
        assert_eq!(at.expect("an op that was read can be written"), op.at);
    }
    Ok(())
}

pub(super) fn segment_seeds() -> Vec<Vec<u8>> {
    let mut composite = SegmentWriter::new("t", 1, Timestamp::from_ms(1)).payload().to_vec();
    composite.extend_from_slice(&[0, 2, 1, 200, 1, b'a']);
    composite.extend_from_slice(&[9; 16]);
    composite.extend_from_slice(&[5, 2, 1, 2]);
    vec![payload(1), payload(12), composite]
}

/// Elements that are accepted have one encoding.
pub(super) fn elements(payload: &[u8]) -> bool {
    let mut edits = Vec::new();
    let Ok(mut reader) = ElementsReader::new(payload) else { return false };
    loop {
        match reader.next_edit() {
            Ok(Some((edit, _))) => edits.push(edit),
            Ok(None) => break,
            Err(_) => return false,
        }
    }
    let encoded = EncodedElements::new(&edits).expect("elements that were read can be written");
    assert_eq!(encoded.payload(0..encoded.len()), payload, "there is another encoding of the same elements");
    true
}

pub(super) fn elements_seeds() -> Vec<Vec<u8>> {
    let text = |text: &'static str| ElementEdit::add(ValueRef::Text(text.into()));
    let set = vec![text("dairy"), text("shop"), ElementEdit::remove(ValueRef::Integer(-7))];
    let list = (0..3_u8).map(|n| ElementEdit {
        position: Some(vec![0x80, n].into()),
        value: (n > 0).then_some(ValueRef::Integer(n.into())),
        ..ElementEdit::add(ValueRef::Blob(vec![n; 16].into()))
    });
    [set, list.collect()]
        .iter()
        .map(|edits| {
            let encoded = EncodedElements::new(edits).expect("a seed is valid");
            encoded.payload(0..encoded.len())
        })
        .collect()
}

/// What the holder of the key sealed by hand opens to something within its limits, or to an error.
pub(super) fn plaintext(plaintext: &[u8]) -> bool {
    let (mut writer, mut reader) = (empty_chain(SPACE), empty_chain(SPACE));
    // An honest change of as many segments gives the header that the sealing authenticates.
    let honest = Sealer::new().seal(&mut writer, ChangeFlags::NONE, &key(), &NONCE, &[], &[&[]]);
    let (packed, _) = honest.expect("an empty segment can be sealed");
    let change = PackedChange::decode(&packed).expect("a change that was sealed can be read");
    let (header, _) = reader.next(&change, key().commitment()).expect("it follows an empty log");
    let associated = [&header.as_bytes()[..172], &[0; 4]].concat();
    let mut sealed = plaintext.to_vec();
    let cipher = XChaCha20Poly1305::new(&Key::from(*key().secret()));
    let tag = cipher
        .encrypt_inout_detached(&XNonce::from(NONCE), &associated, InOutBuf::from(sealed.as_mut_slice()))
        .expect("it is short");
    sealed.extend_from_slice(&tag);
    let mut opener = Opener::new();
    match opener.open(&key(), &header, 0, &sealed) {
        Ok(payload) => segment(payload),
        Err(error) => {
            assert!(!matches!(error, OplogError::Sealed { .. } | OplogError::WrongKey { .. }), "{error}");
            false
        }
    }
}

pub(super) fn plaintext_seeds() -> Vec<Vec<u8>> {
    let raw = payload(12);
    let compressed = lz4_flex::block::compress(&raw);
    // The payload is between 128 bytes and 16 KiB: its length takes a varint of two bytes.
    let len = [raw.len() as u8 | 0x80, (raw.len() >> 7) as u8];
    vec![[&[0], &payload(1)[..]].concat(), [&[1], &len[..], &compressed].concat()]
}

/// A value that is accepted has this one encoding.
pub(super) fn value(bytes: &[u8]) -> bool {
    let Ok(value) = read_value(bytes) else { return false };
    let mut written = Vec::new();
    write_value(&mut written, &value).expect("a value that was read can be written");
    assert_eq!(written, bytes);
    true
}

pub(super) fn value_seeds() -> Vec<Vec<u8>> {
    let values = [
        OpValue::Plain(ValueRef::Null),
        OpValue::Plain(ValueRef::Integer(i64::MIN)),
        OpValue::Plain(ValueRef::Integer(-65)),
        OpValue::Plain(ValueRef::Real(1.5)),
        OpValue::Plain(ValueRef::Text("Käse".into())),
        OpValue::Plain(ValueRef::Blob([1, 2, 3].as_slice().into())),
        OpValue::Composite(&[1, 2, 3]),
    ];
    let write = |value: &OpValue<'_>| {
        let mut bytes = Vec::new();
        write_value(&mut bytes, value).expect("a seed is valid");
        bytes
    };
    values.iter().map(write).collect()
}

/// A run that is accepted has this one encoding; one that verifies holds what the author signed, and
/// nothing else.
pub(super) fn run(bytes: &[u8]) -> bool {
    let Ok(run) = Run::decode(bytes) else { return false };
    assert_eq!(run.encode(), bytes);
    let previous = if run.first_seq == 1 { ChangeId::NONE } else { ChangeId::from_bytes([8; 32]) };
    let start = Chain {
        space: run.space,
        author: run.author,
        log: run.written_to(),
        head: Head { seq: run.first_seq - 1, id: previous },
    };
    let mut chain = start;
    let Ok(verified) = run.verify(&mut chain) else {
        assert_eq!(chain, start);
        return false;
    };
    assert_eq!(chain.head.seq, run.last_seq());
    assert_eq!(verified.len(), run.changes.len());
    if run.author == author().verifying_key().to_bytes() {
        let all = run_of(SPACE, 3);
        let all = all.verify(&mut empty_chain(SPACE)).expect("a seed is valid");
        assert!(verified.iter().zip(&all).all(|(one, known)| one.id == known.id));
    }
    true
}

pub(super) fn run_seeds() -> Vec<Vec<u8>> {
    let whole = run_of(SPACE, 3);
    let branch = Run { log: LogId::from_bytes([6; 16]), origin: Some(whole.log), ..whole.clone() };
    vec![run_of(SPACE, 1).encode(), whole.encode(), branch.encode()]
}

/// A run of the first changes of the log.
pub(super) fn run_of(space: SpaceId, count: usize) -> Run {
    let mut chain = empty_chain(space);
    let mut changes = changes(&mut chain);
    changes.truncate(count);
    let mut chain = empty_chain(space);
    let mut signatures = Vec::new();
    for packed in &changes {
        let change = PackedChange::decode(packed).expect("a change that was sealed can be read");
        let (_, id) = chain.next(&change, key().commitment()).expect("it follows");
        signatures.push((chain.head.seq, sign_change(&author(), &id)));
    }
    let epochs = vec![(7, *key().commitment())];
    Run { space, log: chain.log, origin: None, author: chain.author, first_seq: 1, epochs, changes, signatures }
}

/// Three changes: a plain one, one with deps and two segments, an empty one.
fn changes(chain: &mut Chain) -> Vec<Vec<u8>> {
    let dep =
        |log, seq| Dep { log: LogId::from_bytes([log; 16]), head: Head { seq, id: ChangeId::from_bytes([9; 32]) } };
    let deps = [dep(0x10, 1), dep(0x20, 300)];
    let (one, many) = (payload(1), payload(12));
    let mut sealer = Sealer::new();
    let mut seal = |flags, deps: &[Dep], payloads: &[&[u8]]| {
        sealer.seal(chain, flags, &key(), &NONCE, deps, payloads).expect("a seed is within the limits").0
    };
    vec![
        seal(ChangeFlags::CONTINUES, &[], &[&one]),
        seal(ChangeFlags::NONE, &deps, &[&many, &one]),
        seal(ChangeFlags::NONE, &[], &[]),
    ]
}

/// A segment with ops of each kind, and values of each type.
fn payload(ops: u32) -> Vec<u8> {
    let mut writer = SegmentWriter::new("todos", 2, Timestamp::from_ms(1_700_000_000_000));
    let columns = [
        (RuleTag::LWW, "title"),
        (RuleTag::COUNTER, "votes"),
        (RuleTag::LWW, "size"),
        (RuleTag::LWW, "icon"),
        (RuleTag::from_u8(77), "later"),
    ];
    let values = [
        ValueRef::Text("Buy milk".into()),
        ValueRef::Integer(-300),
        ValueRef::Real(0.25),
        ValueRef::Blob([0xff; 3].as_slice().into()),
        ValueRef::Null,
    ];
    for op in 0..ops {
        let (kind, count) = match op % 3 {
            0 => (OpKind::Create, columns.len()),
            1 => (OpKind::Update, 2),
            _ => (OpKind::Delete, 0),
        };
        let shape = writer.shape(kind, &columns[..count]).expect("a seed is valid");
        let row = Uuid::from_u128(u128::from(op));
        writer.push(shape, &row, values[..count].iter().cloned()).expect("a seed is valid");
    }
    writer.payload().to_vec()
}
