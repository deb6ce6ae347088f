//! The laws of merging elements: whatever the order in which ops come, how often each, and in what batches,
//! the tables hold the same, and what the ops mean.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::Value as SqlValue;
use uuid::Uuid;

use super::super::evolve::OnMigration;
use super::super::layout;
use super::super::table::{Table, tables};
use super::*;
use crate::clock::Timestamp;
use crate::crdt::Writer;
use crate::oplog::EncodedElements;
use crate::schema::{CollectionSchema, DeletePolicy, List, Model, ModelSchema, Placement, rule};

static SCHEMA: ModelSchema = ModelSchema {
    model: "Todo",
    table: "todos",
    version: 1,
    id_column: "id",
    columns: &[],
    collections: &[
        CollectionSchema::of::<BTreeSet<i64>, rule::Set>("tags", "tags"),
        CollectionSchema::of::<BTreeMap<i64, i64>, rule::Map>("scores", "scores"),
        CollectionSchema::of::<List<i64>, rule::List>("steps", "steps"),
    ],
    indexes: &[],
    delete: DeletePolicy::Latest,
    id_from: &[],
    search: &[],
    history: false,
    space: Placement::Home,
    removed: &[],
    removed_collections: &[],
};

const SET: usize = 0;
const MAP: usize = 1;
const LIST: usize = 2;
const ROW: Uuid = Uuid::from_u128(1);

/// What an op says of one collection; its place among the ops is its time.
#[derive(Clone, Debug)]
struct ElementsOp {
    at: u64,
    collection: usize,
    edits: Vec<ElementEdit<'static>>,
}

fn edit(collection: usize) -> impl Strategy<Value = ElementEdit<'static>> {
    (0..4_u8, 0..4_u8, 0..20_usize, 0..5_i64).prop_map(move |(key, kind, place, value)| {
        let key = match collection {
            LIST => ValueRef::Blob(vec![key; 16].into()),
            _ => ValueRef::Integer(key.into()),
        };
        let position = || Some(position::numbered(20, 7).swap_remove(place).into());
        let value = || Some(ValueRef::Integer(value));
        match (kind, collection) {
            (0, _) => ElementEdit::remove(key),
            (_, SET) => ElementEdit::add(key),
            (_, MAP) => ElementEdit { value: value(), ..ElementEdit::add(key) },
            (1, _) => ElementEdit { position: position(), ..ElementEdit::add(key) },
            (2, _) => ElementEdit { value: value(), ..ElementEdit::add(key) },
            _ => ElementEdit { position: position(), value: value(), ..ElementEdit::add(key) },
        }
    })
}

fn ops() -> impl Strategy<Value = Vec<ElementsOp>> {
    let op = (0..3_usize).prop_flat_map(|collection| {
        let edits = prop::collection::vec(edit(collection), 1..4).prop_map(|mut edits| {
            edits.sort_by_cached_key(|edit| edit.key.to_string());
            edits.dedup_by_key(|edit| edit.key.to_string());
            edits
        });
        (Just(collection), edits)
    });
    prop::collection::vec(op, 1..24).prop_map(|ops| {
        let numbered = ops.into_iter().zip(1..);
        numbered.map(|((collection, edits), at)| ElementsOp { at, collection, edits }).collect()
    })
}

/// A database with the row; `shown` says whether it is from the beginning.
struct Replica {
    conn: Connection,
    tables: Vec<Table>,
    hidden: Hidden,
}

impl Replica {
    fn new() -> Self {
        let conn = Connection::open_in_memory().unwrap();
        layout::create(&conn).unwrap();
        let tables = tables(&[Model { schema: &SCHEMA }]).unwrap();
        tables.iter().for_each(|table| assert!(table.create_or_check(&conn, &OnMigration::default()).unwrap()));
        let hidden = Hidden::read(&conn, &tables).unwrap();
        Self { conn, tables, hidden }
    }

    /// Merges ops; before the one at `shown_from` the row is not shown.
    fn merge(&mut self, ops: &[ElementsOp], shown_from: usize) {
        let mut rows = Rows::new(&self.conn, &self.tables);
        for (n, op) in ops.iter().enumerate() {
            if n == shown_from {
                rows.show_elements(0, &ROW, &self.hidden).unwrap();
            }
            let stamp = Stamp { at: Timestamp::from_u64(op.at), writer: Writer(1) };
            let edited = Edited { table: 0, collection: op.collection, row: &ROW, shown: n >= shown_from, stamp };
            let encoded = EncodedElements::new(&op.edits).unwrap();
            let payload = encoded.payload(0..encoded.len());
            rows.merge_payload(edited, &payload, &Registry::default(), &mut self.hidden).unwrap().unwrap();
        }
        if shown_from >= ops.len() {
            rows.show_elements(0, &ROW, &self.hidden).unwrap();
        }
    }

    /// All that is in the tables, hidden elements too.
    fn dump(&self) -> Vec<Vec<SqlValue>> {
        let mut rows = Vec::new();
        for table in ["todos_tags", "todos_scores", "todos_steps", "cfost_hidden_elements"] {
            let mut select = self.conn.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2, 3")).unwrap();
            let columns = select.column_count();
            let read = select.query_map([], |row| (0..columns).map(|column| row.get(column)).collect());
            rows.extend(read.unwrap().map(|row: rusqlite::Result<Vec<SqlValue>>| row.unwrap()));
        }
        rows
    }

    fn elements(&self) -> Vec<Vec<Element<'static>>> {
        read_elements(&self.conn, &self.tables[0], &ROW).unwrap()
    }
}

/// What the ops mean: of each element the last word on whether it is there, and the last write of each cell.
fn meant(ops: &[ElementsOp]) -> Vec<Vec<Element<'static>>> {
    let mut collections = vec![BTreeMap::<String, ElementEdit<'static>>::new(); 3];
    let mut sorted: Vec<_> = ops.iter().collect();
    sorted.sort_by_key(|op| op.at);
    for op in sorted {
        for edit in &op.edits {
            let element = collections[op.collection].entry(edit.key.to_string()).or_insert_with(|| edit.clone());
            element.put = edit.put;
            element.position = edit.position.clone().or(element.position.take());
            element.value = edit.value.clone().or(element.value.take());
        }
    }
    let there = |collection: usize, element: &ElementEdit<'_>| {
        element.put
            && element.position.is_some() == (collection == LIST)
            && element.value.is_some() == (collection != SET)
    };
    let read = collections.into_iter().enumerate().map(|(collection, elements)| {
        let elements = elements.into_values().filter(|element| there(collection, element));
        let mut elements: Vec<_> =
            elements.map(|it| Element { key: it.key, position: it.position, value: it.value }).collect();
        elements.sort_by(|a, b| a.position.cmp(&b.position));
        elements
    });
    read.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn elements_are_what_their_ops_mean_in_whatever_order_they_come_and_wherever_their_row_is(
        (ops, shuffled) in ops().prop_flat_map(|ops| (Just(ops.clone()), Just(ops).prop_shuffle())),
        shown_from in 0..30_usize,
        again in any::<prop::sample::Index>(),
    ) {
        let (mut one, mut other) = (Replica::new(), Replica::new());
        one.merge(&ops, 0);
        other.merge(&shuffled, shown_from);
        prop_assert_eq!(one.elements(), meant(&ops));
        prop_assert_eq!(one.dump(), other.dump());
        // The same ops again, from anywhere on: cells hold them already.
        other.merge(&shuffled[again.index(shuffled.len())..], 0);
        prop_assert_eq!(one.dump(), other.dump());
    }
}

#[test]
fn a_malformed_payload_has_no_effect_and_an_edit_that_does_not_fit_none_but_its_own() {
    let mut replica = Replica::new();
    let stamp = Stamp { at: Timestamp::from_u64(1), writer: Writer(1) };
    let edited = |collection| Edited { table: 0, collection, row: &ROW, shown: true, stamp };
    let mut rows = Rows::new(&replica.conn, &replica.tables);
    // An element that is in order, then bytes after the end.
    let malformed = [1, 1, 1, 2, 0];
    let merged = rows.merge_payload(edited(SET), &malformed, &Registry::default(), &mut replica.hidden).unwrap();
    assert!(merged.is_err());

    let text = ElementEdit::add(ValueRef::Text("7".into()));
    let valued = ElementEdit { value: Some(ValueRef::Integer(1)), ..ElementEdit::add(ValueRef::Integer(8)) };
    let fitting = ElementEdit::add(ValueRef::Integer(9));
    let encoded = EncodedElements::new(&[text, valued, fitting]).unwrap();
    let payload = encoded.payload(0..3);
    rows.merge_payload(edited(SET), &payload, &Registry::default(), &mut replica.hidden).unwrap().unwrap();
    let nowhere = ElementEdit { position: Some(vec![1].into()), ..ElementEdit::add(ValueRef::Blob(vec![1].into())) };
    let encoded = EncodedElements::new(&[nowhere]).unwrap();
    let payload = encoded.payload(0..1);
    rows.merge_payload(edited(LIST), &payload, &Registry::default(), &mut replica.hidden).unwrap().unwrap();
    drop(rows);
    let keys: Vec<_> = replica.elements().into_iter().flatten().map(|element| element.key).collect();
    assert_eq!(keys, [ValueRef::Integer(9)]);
    assert_eq!(replica.dump().len(), 1);
}
