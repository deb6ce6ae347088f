//! Which rows of a query come, go and change, one by one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use uuid::Uuid;

use super::Db;
use super::follow::Follower;
use super::model_rows::{Kept, decode, found};
use super::queries::{rows, table};
use crate::error::Result;
use crate::query::{Output, Query, statement};
use crate::schema::{RowId, Synced};
use crate::store::{Origin, Store, Touches};

/// Up to this many touched rows are read by their ids; for more the query runs again.
const ROWS_READ_MAX: usize = 256;

/// One row that came, changed or went, of those that a query finds.
#[derive(Clone, Debug, PartialEq)]
pub enum RowChange<M> {
    /// The row is found from now on: it is new, or came back, or has been edited so that it is found.
    Insert {
        /// The row.
        new: M,
        /// Where the change came from.
        origin: Origin,
    },
    /// The row was edited.
    Update {
        /// The row before.
        old: M,
        /// The row now.
        new: M,
        /// Where the change came from.
        origin: Origin,
    },
    /// The row isn't found any more: it was deleted, or edited so that it isn't.
    Delete {
        /// The row as it was.
        old: M,
        /// Where the change came from.
        origin: Origin,
    },
}

impl<M> RowChange<M> {
    /// Where the change came from. When several commits changed the row before it was read, the last of them.
    pub const fn origin(&self) -> Origin {
        match self {
            Self::Insert { origin, .. } | Self::Update { origin, .. } | Self::Delete { origin, .. } => *origin,
        }
    }
}

/// The changes to the rows of a query, one by one; made by [`Query::changes`].
///
/// When commits come faster than the changes are taken, those of one row become one: what is told is always
/// how the rows differ from what was told before. To tell old values it keeps the query's rows in memory.
/// What [`Watch`](super::Watch) says of runtimes and of the database's end is true of it as well.
#[must_use = "nothing is read until `next` is called"]
pub struct Changes<M> {
    query: Query<M>,
    follower: Follower,
    /// The rows as they were told.
    rows: BTreeMap<Uuid, Kept>,
    /// Whether `rows` is what there was at the beginning, or later.
    begun: bool,
    pending: VecDeque<RowChange<M>>,
}

impl<M> Unpin for Changes<M> {}

impl<M: Synced> Query<M> {
    /// How its rows change from now on.
    pub fn changes(&self, db: &Db) -> Changes<M> {
        let follower = Follower::new(db, self.spec());
        let (rows, pending) = (BTreeMap::new(), VecDeque::new());
        let mut changes = Changes { query: self.clone(), follower, rows, begun: false, pending };
        changes.begin(&db.store);
        changes
    }
}

impl<M: Synced> Changes<M> {
    /// The next change. `None` once the database is closed.
    ///
    /// It can be dropped before it is ready, and called again; nothing is missed by that.
    ///
    /// # Errors
    /// As [`Query::all`]. After an error of the file the next call tries again, after a row that can't be read the
    /// next commit does; any other one is the end.
    pub async fn next(&mut self) -> Option<Result<RowChange<M>>> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Option<Result<RowChange<M>>>> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Poll::Ready(Some(Ok(change)));
            }
            let read = match ready!(self.follower.poll(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => Err(error),
                Some(Ok((store, touches))) => self.read(&store, &touches),
            };
            if let Err(error) = read {
                return Poll::Ready(Some(Err(self.follower.fail(error))));
            }
        }
    }

    /// Reads the rows to compare with later. If that fails it is done, and told, when the first change is asked
    /// for.
    fn begin(&mut self, store: &Store) {
        if let Ok(rows) = self.all(store)
            && let Ok(rows) = rows.iter().map(|row| Ok((id_of(row), Kept::of(row)?))).collect::<Result<_>>()
        {
            (self.rows, self.begun) = (rows, true);
            self.follower.begun();
        }
    }

    fn read(&mut self, store: &Store, touches: &Touches) -> Result<()> {
        if !self.begun {
            let rows = self.all(store)?;
            self.rows = rows.iter().map(|row| Ok((id_of(row), Kept::of(row)?))).collect::<Result<_>>()?;
            self.begun = true;
            return Ok(());
        }
        match touches {
            Touches::Rows(touched) if touched.len() <= ROWS_READ_MAX && self.query.spec().limit.is_none() => {
                // Of several touches of a row the last one counts, in the order of the first ones.
                let (mut ids, mut origins) = (Vec::new(), BTreeMap::new());
                for touch in touched {
                    if origins.insert(touch.row, touch.origin).is_none() {
                        ids.push(touch.row);
                    }
                }
                let mut new = self.among(store, &ids)?;
                for id in ids {
                    self.compare(id, new.remove(&id), origins[&id])?;
                }
            }
            touches => {
                let origin = touches.origin();
                let new = self.all(store)?;
                let ids: BTreeSet<Uuid> = new.iter().map(id_of).collect();
                let gone: Vec<Uuid> = self.rows.keys().filter(|id| !ids.contains(id)).copied().collect();
                for id in gone {
                    self.compare(id, None, origin)?;
                }
                for row in new {
                    self.compare(id_of(&row), Some(row), origin)?;
                }
            }
        }
        Ok(())
    }

    fn all(&self, store: &Store) -> Result<Vec<M>> {
        let (conn, spec) = (store.reader()?, self.query.spec());
        rows(&conn, store.tables(), spec)
    }

    /// Those of these rows that the query finds.
    fn among(&self, store: &Store, ids: &[Uuid]) -> Result<BTreeMap<Uuid, M>> {
        let (conn, spec) = (store.reader()?, self.query.spec());
        let table = table(store.tables(), spec)?;
        let rows = found::<M>(&conn, table, &statement(spec, Output::RowsAmong(ids))?)?;
        Ok(rows.into_iter().map(|row| (id_of(&row), row)).collect())
    }

    /// Takes note of a row as it is now, and of how it differs from before.
    fn compare(&mut self, id: Uuid, new: Option<M>, origin: Origin) -> Result<()> {
        let old = |before: &Kept| decode::<M>(M::Id::from_uuid(id), before.lent());
        let change = match (self.rows.get(&id), new) {
            (None, None) => return Ok(()),
            (Some(before), None) => {
                let old = old(before)?;
                self.rows.remove(&id);
                RowChange::Delete { old, origin }
            }
            (before, Some(new)) => {
                let now = Kept::of(&new)?;
                let change = match before {
                    Some(before) if *before == now => return Ok(()),
                    Some(before) => RowChange::Update { old: old(before)?, new, origin },
                    None => RowChange::Insert { new, origin },
                };
                self.rows.insert(id, now);
                change
            }
        };
        self.pending.push_back(change);
        Ok(())
    }
}

fn id_of<M: Synced>(row: &M) -> Uuid {
    (M::MAPPING.id)(row).to_uuid()
}

impl<M: Synced> Stream for Changes<M> {
    type Item = Result<RowChange<M>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(context)
    }
}

impl<M> fmt::Debug for Changes<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("query", &self.query).finish_non_exhaustive()
    }
}
