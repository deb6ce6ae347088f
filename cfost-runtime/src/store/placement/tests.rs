//! Ops of several spaces on the same rows: whatever the order in which they come, a row is what one space says of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use rusqlite::Connection;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::super::apply::{Applier, Context};
use super::super::evolve::OnMigration;
use super::super::ledger::Ledger;
use super::super::rebuild::ANY_TIME;
use super::super::secrets::Secrets;
use super::super::state::State;
use super::super::table::{Table, tables};
use super::super::{changes, layout};
use crate::clock::Timestamp;
use crate::host::{Host, ManualClock};
use crate::oplog::{
    Chain, ChangeFlags, ElementEdit, EncodedElements, EpochKey, LogId, OpKind, OpValue, RuleTag, Sealer, SegmentWriter,
    SpaceId,
};
use crate::schema::{CollectionSchema, ColumnSchema, DeletePolicy, Model, ModelSchema, Placement, ValueRef, rule};

const fn model(table: &'static str, columns: &'static [ColumnSchema], space: Placement) -> ModelSchema {
    ModelSchema {
        model: "Todo",
        table,
        version: 1,
        id_column: "id",
        columns,
        collections: const { &[CollectionSchema::of::<BTreeSet<i64>, rule::Set>("tags", "tags")] },
        indexes: &[],
        delete: DeletePolicy::Latest,
        id_from: &[],
        search: &[],
        history: true,
        space,
        removed: &[],
        removed_collections: &[],
    }
}

const LIST: ColumnSchema = ColumnSchema::lww::<Option<Uuid>>("list", "list").immutable();
const TITLE: ColumnSchema = ColumnSchema::lww::<Option<i64>>("title", "title");
const VOTES: ColumnSchema = ColumnSchema::merged::<i64, rule::Counter>("votes", "votes");

static NOTES: ModelSchema = model("notes", &[LIST, TITLE, VOTES], Placement::Home);
static LISTS: ModelSchema = model("lists", &[LIST, TITLE, VOTES], Placement::Row);
static TODOS: ModelSchema = model("todos", &[LIST, TITLE, VOTES], Placement::Column("list"));
static MODELS: [&ModelSchema; 3] = [&NOTES, &LISTS, &TODOS];

/// Two shared spaces; as ids, two of the rows that ops are on.
const SHARED: [[u8; 16]; 2] = [[1; 16], [2; 16]];
const ROWS: [[u8; 16]; 3] = [[1; 16], [2; 16], [3; 16]];
const SPACES: usize = 3;
const LOGS: usize = 2 * SPACES;

/// An op; its place among all is its time.
#[derive(Clone, Debug)]
struct Said {
    table: usize,
    row: usize,
    kind: OpKind,
    /// What a create carries in the column: NULL, or a shared space.
    list: Option<usize>,
    title: i64,
    tag: i64,
    /// Which log says it; the space is the half of it.
    log: usize,
}

fn said() -> impl Strategy<Value = Said> {
    let kind = prop::sample::select(vec![OpKind::Create, OpKind::Create, OpKind::Update, OpKind::Delete]);
    (0..3_usize, 0..3_usize, kind, prop::option::of(0..2_usize), 0..9_i64, 0..3_i64, 0..LOGS)
        .prop_map(|(table, row, kind, list, title, tag, log)| Said { table, row, kind, list, title, tag, log })
}

/// What is shown of a row.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    list: Option<[u8; 16]>,
    title: Option<i64>,
    votes: i64,
    tags: BTreeSet<i64>,
}

type Rows = BTreeMap<(usize, [u8; 16]), Shown>;

/// What the rules say of ops, without any database.
fn expected(all: &[Said]) -> Rows {
    let mut by_row: BTreeMap<(usize, usize), BTreeMap<usize, Vec<&Said>>> = BTreeMap::new();
    for said in all {
        let space = said.log / 2;
        let fits = match said.table {
            0 => space == 0,
            1 => space > 0 && SHARED[space - 1] == ROWS[said.row],
            _ => said.kind != OpKind::Create || said.list.map_or(0, |list| list + 1) == space,
        };
        if fits {
            by_row.entry((said.table, said.row)).or_default().entry(space).or_default().push(said);
        }
    }
    let mut rows = Rows::new();
    for ((table, row), by_space) in by_row {
        // The home space is the first, and the others are numbered as their ids are ordered.
        let Some((space, ops)) = by_space.into_iter().next() else { continue };
        let created = ops.iter().any(|op| op.kind == OpKind::Create);
        let alive = ops.last().is_some_and(|op| op.kind != OpKind::Delete);
        if !alive || (table == 2 && !created) {
            continue;
        }
        let writes: Vec<_> = ops.iter().filter(|op| op.kind != OpKind::Delete).collect();
        let list = ops.iter().find(|op| op.kind == OpKind::Create).and_then(|op| op.list).map(|list| SHARED[list]);
        let shown = Shown {
            list: if table == 2 { space.checked_sub(1).map(|shared| SHARED[shared]) } else { list },
            title: writes.last().map(|op| op.title),
            votes: writes.iter().map(|op| op.title).sum(),
            tags: writes.iter().map(|op| op.tag).collect(),
        };
        rows.insert((table, ROWS[row]), shown);
    }
    rows
}

struct Replica {
    conn: Connection,
    tables: Vec<Table>,
    state: State,
    /// The numbers of the logs here.
    numbers: Vec<u32>,
}

impl Replica {
    /// A database of the one user there is.
    fn new() -> Self {
        let conn = Connection::open_in_memory().unwrap();
        layout::create(&conn).unwrap();
        let host = Host::simulated(ManualClock::at(1_000_000), 7);
        let safe = Arc::default();
        Secrets::found(&conn, &host, &safe, "phone").unwrap();
        Ledger::found(&conn, &host, &safe).unwrap();
        let tables = tables(&MODELS.map(|schema| Model { schema })).unwrap();
        tables.iter().for_each(|table| assert!(table.create_or_check(&conn, &OnMigration::default()).unwrap()));
        let mut state = State::read(&conn, &tables, &safe).unwrap();
        for space in SHARED {
            state.secrets.hold_epoch(SpaceId::from_bytes(space), EpochKey::new(1, Zeroizing::new(space_key(space))));
        }
        let mut numbers = Vec::new();
        for log in 0..LOGS {
            let (space, id) = (space_of(&state, log), LogId::from_bytes([log as u8; 16]));
            numbers.push(state.registry.start(&conn, id, space, [log as u8; 32]).unwrap());
        }
        Self { conn, tables, state, numbers }
    }

    /// Applies the next changes of a log.
    fn take(&mut self, log: usize, from: usize, packed: &[Vec<u8>]) {
        let number = self.numbers[log];
        for (seq, packed) in (from as u64 + 1..).zip(packed) {
            changes::insert(&self.conn, number, seq, packed).unwrap();
        }
        let row = self.state.registry.get(number).unwrap().clone();
        let last = (from + packed.len()) as u64;
        let head = changes::walk(&self.conn, &row, &self.state.secrets, row.head, last, |_| {
            Ok(std::ops::ControlFlow::Continue(()))
        });
        self.state.registry.get_mut(number).unwrap().head = head.unwrap();
        let mut applier = Applier::new(&self.conn, &self.conn, &self.tables, ANY_TIME);
        let mut context = Context {
            registry: &mut self.state.registry,
            hidden: &mut self.state.hidden,
            #[cfg(feature = "text")]
            texts: &mut self.state.texts,
            secrets: &self.state.secrets,
        };
        applier.apply_log(&mut context, number).unwrap();
        applier.settle(&mut context).unwrap();
    }

    fn rows(&self) -> Rows {
        let mut rows = Rows::new();
        for (table, schema) in MODELS.iter().enumerate() {
            let sql = format!("SELECT id, list, title, votes FROM {}", schema.table);
            let mut select = self.conn.prepare(&sql).unwrap();
            let mut found = select.query([]).unwrap();
            while let Some(row) = found.next().unwrap() {
                let (id, list, title, votes) =
                    (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap(), row.get(3).unwrap());
                let mut tags =
                    self.conn.prepare(&format!("SELECT element FROM {}_tags WHERE row = ?1", schema.table)).unwrap();
                let tags = tags.query_map([&id], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
                rows.insert((table, id), Shown { list, title, votes, tags });
            }
        }
        rows
    }

    /// All that is kept of rows, shown or not, without the numbers that logs have here.
    fn kept(&self) -> Vec<String> {
        let mut kept = Vec::new();
        for sql in [
            "SELECT table_name || hex(id) FROM cfost_hidden",
            "SELECT table_name || hex(row) || hex(key) FROM cfost_hidden_elements",
            "SELECT table_name || hex(row) || position FROM cfost_history",
        ] {
            let mut select = self.conn.prepare(sql).unwrap();
            kept.extend(select.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap));
        }
        kept.sort();
        kept
    }
}

fn space_key(space: [u8; 16]) -> [u8; 32] {
    [space[0]; 32]
}

fn space_of(state: &State, log: usize) -> SpaceId {
    match log / 2 {
        0 => state.secrets.home(),
        shared => SpaceId::from_bytes(SHARED[shared - 1]),
    }
}

/// The changes of each log, of one op each.
fn sealed(all: &[Said], state: &State) -> Vec<Vec<Vec<u8>>> {
    let chain = |log: usize| Chain::new(space_of(state, log), [log as u8; 32], LogId::from_bytes([log as u8; 16]));
    let mut chains: Vec<Chain> = (0..LOGS).map(chain).collect();
    let (mut sealer, mut sealed) = (Sealer::new(), vec![Vec::new(); LOGS]);
    for (at, said) in (1..).zip(all) {
        let mut writer = SegmentWriter::new(MODELS[said.table].table, 1, Timestamp::from_u64(at));
        let edits = EncodedElements::new(&[ElementEdit::add(ValueRef::Integer(said.tag))]).unwrap();
        let payload = edits.payload(0..1);
        let list = said.list.map_or(ValueRef::Null, |list| ValueRef::Blob(SHARED[list].to_vec().into()));
        let written = [
            ((RuleTag::LWW, "list"), OpValue::Plain(list)),
            ((RuleTag::LWW, "title"), OpValue::Plain(ValueRef::Integer(said.title))),
            ((RuleTag::COUNTER, "votes"), OpValue::Plain(ValueRef::Integer(said.title))),
            ((RuleTag::SET, "tags"), OpValue::Composite(&payload)),
        ];
        let first = match said.kind {
            OpKind::Create => 0,
            OpKind::Update => 1,
            OpKind::Delete => written.len(),
        };
        let columns: Vec<_> = written[first..].iter().map(|(column, _)| *column).collect();
        let shape = writer.shape(said.kind, &columns).unwrap();
        let row = Uuid::from_bytes(ROWS[said.row]);
        writer.push_values(shape, &row, written.into_iter().skip(first).map(|(_, value)| value)).unwrap();
        let space = space_of(state, said.log);
        let key = state.secrets.epoch(space, 1).unwrap();
        let change = sealer.seal(&mut chains[said.log], ChangeFlags::NONE, key, &[0; 24], &[], &[writer.payload()]);
        sealed[said.log].push(change.unwrap().0);
    }
    sealed
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn a_row_is_what_one_space_says_of_it_in_whatever_order_that_comes(
        all in prop::collection::vec(said(), 1..24),
        order in prop::collection::vec((0..LOGS, 1..4_usize), 0..24),
    ) {
        let mut replica = Replica::new();
        let logs = sealed(&all, &replica.state);
        let mut taken = [0; LOGS];
        for (log, count) in order.into_iter().chain((0..LOGS).map(|log| (log, usize::MAX))) {
            let end = taken[log] + count.min(logs[log].len() - taken[log]);
            replica.take(log, taken[log], &logs[log][taken[log]..end]);
            taken[log] = end;
        }
        prop_assert_eq!(replica.rows(), expected(&all));
        let mut at_once = Replica::new();
        (0..LOGS).rev().for_each(|log| at_once.take(log, 0, &logs[log]));
        prop_assert_eq!(replica.kept(), at_once.kept());
    }
}
