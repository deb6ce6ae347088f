//! Connections and transactions.

use std::cell::RefCell;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::atrest::Safe;
use super::{StoreError, Writer, layout};

/// Idle reading connections kept; more are opened when more threads read at once.
const READERS_IDLE_MAX: usize = 8;

/// Reading connections of a database file; a database in memory has none.
pub(super) struct Pool {
    path: Option<PathBuf>,
    busy_timeout: Duration,
    safe: Arc<Safe>,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(path: Option<&Path>, busy_timeout: Duration, safe: Arc<Safe>) -> Self {
        Self { path: path.map(Path::to_owned), busy_timeout, safe, idle: Mutex::new(Vec::new()) }
    }

    /// A connection; it goes back to the pool when dropped.
    pub(super) fn take(&self) -> Result<Option<Reader<'_>>, StoreError> {
        let Some(path) = &self.path else { return Ok(None) };
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => layout::connect_reader(path, self.busy_timeout, self.safe.key())?,
        };
        Ok(Some(Reader { pool: self, conn: Some(conn) }))
    }

    /// Closes the idle connections, with the tables that they keep in memory.
    pub(super) fn clear(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A connection lent by a [`Pool`].
pub(super) struct Reader<'p> {
    pool: &'p Pool,
    /// `None` only while it is being dropped.
    conn: Option<Connection>,
}

impl Deref for Reader<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.conn.as_ref().expect("the connection is taken out only on drop")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < READERS_IDLE_MAX {
            idle.extend(self.conn.take());
        }
    }
}

/// A connection to read with: one of the pool, or the writer's where a database in memory has no other.
pub(crate) struct ReadConnection<'s>(pub(super) Lent<'s>);

pub(super) enum Lent<'s> {
    Pooled(Reader<'s>),
    Writers(MutexGuard<'s, Writer>),
}

impl Deref for ReadConnection<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match &self.0 {
            Lent::Pooled(reader) => reader,
            Lent::Writers(writer) => &writer.conn,
        }
    }
}

/// An SQL transaction that took the write lock; dropped without [`SqlTransaction::commit`], it is
/// rolled back.
pub(super) struct SqlTransaction<'c> {
    conn: &'c Connection,
}

impl<'c> SqlTransaction<'c> {
    pub(super) fn begin(conn: &'c Connection) -> Result<Self, StoreError> {
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self { conn })
    }

    pub(super) fn commit(self) -> Result<(), StoreError> {
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

impl Drop for SqlTransaction<'_> {
    fn drop(&mut self) {
        // After a commit, and after errors on which SQLite itself rolls back, none is open.
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back; SQLite does so on the next open");
        }
    }
}

thread_local! {
    /// The stores in whose transactions this thread is.
    static WRITING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// This thread is inside a transaction; dropped when it ends.
pub(super) struct Writing(usize);

impl Writing {
    pub(super) fn mark(store: usize) -> Self {
        WRITING.with_borrow_mut(|writing| writing.push(store));
        Self(store)
    }

    pub(super) fn is_marked(store: usize) -> bool {
        WRITING.with_borrow(|writing| writing.contains(&store))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITING.with_borrow_mut(|writing| writing.retain(|store| *store != self.0));
    }
}
