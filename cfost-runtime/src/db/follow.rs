//! What live queries share: waiting for commits that touch what a query reads.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use rusqlite::Connection;
use uuid::Uuid;

use super::Db;
use super::model_rows::table_number;
use super::queries::any;
use crate::error::{Error, Result};
use crate::query::{Output, Spec};
use crate::store::{Origin, Store, Subscription, Table, Touches};

/// Up to this many touched rows are asked about one by one; for more the query runs again.
const ROWS_ASKED_MAX: usize = 64;

/// Follows what a query reads. It keeps no database open.
#[derive(Debug)]
pub(super) struct Follower {
    store: Weak<Store>,
    /// `None` once it has failed for good.
    subscription: Option<Subscription>,
    /// The number of the table that the rows are of.
    table: usize,
    /// Whether a touched row can matter to others.
    tangled: bool,
    /// Why it can't go on, until that is told.
    failed: Option<Error>,
    /// Whether what was read last is out of date, or nothing was read yet.
    stale: bool,
    /// Whether any commit to what it reads can matter, since the last time it couldn't be read.
    uncertain: bool,
}

/// The database, and what was touched.
pub(super) type News = (Arc<Store>, Touches);

impl Follower {
    pub(super) fn new(db: &Db, spec: &Spec) -> Self {
        let store = Arc::downgrade(&db.store);
        let tangled = spec.offset > 0 || spec.is_tangled();
        let (subscription, failed) = (None, None);
        let mut follower = Self { store, subscription, table: 0, tangled, failed, stale: true, uncertain: false };
        match follower.subscribe(db, spec) {
            Ok(subscription) => follower.subscription = Some(subscription),
            Err(error) => follower.failed = Some(error),
        }
        follower
    }

    fn subscribe(&mut self, db: &Db, spec: &Spec) -> Result<Subscription> {
        let reads = spec.reads().into_iter().map(|schema| table_number(db.store.tables(), schema));
        let tables = reads.collect::<Result<Vec<_>>>()?;
        self.table = tables[0];
        db.store.touches(tables)
    }

    /// The database with what commits have touched since the last time; `None` once it is closed, or an error
    /// was told that stays.
    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<Option<Result<News>>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let Some(subscription) = &mut self.subscription else { return Poll::Ready(None) };
        if !self.stale {
            ready!(subscription.poll(context));
        }
        let Some(store) = self.store.upgrade() else { return Poll::Ready(None) };
        let taken = subscription.take();
        let simple =
            !(self.stale || self.uncertain || self.tangled) && taken.iter().all(|(table, _)| *table == self.table);
        let origin = taken.last().map_or(Origin::Process, |(_, touches)| touches.origin());
        let touches = taken.into_iter().map(|(_, touches)| touches).next().filter(|_| simple);
        (self.stale, self.uncertain) = (false, false);
        Poll::Ready(Some(Ok((store, touches.unwrap_or(Touches::Any(origin))))))
    }

    /// What it reads was read after it began to follow.
    pub(super) fn begun(&mut self) {
        self.stale = false;
    }

    /// Takes note of an error. What the file's state or the moment is to blame for is tried again; a row that
    /// can't be read may be another one after the next commit; what the query itself is to blame for stays so, and
    /// this is the end.
    pub(super) fn fail(&mut self, error: Error) -> Error {
        match error {
            Error::Store(_) | Error::InsideWrite => self.stale = true,
            Error::Unreadable { .. } => self.uncertain = true,
            _ => self.subscription = None,
        }
        error
    }
}

/// Whether touched rows can matter to a query that found `last` the last time.
pub(super) fn affects(
    conn: &Connection,
    tables: &[Table],
    spec: &Spec,
    touches: &Touches,
    last: &HashSet<Uuid>,
) -> Result<bool> {
    let Touches::Rows(rows) = touches else { return Ok(true) };
    if rows.len() > ROWS_ASKED_MAX || rows.iter().any(|touch| last.contains(&touch.row)) {
        return Ok(true);
    }
    let ids: Vec<Uuid> = rows.iter().map(|touch| touch.row).collect();
    any(conn, tables, spec, Output::Among(&ids))
}
