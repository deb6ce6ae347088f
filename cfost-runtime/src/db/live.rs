//! Queries that stay: their rows now, and again whenever they change.

use std::collections::HashSet;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use uuid::Uuid;

use super::Db;
use super::follow::{self, Follower};
use super::queries::rows;
use crate::error::Result;
use crate::query::Query;
use crate::schema::{RowId, Synced};
use crate::store::{Store, Touches};

/// The rows of a query, now and after each commit that may change them; made by [`Query::watch`].
///
/// A commit of this process, of a peer, or within 100 ms of another process with the same file. One that
/// touches none of the query's tables costs it nothing; one that touches only rows which the query neither
/// found nor finds is passed over. Commits that come faster than the rows are taken count as one: a slow
/// reader is behind, but never misses the last state.
///
/// It is a [`Stream`] as well. It works on any async runtime and spawns nothing; the rows are read where it is
/// polled. It doesn't keep the database open, and ends when that is closed.
#[must_use = "nothing is read until `next` is called"]
pub struct Watch<M> {
    query: Query<M>,
    follower: Follower,
    /// The rows that were found the last time.
    last: HashSet<Uuid>,
}

impl<M: Synced> Query<M> {
    /// The rows now, and again after each commit that may have changed them.
    pub fn watch(&self, db: &Db) -> Watch<M> {
        let follower = Follower::new(db, self.spec());
        Watch { query: self.clone(), follower, last: HashSet::new() }
    }
}

impl<M: Synced> Watch<M> {
    /// The rows: at first at once, later when they may have changed. `None` once the database is closed.
    ///
    /// It can be dropped before it is ready, and called again; nothing is missed by that.
    ///
    /// # Errors
    /// As [`Query::all`]. After an error of the file the next call tries again, after a row that can't be read the
    /// next commit does; any other one is the end.
    pub async fn next(&mut self) -> Option<Result<Vec<M>>> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Option<Result<Vec<M>>>> {
        loop {
            let read = match ready!(self.follower.poll(context)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => Err(error),
                Some(Ok((store, touches))) => self.read(&store, &touches),
            };
            match read {
                Ok(None) => {}
                Ok(Some(rows)) => return Poll::Ready(Some(Ok(rows))),
                Err(error) => return Poll::Ready(Some(Err(self.follower.fail(error)))),
            }
        }
    }

    /// The rows, if what was touched can matter to them.
    fn read(&mut self, store: &Store, touches: &Touches) -> Result<Option<Vec<M>>> {
        let (conn, tables, spec) = (store.reader()?, store.tables(), self.query.spec());
        if !follow::affects(&conn, tables, spec, touches, &self.last)? {
            return Ok(None);
        }
        let rows = rows::<M>(&conn, tables, spec)?;
        self.last.clear();
        self.last.extend(rows.iter().map(|row| (M::MAPPING.id)(row).to_uuid()));
        Ok(Some(rows))
    }
}

impl<M: Synced> Stream for Watch<M> {
    type Item = Result<Vec<M>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(context)
    }
}

impl<M> fmt::Debug for Watch<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("query", &self.query).finish_non_exhaustive()
    }
}
