//! Makes valid changes of any form, for tests to keep or to break.

use cfost_runtime::clock::Timestamp;
use cfost_runtime::oplog::{
    Chain, ChangeFlags, ChangeId, Dep, EpochKey, Head, LogId, OpKind, OpValue, RuleTag, Run, Sealer, SegmentReader,
    SegmentWriter, SpaceId, Value, sign_change,
};
use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use uuid::Uuid;
use zeroize::Zeroizing;

pub(crate) const SPACE: SpaceId = SpaceId::from_bytes([0x11; 16]);
pub(crate) const LOG: LogId = LogId::from_bytes([0x22; 16]);

pub(crate) fn author() -> SigningKey {
    SigningKey::from_bytes(&[0x33; 32])
}

/// The key of an epoch: each epoch has its own.
pub(crate) fn epoch_key(epoch: u32) -> EpochKey {
    let mut key = [0x44; 32];
    key[..4].copy_from_slice(&epoch.to_le_bytes());
    EpochKey::new(epoch, Zeroizing::new(key))
}

pub(crate) fn empty_chain() -> Chain {
    Chain::new(SPACE, author().verifying_key().to_bytes(), LOG)
}

/// An op, owned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TestOp {
    pub(crate) kind: OpKind,
    pub(crate) row: Uuid,
    pub(crate) columns: Vec<(u8, String)>,
    pub(crate) values: Vec<Value>,
}

/// A segment, owned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TestSegment {
    pub(crate) table: String,
    pub(crate) schema_version: u32,
    pub(crate) base: Timestamp,
    pub(crate) ops: Vec<TestOp>,
}

impl TestSegment {
    pub(crate) fn writer(&self) -> SegmentWriter {
        SegmentWriter::new(&self.table, self.schema_version, self.base)
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut writer = self.writer();
        self.ops.iter().for_each(|op| op.push_to(&mut writer));
        writer.payload().to_vec()
    }

    /// Reads a whole segment; composites can't be owned, and aren't written by this build.
    pub(crate) fn read(payload: &[u8]) -> Self {
        let mut reader = SegmentReader::new(payload).unwrap();
        let mut ops = Vec::new();
        while let Some(op) = reader.next_op().unwrap() {
            assert_eq!(op.at, reader_base_plus(payload, op.index));
            ops.push(TestOp {
                kind: op.kind,
                row: op.row,
                columns: op.columns.iter().map(|column| (column.rule.as_u8(), column.name.to_owned())).collect(),
                values: op.values.iter().map(plain).collect(),
            });
        }
        assert_eq!(reader.ops() as usize, ops.len());
        Self { table: reader.table().to_owned(), schema_version: reader.schema_version(), base: reader.base(), ops }
    }
}

fn reader_base_plus(payload: &[u8], ops: u32) -> Timestamp {
    SegmentReader::new(payload).unwrap().base().plus(ops.into())
}

fn plain(value: &OpValue<'_>) -> Value {
    match value {
        OpValue::Plain(value) => value.clone().into_owned(),
        OpValue::Composite(bytes) => panic!("a composite: {bytes:?}"),
    }
}

impl TestOp {
    pub(crate) fn push_to(&self, writer: &mut SegmentWriter) {
        let columns: Vec<(RuleTag, &str)> =
            self.columns.iter().map(|(rule, name)| (RuleTag::from_u8(*rule), name.as_str())).collect();
        let shape = writer.shape(self.kind, &columns).unwrap();
        writer.push(shape, &self.row, self.values.iter().map(Value::as_ref)).unwrap();
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::Integer),
        (-3..3i64).prop_map(Value::Integer),
        any::<f64>()
            .prop_filter("a column can hold it", |it| !it.is_nan() && it.to_bits() != (-0.0f64).to_bits())
            .prop_map(Value::Real),
        ".{0,12}".prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Value::Blob),
    ]
}

/// A few shapes, so that ops share them: kind and columns.
fn shape() -> impl Strategy<Value = (OpKind, Vec<(u8, String)>)> {
    let columns = prop::collection::btree_map("[a-zé]{1,6}", prop_oneof![Just(1u8), Just(2), Just(77)], 0..6)
        .prop_map(|columns| columns.into_iter().map(|(name, rule)| (rule, name)).collect());
    prop_oneof![
        3 => (prop_oneof![Just(OpKind::Create), Just(OpKind::Update)], columns),
        1 => Just((OpKind::Delete, Vec::new())),
    ]
}

fn op(shapes: Vec<(OpKind, Vec<(u8, String)>)>) -> impl Strategy<Value = TestOp> {
    (prop::sample::select(shapes), any::<u128>()).prop_flat_map(|((kind, columns), row)| {
        let values: Vec<_> = columns
            .iter()
            .map(|(rule, _)| if *rule == 2 { any::<i64>().prop_map(Value::Integer).boxed() } else { value().boxed() })
            .collect();
        values.prop_map(move |values| TestOp { kind, row: Uuid::from_u128(row), columns: columns.clone(), values })
    })
}

/// Any segment that can be written.
pub(crate) fn segment() -> impl Strategy<Value = TestSegment> {
    let ops = prop::collection::vec(shape(), 1..5).prop_flat_map(|shapes| prop::collection::vec(op(shapes), 1..24));
    ("[a-z_]{1,12}", any::<u32>(), 0..u64::MAX - 5_000, ops).prop_map(|(table, schema_version, base, ops)| {
        TestSegment { table, schema_version, base: Timestamp::from_u64(base), ops }
    })
}

/// Deps on other logs, as a change names them.
pub(crate) fn deps() -> impl Strategy<Value = Vec<Dep>> {
    prop::collection::btree_map(any::<[u8; 16]>(), (1..=u64::MAX, any::<[u8; 32]>()), 0..4).prop_map(|deps| {
        deps.into_iter()
            .map(|(log, (seq, id))| (LogId::from_bytes(log), Head { seq, id: ChangeId::from_bytes(id) }))
            .filter(|(log, _)| *log != LOG)
            .map(|(log, head)| Dep { log, head })
            .collect()
    })
}

/// What a change is made of.
#[derive(Clone, Debug)]
pub(crate) struct TestChange {
    pub(crate) continues: bool,
    pub(crate) epoch: u32,
    pub(crate) nonce: [u8; 24],
    pub(crate) deps: Vec<Dep>,
    pub(crate) payloads: Vec<Vec<u8>>,
}

pub(crate) fn change() -> impl Strategy<Value = TestChange> {
    let payloads = prop::collection::vec(segment().prop_map(|segment| segment.payload()), 0..4);
    let epoch = prop_oneof![0..3u32, any::<u32>()];
    (any::<bool>(), epoch, any::<[u8; 24]>(), deps(), payloads)
        .prop_map(|(continues, epoch, nonce, deps, payloads)| TestChange { continues, epoch, nonce, deps, payloads })
}

impl TestChange {
    pub(crate) fn flags(&self) -> ChangeFlags {
        if self.continues { ChangeFlags::CONTINUES } else { ChangeFlags::NONE }
    }

    pub(crate) fn seal(&self, sealer: &mut Sealer, chain: &mut Chain) -> (Vec<u8>, ChangeId) {
        let payloads: Vec<&[u8]> = self.payloads.iter().map(Vec::as_slice).collect();
        sealer.seal(chain, self.flags(), &epoch_key(self.epoch), &self.nonce, &self.deps, &payloads).unwrap()
    }
}

/// A run of these changes that continues `chain`, with a signature at least every `slot` changes; the
/// chain moves on.
pub(crate) fn run(chain: &mut Chain, changes: &[TestChange], slot: usize) -> Run {
    let first_seq = chain.head.seq + 1;
    let mut sealer = Sealer::new();
    let (mut packed, mut signatures) = (Vec::new(), Vec::new());
    for (index, change) in changes.iter().enumerate() {
        let (bytes, id) = change.seal(&mut sealer, chain);
        packed.push(bytes);
        if (index + 1) % slot == 0 || index + 1 == changes.len() {
            signatures.push((chain.head.seq, sign_change(&author(), &id)));
        }
    }
    let mut epochs: Vec<(u32, [u8; 32])> =
        changes.iter().map(|change| (change.epoch, *epoch_key(change.epoch).commitment())).collect();
    epochs.sort_unstable();
    epochs.dedup();
    Run { space: SPACE, log: LOG, origin: None, author: chain.author, first_seq, epochs, changes: packed, signatures }
}
