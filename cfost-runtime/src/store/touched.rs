//! Which rows a commit has touched, and telling those who watch their tables.
//!
//! While a transaction writes, [`Touched`] gathers the rows of each table. Once it is committed, [`Feeds`]
//! appends them to the feed of each of these tables and wakes who reads from it; the feeds of other
//! tables are not looked at, so watching a table costs writes to other tables nothing. A feed holds the
//! newest commits only: a reader that was away for longer is told that any row may have changed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use uuid::Uuid;

use super::Registry;
use crate::crdt::Writer;
use crate::oplog::DeviceId;

/// The rows of a table that one transaction remembers; of one that touches more, only that it did.
const TRANSACTION_ROWS_MAX: usize = 4096;

/// The rows that a feed holds, and the commits that they are of.
const FEED_ROWS_MAX: usize = 8192;
const FEED_COMMITS_MAX: usize = 1024;

/// Where a change to a row came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// A transaction of this process.
    Local,
    /// Another device, which wrote it before it came here.
    Device(DeviceId),
    /// Another process with the same file open; whether it wrote the change or received it, isn't known here.
    Process,
}

/// A row that a commit touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Touch {
    pub(crate) row: Uuid,
    pub(crate) origin: Origin,
}

/// What the commits since a reader last looked have touched of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Touches {
    /// These rows, oldest first; some perhaps several times.
    Rows(Vec<Touch>),
    /// Any row, perhaps.
    Any(Origin),
}

/// What a transaction touches.
#[derive(Debug)]
pub(super) struct Touched {
    writer: Writer,
    tables: Vec<TouchedTable>,
}

#[derive(Debug)]
struct TouchedTable {
    table: usize,
    rows: Vec<(Uuid, Writer)>,
    /// More rows than are remembered.
    any: bool,
}

impl Default for Touched {
    fn default() -> Self {
        Self { writer: Writer(0), tables: Vec::new() }
    }
}

impl Touched {
    /// Whose ops are applied from now on.
    pub(super) fn set_writer(&mut self, writer: Writer) {
        self.writer = writer;
    }

    /// A row, or one of its elements, is written or gone.
    pub(super) fn row(&mut self, table: usize, row: &Uuid) {
        let writer = self.writer;
        let rows = self.table(table);
        if rows.rows.len() == TRANSACTION_ROWS_MAX {
            rows.any = true;
        } else if rows.rows.last() != Some(&(*row, writer)) {
            rows.rows.push((*row, writer));
        }
    }

    /// Any rows of these tables may have changed.
    pub(super) fn any(&mut self, tables: impl IntoIterator<Item = usize>) {
        tables.into_iter().for_each(|table| self.table(table).any = true);
    }

    /// Takes over what another part of the transaction has touched.
    pub(super) fn merge(&mut self, other: Self) {
        self.writer = other.writer;
        for other in other.tables {
            let table = self.table(other.table);
            table.any |= other.any || table.rows.len() + other.rows.len() > TRANSACTION_ROWS_MAX;
            table.rows.extend(other.rows);
        }
    }

    fn table(&mut self, table: usize) -> &mut TouchedTable {
        let known = self.tables.iter().position(|touched| touched.table == table);
        let known = known.unwrap_or_else(|| {
            self.tables.push(TouchedTable { table, rows: Vec::new(), any: false });
            self.tables.len() - 1
        });
        &mut self.tables[known]
    }
}

/// The feeds of all tables.
#[derive(Debug)]
pub(crate) struct Feeds {
    feeds: Vec<Mutex<Feed>>,
    readers: AtomicU64,
}

/// The newest commits that touched a table.
#[derive(Debug, Default)]
struct Feed {
    /// How many commits there were, ever.
    commits: u64,
    newest: VecDeque<Touches>,
    /// How many rows are in `newest`.
    rows: usize,
    readers: usize,
    waiting: BTreeMap<u64, Waker>,
    closed: bool,
}

/// Readers to wake: when it is dropped, so after the locks that were taken after it was made.
#[derive(Debug, Default)]
pub(super) struct Woken(Vec<Waker>);

impl Drop for Woken {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}

impl Feeds {
    pub(super) fn new(tables: usize) -> Arc<Self> {
        let feeds = (0..tables).map(|_| Mutex::default()).collect();
        Arc::new(Self { feeds, readers: AtomicU64::new(0) })
    }

    /// Tells of a commit. Called in the order of the commits.
    pub(super) fn publish(&self, touched: Touched, registry: &Registry, own: DeviceId, woken: &mut Woken) {
        let origin = |writer: Writer| match registry.get(writer.0) {
            Some(log) if log.device != own => Origin::Device(log.device),
            _ => Origin::Local,
        };
        for TouchedTable { table, rows, any } in touched.tables {
            self.append(table, woken, || {
                if any {
                    return Touches::Any(origin(touched.writer));
                }
                Touches::Rows(rows.into_iter().map(|(row, writer)| Touch { row, origin: origin(writer) }).collect())
            });
        }
    }

    /// Tells that another process has committed.
    pub(super) fn publish_foreign(&self) {
        let mut woken = Woken::default();
        for table in 0..self.feeds.len() {
            self.append(table, &mut woken, || Touches::Any(Origin::Process));
        }
    }

    fn append(&self, table: usize, woken: &mut Woken, touches: impl FnOnce() -> Touches) {
        let mut feed = self.lock(table);
        feed.commits += 1;
        if feed.readers == 0 {
            // Who comes later begins with this commit behind it.
            feed.newest.clear();
            feed.rows = 0;
            return;
        }
        let touches = touches();
        feed.rows += touches.len();
        feed.newest.push_back(touches);
        while feed.newest.len() > FEED_COMMITS_MAX || feed.rows > FEED_ROWS_MAX {
            let Some(oldest) = feed.newest.pop_front() else { break };
            feed.rows -= oldest.len();
        }
        woken.0.extend(std::mem::take(&mut feed.waiting).into_values());
    }

    /// Reads the feeds of these tables from now on.
    pub(crate) fn subscribe(self: &Arc<Self>, tables: Vec<usize>) -> Subscription {
        let id = self.readers.fetch_add(1, Ordering::Relaxed);
        let mut seen = Vec::with_capacity(tables.len());
        for table in tables {
            let mut feed = self.lock(table);
            feed.readers += 1;
            seen.push((table, feed.commits));
        }
        Subscription { feeds: Arc::clone(self), id, seen }
    }

    /// Tells all readers that the database is closed.
    pub(super) fn close(&self) {
        let mut woken = Woken::default();
        for table in 0..self.feeds.len() {
            let mut feed = self.lock(table);
            feed.closed = true;
            woken.0.extend(std::mem::take(&mut feed.waiting).into_values());
        }
    }

    fn lock(&self, table: usize) -> MutexGuard<'_, Feed> {
        self.feeds[table].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Touches {
    fn len(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::Any(_) => 0,
        }
    }
}

/// A reader of the feeds of some tables.
#[derive(Debug)]
pub(crate) struct Subscription {
    feeds: Arc<Feeds>,
    id: u64,
    /// The tables, each with the commits that were looked at.
    seen: Vec<(usize, u64)>,
}

impl Subscription {
    /// Whether there is anything to look at, or the database is closed; if not, the task is woken when there
    /// is.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        for &(table, seen) in &self.seen {
            let mut feed = self.feeds.lock(table);
            if feed.closed || feed.commits != seen {
                return Poll::Ready(());
            }
            feed.waiting.insert(self.id, context.waker().clone());
        }
        Poll::Pending
    }

    /// What the commits since the last look have touched, of each table that they touched.
    pub(crate) fn take(&mut self) -> Vec<(usize, Touches)> {
        let mut taken = Vec::new();
        for (table, seen) in &mut self.seen {
            let feed = self.feeds.lock(*table);
            let new = feed.commits - *seen;
            if new == 0 {
                continue;
            }
            *seen = feed.commits;
            // A commit that is no longer held, or was never, may have touched any row.
            let held = usize::try_from(new).ok().and_then(|new| feed.newest.len().checked_sub(new));
            let touches = match held {
                None => Touches::Any(feed.newest.back().map_or(Origin::Process, Touches::origin)),
                Some(first) => {
                    feed.newest.range(first..).cloned().reduce(Touches::and).unwrap_or(Touches::Rows(Vec::new()))
                }
            };
            taken.push((*table, touches));
        }
        taken
    }
}

impl Touches {
    /// Both, the later one after the other.
    fn and(self, later: Self) -> Self {
        match (self, later) {
            (Self::Rows(mut rows), Self::Rows(more)) => {
                rows.extend(more);
                Self::Rows(rows)
            }
            (Self::Any(origin), Self::Rows(rows)) => Self::Any(rows.last().map_or(origin, |touch| touch.origin)),
            (_, any) => any,
        }
    }

    /// Where the last of the changes came from.
    pub(crate) fn origin(&self) -> Origin {
        match self {
            Self::Rows(rows) => rows.last().map_or(Origin::Process, |touch| touch.origin),
            Self::Any(origin) => *origin,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for &(table, _) in &self.seen {
            let mut feed = self.feeds.lock(table);
            feed.readers -= 1;
            feed.waiting.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(ids: impl IntoIterator<Item = u128>) -> Touches {
        let touch = |id| Touch { row: Uuid::from_u128(id), origin: Origin::Local };
        Touches::Rows(ids.into_iter().map(touch).collect())
    }

    fn publish(feeds: &Feeds, table: usize, ids: impl IntoIterator<Item = u128>) {
        let mut touched = Touched::default();
        ids.into_iter().for_each(|id| touched.row(table, &Uuid::from_u128(id)));
        feeds.publish(touched, &Registry::default(), DeviceId::of_key(&[0; 32]), &mut Woken::default());
    }

    #[test]
    fn a_reader_is_told_of_each_row_since_it_looked_and_of_no_other_table() {
        let feeds = Feeds::new(2);
        publish(&feeds, 0, [1]);
        let mut reader = feeds.subscribe(vec![0]);
        assert_eq!(reader.take(), []);
        publish(&feeds, 0, [2, 3]);
        publish(&feeds, 1, [4]);
        publish(&feeds, 0, [5]);
        assert_eq!(reader.take(), [(0, rows([2, 3, 5]))]);
        assert_eq!(reader.take(), []);
    }

    #[test]
    fn a_reader_that_was_away_for_too_long_is_told_that_any_row_may_have_changed() {
        let feeds = Feeds::new(1);
        let mut reader = feeds.subscribe(vec![0]);
        for id in 0..=FEED_COMMITS_MAX as u128 {
            publish(&feeds, 0, [id]);
        }
        assert_eq!(reader.take(), [(0, Touches::Any(Origin::Local))]);
        publish(&feeds, 0, 0..TRANSACTION_ROWS_MAX as u128);
        assert_eq!(reader.take(), [(0, rows(0..TRANSACTION_ROWS_MAX as u128))]);
        publish(&feeds, 0, 0..=TRANSACTION_ROWS_MAX as u128);
        assert_eq!(reader.take(), [(0, Touches::Any(Origin::Local))]);
        for _ in 0..3 {
            publish(&feeds, 0, 0..TRANSACTION_ROWS_MAX as u128);
        }
        assert_eq!(reader.take(), [(0, Touches::Any(Origin::Local))]);
        publish(&feeds, 0, [1]);
        feeds.publish_foreign();
        assert_eq!(reader.take(), [(0, Touches::Any(Origin::Process))]);
    }

    #[test]
    fn a_feed_without_readers_holds_nothing() {
        let feeds = Feeds::new(1);
        let reader = feeds.subscribe(vec![0]);
        publish(&feeds, 0, [1]);
        drop(reader);
        publish(&feeds, 0, [2]);
        let mut reader = feeds.subscribe(vec![0]);
        assert!(feeds.lock(0).newest.is_empty() && feeds.lock(0).waiting.is_empty());
        publish(&feeds, 0, [3]);
        assert_eq!(reader.take(), [(0, rows([3]))]);
    }
}
