use std::borrow::Cow;

use uuid::Uuid;

use super::*;
use crate::clock::Timestamp;
use crate::oplog::ValueRef;

const BASE: Timestamp = Timestamp::from_ms(1_700_000_000_000);

fn text(text: &str) -> ValueRef<'_> {
    ValueRef::Text(Cow::Borrowed(text))
}

#[test]
fn ops_come_back_as_they_went_in() {
    let mut writer = SegmentWriter::new("todos", 3, BASE);
    let create = writer.shape(OpKind::Create, &[(RuleTag::LWW, "title"), (RuleTag::COUNTER, "votes")]).unwrap();
    let delete = writer.shape(OpKind::Delete, &[]).unwrap();
    let (milk, eggs) = (Uuid::from_u128(1), Uuid::from_u128(2));
    assert_eq!(writer.push(create, &milk, [text("Milk"), ValueRef::Integer(-3)]).unwrap(), BASE);
    writer.push(create, &eggs, [ValueRef::Null, ValueRef::Integer(i64::MIN)]).unwrap();
    assert_eq!(writer.push(delete, &milk, []).unwrap(), BASE.plus(2));

    let mut reader = SegmentReader::new(writer.payload()).unwrap();
    assert_eq!((reader.table(), reader.schema_version(), reader.base()), ("todos", 3, BASE));
    let op = reader.next_op().unwrap().unwrap();
    assert_eq!((op.kind, op.row, op.at, op.index, op.shape), (OpKind::Create, milk, BASE, 0, 0));
    let title = ShapeColumn { rule: RuleTag::LWW, name: "title" };
    assert_eq!(op.columns, [title, ShapeColumn { rule: RuleTag::COUNTER, name: "votes" }]);
    assert_eq!(op.values, [OpValue::Plain(text("Milk")), OpValue::Plain(ValueRef::Integer(-3))]);
    let op = reader.next_op().unwrap().unwrap();
    assert_eq!(op.values, [OpValue::Plain(ValueRef::Null), OpValue::Plain(ValueRef::Integer(i64::MIN))]);
    let op = reader.next_op().unwrap().unwrap();
    assert_eq!((op.kind, op.row, op.at, op.shape), (OpKind::Delete, milk, BASE.plus(2), 1));
    assert!(reader.next_op().unwrap().is_none());
    assert_eq!(reader.ops(), 3);
}

#[test]
fn a_savepoint_that_is_rolled_back_leaves_no_trace() {
    let mut writer = SegmentWriter::new("todos", 1, BASE);
    let rename = writer.shape(OpKind::Update, &[(RuleTag::LWW, "title")]).unwrap();
    let delete = writer.shape(OpKind::Delete, &[]).unwrap();
    writer.push(delete, &Uuid::from_u128(1), []).unwrap();
    let before = writer.payload().to_vec();

    let mark = writer.mark();
    writer.push(rename, &Uuid::from_u128(2), [text("lost")]).unwrap();
    writer.truncate(mark);
    assert_eq!(writer.payload(), before);

    // The shape went with the savepoint: its next use introduces it again.
    writer.push(rename, &Uuid::from_u128(3), [text("kept")]).unwrap();
    let mut reader = SegmentReader::new(writer.payload()).unwrap();
    reader.next_op().unwrap().unwrap();
    let op = reader.next_op().unwrap().unwrap();
    assert_eq!((op.row, op.at), (Uuid::from_u128(3), BASE.plus(1)));
    assert_eq!(op.columns, [ShapeColumn { rule: RuleTag::LWW, name: "title" }]);
}

#[test]
fn an_op_that_is_refused_leaves_no_trace() {
    let mut writer = SegmentWriter::new("todos", 1, BASE);
    let shape = writer.shape(OpKind::Update, &[(RuleTag::LWW, "size"), (RuleTag::COUNTER, "votes")]).unwrap();
    let before = writer.payload().to_vec();
    let row = Uuid::from_u128(1);
    for values in [
        vec![ValueRef::Real(f64::NAN), ValueRef::Integer(1)],
        vec![ValueRef::Real(-0.0), ValueRef::Integer(1)],
        vec![ValueRef::Real(1.5), text("1")],
        vec![ValueRef::Real(1.5)],
        vec![ValueRef::Real(1.5), ValueRef::Integer(1), ValueRef::Null],
    ] {
        writer.push(shape, &row, values.clone()).expect_err(&format!("{values:?}"));
        assert_eq!((writer.payload(), writer.ops()), (before.as_slice(), 0), "after {values:?}");
    }
    writer.push(shape, &row, [ValueRef::Real(1.5), ValueRef::Integer(1)]).unwrap();
    SegmentReader::new(writer.payload()).unwrap().next_op().unwrap().unwrap();
}

#[test]
fn shapes_that_no_table_has_are_refused() {
    let mut writer = SegmentWriter::new("todos", 1, BASE);
    let lww = |name| (RuleTag::LWW, name);
    writer.shape(OpKind::Update, &[lww("a"), lww("a")]).unwrap_err();
    writer.shape(OpKind::Update, &[lww("")]).unwrap_err();
    writer.shape(OpKind::Delete, &[lww("a")]).unwrap_err();
    let names: Vec<String> = (0..=crate::oplog::limits::COLUMNS_MAX).map(|index| index.to_string()).collect();
    let columns: Vec<(RuleTag, &str)> = names.iter().map(|name| lww(name.as_str())).collect();
    writer.shape(OpKind::Update, &columns).unwrap_err();
    writer.shape(OpKind::Update, &columns[1..]).unwrap();
    let by_two_rules = [lww("a"), (RuleTag::COUNTER, "a")];
    writer.shape(OpKind::Update, &by_two_rules).expect("for versions in which it merges by another rule");
}

#[test]
fn a_writer_starts_over_clean() {
    let mut used = SegmentWriter::new("notes", 9, BASE.plus(5));
    let shape = used.shape(OpKind::Delete, &[]).unwrap();
    used.push(shape, &Uuid::nil(), []).unwrap();
    used.reset("todos", 1, BASE);
    assert_eq!(used.payload(), SegmentWriter::new("todos", 1, BASE).payload());
    assert_eq!((used.ops(), used.base()), (0, BASE));
}
