//! The database file: tables, transactions, the oplog, and what is applied of it.
//!
//! The only room that speaks SQL to the disk. A `Store` has one writing connection under a lock and
//! a pool of reading ones. Every write, local or from a peer, runs in one SQL transaction that keeps
//! the change and what it does to the rows together, so that the rows are always those that the oplog
//! gives: `verify` rebuilds them and compares.
//!
//! Other processes may write to the same file. Each transaction first asks SQLite whether one has, and
//! reads its `State` anew then.

mod account;
mod apply;
#[cfg(feature = "text")]
mod apply_texts;
mod atrest;
mod bases;
mod branches;
mod carry;
mod causality;
mod changes;
mod child;
mod copies;
mod counted;
mod dump;
mod edits;
mod elements;
mod entries;
mod error;
mod evolve;
mod exchange;
mod explain;
mod explain_elements;
mod explanation;
mod fields;
mod fork;
mod forms;
mod founding;
mod functions;
#[cfg(feature = "text")]
mod generations;
mod hidden;
mod history;
mod incarnation;
mod insert;
mod inspect;
mod layout;
mod learn;
mod ledger;
mod marker;
mod members;
mod memory;
mod newer;
mod pages;
mod past;
mod placement;
mod pool;
mod rebuild;
mod references;
mod registry;
mod repair;
mod rows;
pub(crate) mod search;
mod secrets;
mod since;
mod standing;
mod state;
mod table;
#[cfg(feature = "text")]
mod text_writes;
#[cfg(feature = "text")]
mod texts;
mod touched;
mod undo;
mod waiting;
mod watch;
#[cfg(feature = "net")]
mod welcome;
mod write;

pub use atrest::AtRestError;
#[cfg(feature = "sqlcipher")]
pub use atrest::Encrypting;
pub use branches::{Fork, ForkBranch};
pub use entries::{ElementData, OpData, OpId, OplogEntry, TextData};
pub use error::StoreError;
pub use evolve::{Migration, MigrationWork};
pub use explanation::{
    Added, ElementLoss, ExplainedCollection, ExplainedColumn, ExplainedElement, ExplainedLife, Explanation,
    LostElement, LostValue, Shown, Written,
};
pub use history::HistoryError;
pub use inspect::{DbFile, FileModel, FileSize};
pub use rebuild::{Difference, Verification};
pub use repair::{Cut, Repaired};
pub use touched::Origin;
pub use undo::{UndoOutcome, Undone, UndoneRow};
pub use waiting::{Waiting, WaitsFor};

#[cfg(feature = "sqlcipher")]
pub(crate) use atrest::OnEncryption;
pub(crate) use atrest::{AtRest, Credentials};
pub(crate) use elements::read_elements;
pub(crate) use evolve::OnMigration;
pub(crate) use layout::BUSY_TIMEOUT;
pub(crate) use memory::{Memory, Place};
pub(crate) use pool::ReadConnection;
pub(crate) use rows::borrowed;
pub(crate) use table::{Table, quoted};
#[cfg(feature = "text")]
pub(crate) use texts::{has_texts, read_texts};
pub(crate) use touched::{Subscription, Touches};
pub(crate) use write::{Stored, WriteTx};

use registry::Registry;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch as notice;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::oplog::{LogId, Run, Sealer, SpaceId};
use crate::schema::Model;
use crate::sync::{Applied, Seqs, Served};
use atrest::Safe;
use entries::Entries;
use ledger::Ledger;
use newer::Newer;
use pool::{Lent, Pool, SqlTransaction, Writing};
use state::State;
use touched::{Feeds, Woken};

/// An open database.
pub(crate) struct Store {
    path: Option<PathBuf>,
    tables: Vec<Table>,
    host: Host,
    /// Closed before the writer: the last connection tidies up beside the file, and one that reads can't.
    readers: Pool,
    writer: Mutex<Writer>,
    /// Counts the commits seen, of this process and of others.
    commits: notice::Sender<u64>,
    /// Tells what the commits have touched.
    feeds: Arc<Feeds>,
    /// SQLite's counter of other connections' commits, when they were last told of.
    foreign_version: AtomicI64,
    /// Whether the commits of other processes are announced too.
    watching: OnceLock<()>,
    /// When the changes that have to wait are looked at again; `u64::MAX` while there are none.
    retry_at_ms: AtomicU64,
    /// SQLite's counter of changes to the file's tables, when it was last known that they can be read.
    schema_version: AtomicI64,
    /// When that was asked last.
    schema_checked_ms: AtomicU64,
    /// Counts how often something was cut out of the oplog.
    cuts: AtomicU64,
    /// The table that a newer version of the app has migrated, in a file that was opened to be read.
    newer: Option<Newer>,
    /// Where what opens the device lies.
    safe: Arc<Safe>,
}

/// Choices for opening a database.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) host: Host,
    /// What a new database calls its device.
    pub(crate) device_name: String,
    pub(crate) busy_timeout: Duration,
    pub(crate) on_migration: OnMigration,
    /// Whether a file that a newer version of the app has migrated is read, as far as it can be.
    pub(crate) read_newer: bool,
    pub(crate) at_rest: AtRest,
}

struct Writer {
    conn: Connection,
    state: State,
    sealer: Sealer,
}

impl Store {
    /// Opens or creates a database.
    pub(crate) fn open(place: Place<'_>, models: &[Model], opening: Opening) -> Result<Self> {
        let at_rest = |error: &Error| match error {
            Error::Store(StoreError::AtRest(error)) => Some(error.clone()),
            _ => None,
        };
        let error = match Self::open_now(place, models, &opening) {
            Err(error) => error,
            opened => return opened,
        };
        match at_rest(&error) {
            Some(AtRestError::Replaced { .. }) => {}
            Some(AtRestError::PlainLoggedOut { .. }) if opening.at_rest.login.is_some() => {
                let at_rest = opening.at_rest.as_it_is();
                drop(Self::open_now(place, models, &Opening { at_rest, ..opening.clone() })?);
            }
            _ => return Err(error),
        }
        Self::open_now(place, models, &opening)
    }

    fn open_now(place: Place<'_>, models: &[Model], opening: &Opening) -> Result<Self> {
        let path = place.path();
        if let Some(path) = path.filter(|_| opening.read_newer)
            && let Some(store) = Self::open_newer(path, models, opening, &atrest::enter(place, opening, false)?.safe)?
        {
            return Ok(store);
        }
        let Opening { host, device_name, busy_timeout, on_migration, .. } = opening;
        let tables = table::tables(models)?;
        let mut entered = atrest::enter(place, opening, true)?;
        let safe = &Arc::clone(&entered.safe);
        let conn = layout::connect(place, *busy_timeout, safe.key())?;
        let prepared = layout::prepare(&conn, path, *busy_timeout);
        prepared.or_else(|error| entered.check_same(path).and(Err(atrest::with_key(safe, path, error))))?;
        let transaction = SqlTransaction::begin(&conn)?;
        entered.check_same(path)?;
        let is_new = layout::create(&conn)?;
        if is_new {
            secrets::Secrets::found(&conn, host, safe, device_name)?;
            Ledger::found(&conn, host, safe)?;
        }
        safe.note_open(&conn, host)?;
        let unmade = evolve::open_tables(&conn, &tables, on_migration)?;
        tables.iter().try_for_each(|table| search::create_or_check(&conn, table.schema))?;
        references::pass_over(&conn, &tables)?;
        let mut state = State::read(&conn, &tables, safe)?;
        if !is_new {
            evolve::make_rows(&conn, &tables, &mut state, &unmade, on_migration)?;
        }
        transaction.commit()?;
        let store = Self::new(path, tables, opening, conn, state, None)?;
        store.check_incarnation()?;
        store.open_device(&opening.at_rest)?;
        store.apply_waiting()?;
        Ok(store)
    }

    fn new(
        path: Option<&Path>,
        tables: Vec<Table>,
        opening: &Opening,
        conn: Connection,
        state: State,
        newer: Option<Newer>,
    ) -> Result<Self> {
        let store = Self {
            path: path.map(Path::to_owned),
            feeds: Feeds::new(tables.len()),
            tables,
            host: opening.host.clone(),
            readers: Pool::new(path, opening.busy_timeout, Arc::clone(&state.secrets.safe)),
            commits: notice::channel(0).0,
            foreign_version: AtomicI64::new(layout::pragma(&conn, "data_version")?),
            schema_version: AtomicI64::new(layout::pragma(&conn, "schema_version")?),
            schema_checked_ms: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            safe: Arc::clone(&state.secrets.safe),
            writer: Mutex::new(Writer { conn, state, sealer: Sealer::new() }),
            watching: OnceLock::new(),
            retry_at_ms: AtomicU64::new(u64::MAX),
            newer,
        };
        store.lend_keys(&store.lock().state.secrets);
        Ok(store)
    }

    /// The tables of the app's models.
    pub(crate) fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Where time and randomness come from.
    #[cfg(any(feature = "backup", feature = "net"))]
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// The database file.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Counts commits, also those of other processes: changes when rows may have.
    pub(crate) fn commits(self: &Arc<Self>) -> Result<notice::Receiver<u64>> {
        self.watch_file()?;
        Ok(self.commits.subscribe())
    }

    /// Tells what commits touch of these tables from now on, also those of other processes.
    pub(crate) fn touches(self: &Arc<Self>, tables: Vec<usize>) -> Result<Subscription> {
        self.watch_file()?;
        Ok(self.feeds.subscribe(tables))
    }

    fn watch_file(self: &Arc<Self>) -> Result<()> {
        if let Some(path) = &self.path
            && self.watching.set(()).is_ok()
        {
            watch::start(self, path)?;
        }
        Ok(())
    }

    /// Tells those who watch tables if another process has committed. SQLite counts the commits of other
    /// connections; all of this process are made on the one that is asked.
    fn notice_other_processes(&self) -> Result<(), StoreError> {
        let version = layout::pragma(&self.lock().conn, "data_version")?;
        if self.foreign_version.swap(version, Ordering::Relaxed) != version {
            self.feeds.publish_foreign();
        }
        Ok(())
    }

    /// Tells those who watch tables what was just committed; they are woken when `woken` is dropped.
    fn publish(&self, state: &mut State, woken: &mut Woken) {
        let touched = std::mem::take(&mut state.touched);
        self.feeds.publish(touched, &state.registry, state.secrets.device, woken);
    }

    /// Runs a local transaction: committed if `work` succeeds, undone if it fails or panics.
    ///
    /// Not generic over the closure, so that it is compiled here and not again for each of an app's.
    pub(crate) fn write(&self, work: &mut dyn FnMut(WriteTx<'_>) -> Result<WriteTx<'_>>) -> Result<()> {
        let mut woken = Woken::default();
        let _writing = Writing::enter(self)?;
        let mut writer = self.lock();
        let Writer { conn, state, sealer } = &mut *writer;
        let transaction = self.begin(conn, state)?;
        state.secrets.opened()?;
        state.secrets.check_device()?;
        let tx = work(WriteTx::new(conn, &self.tables, state, &self.host))?;
        match tx.finish(sealer).and_then(|finished| transaction.commit().map(|()| finished).map_err(Error::from)) {
            Ok(None) => {}
            Ok(Some(finished)) => {
                state.committed(finished);
                self.publish(state, &mut woken);
                self.announce();
            }
            Err(error) => {
                state.invalidate();
                return Err(error);
            }
        }
        Ok(())
    }

    /// A connection that only reads.
    pub(crate) fn reader(&self) -> Result<ReadConnection<'_>> {
        Writing::refuse(self)?;
        self.refresh_keys()?;
        let retry_at_ms = self.retry_at_ms.load(Ordering::Relaxed);
        if retry_at_ms != u64::MAX
            && self.host.now_ms() >= retry_at_ms
            // Reading doesn't wait for a transaction of another thread.
            && !self.is_writing()
            && let Err(error) = self.apply_waiting()
        {
            tracing::warn!(%error, "changes that had to wait could not be applied; trying again later");
        }
        Ok(ReadConnection(match self.pooled()? {
            Some(reader) => Lent::Pooled(reader),
            None => Lent::Writers(self.lock()),
        }))
    }

    /// A connection of the pool; `None` for a database in memory.
    fn pooled(&self) -> Result<Option<pool::Reader<'_>>> {
        let reader = self.readers.take()?;
        reader.iter().try_for_each(|reader| self.check_schema(reader))?;
        Ok(reader)
    }

    /// Runs `work` on a connection that only reads and that has the table `cfost_oplog`.
    pub(crate) fn read_oplog<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        Writing::refuse(self)?;
        match self.pooled()? {
            Some(reader) => {
                self.with_state(|_, state| entries::refresh_table(&reader, state))?;
                work(&reader)
            }
            None => self.with_state(|conn, state| {
                entries::refresh_table(conn, state)?;
                work(conn)
            }),
        }
    }

    /// The oplog's entries, oldest first.
    pub(crate) fn entries(&self) -> Result<Entries<'_>> {
        self.with_state(|_, state| {
            state.secrets.opened()?;
            Ok(Entries::new(self, state))
        })
    }

    /// Checks the oplog, makes the rows anew from it beside the database, and compares.
    pub(crate) fn verify(&self) -> Result<Verification> {
        let conn = self.reader()?;
        let _snapshot = conn.unchecked_transaction()?;
        if let Some(newer) = newer::find(&conn, &self.tables)? {
            // Its rows are those of another version.
            return Err(newer.refusal().into());
        }
        rebuild::verify(&conn, &self.tables, &self.safe)
    }

    /// Takes runs from a peer in. What is taken is on the disk when this returns.
    pub(crate) fn take_in(&self, runs: &[Run]) -> Result<Applied> {
        let now_ms = self.host.now_ms();
        let (mut forked, mut gave_up) = (false, false);
        let applied = self.durably(|conn, state| {
            forked = state.is_unsettled();
            let own_logs = |state: &State| state.own.iter().map(|own| own.number).collect::<Vec<_>>();
            let branches = |state: &State| state.registry.iter().filter(|log| log.branch.is_some()).count();
            let before = (own_logs(state), branches(state));
            let applied = exchange::take_in(conn, &self.tables, state, &self.host, runs)?;
            // What waited before is looked at when it was to be, however much comes in.
            let planned_ms = self.retry_at_ms.load(Ordering::Relaxed);
            self.note_waiting(state, now_ms.min(planned_ms.saturating_sub(waiting::RETRY_MS)));
            (gave_up, forked) = (before.0 != own_logs(state), forked || before.1 != branches(state));
            Ok(applied)
        })?;
        if gave_up {
            self.mark()?;
        }
        if forked {
            // They may have read, as a part of the oplog, what is in another place now.
            self.readers.clear();
        }
        self.announce();
        Ok(applied)
    }

    /// Runs for a peer that holds `held`; see [`exchange::runs_after`].
    pub(crate) fn runs_after(&self, space: SpaceId, held: &Seqs, bytes_max: usize) -> Result<Vec<Served>> {
        self.expose()?;
        self.with_state(|conn, state| {
            exchange::runs_after(conn, &state.registry, &state.secrets, space, held, bytes_max)
        })
    }

    /// Passes the exposure barrier: what the own logs hold now may leave the device.
    fn expose(&self) -> Result<()> {
        if !self.with_state(|_, state| Ok(state.own.is_pending()))? {
            return Ok(());
        }
        self.durably(exchange::expose)?;
        self.mark()
    }

    /// Goes on in a new log if `log` is an own one: a peer holds more of it, or other changes. What
    /// was never signed of it waits until it is known what the peer holds in its place; see [`fork`].
    pub(crate) fn give_up_log(&self, log: LogId) -> Result<Option<LogId>> {
        let new = self.durably(|conn, state| {
            let Some(own) = state.own.iter().find(|own| own.chain.log == log).copied() else { return Ok(None) };
            state.registry.save(conn, own.number)?;
            state.unsettle(&own);
            incarnation::go_on_in_new_log(conn, state, &self.host, own.chain.space).map(Some)
        })?;
        if new.is_some() {
            self.mark()?;
        }
        Ok(new)
    }

    fn check_incarnation(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        // Without its keys the device writes nothing: what its database is comes to light at the login.
        if !self.is_open()? {
            return Ok(());
        }
        #[cfg(feature = "sqlcipher")]
        if self.safe.key().is_some() && self.with_state(|conn, _| Ok(atrest::was_converted(conn)?))? {
            self.durably(|conn, _| Ok(atrest::follow_conversion(conn, path)?))?;
        }
        if self.with_state(|conn, state| incarnation::is_restored(conn, state, path))? {
            let log = self.durably(|conn, state| {
                exchange::expose(conn, state)?;
                incarnation::renew(conn, state, &self.host)
            })?;
            self.mark()?;
            tracing::warn!(%log, "the database was restored or copied; its device goes on in new logs");
            return Ok(());
        }
        if incarnation::is_unmarked(path)? { self.mark() } else { Ok(()) }
    }

    fn mark(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let _writing = Writing::enter(self)?;
        let mut writer = self.lock();
        let Writer { conn, state, .. } = &mut *writer;
        // Under the file's lock: of two processes, the one that marks last knows what both have sent.
        let transaction = self.begin(conn, state)?;
        incarnation::mark(conn, state, path)?;
        Ok(transaction.commit()?)
    }

    /// Runs `work` in a transaction that is on the disk when this returns.
    fn durably<T>(&self, work: impl FnOnce(&Connection, &mut State) -> Result<T>) -> Result<T> {
        let mut woken = Woken::default();
        let _writing = Writing::enter(self)?;
        let mut writer = self.lock();
        let Writer { conn, state, .. } = &mut *writer;
        layout::set_durable(conn, true)?;
        let done = self.begin(conn, state).and_then(|transaction| {
            let value = work(conn, state)?;
            self.lend_keys(&state.secrets);
            transaction.commit()?;
            #[cfg(feature = "text")]
            state.texts.committed();
            Ok(value)
        });
        if done.is_err() {
            // What `work` changed in memory was rolled back in the file.
            state.invalidate();
        } else {
            self.publish(state, &mut woken);
        }
        layout::set_durable(conn, false)?;
        done
    }

    /// Like [`Store::durably`], for what removes a secret: neither the pages nor the write-ahead log keep it.
    fn erase<T>(&self, work: impl FnOnce(&Connection, &mut State) -> Result<T>) -> Result<T> {
        Writing::refuse(self)?;
        let value = self.durably(|conn, state| {
            layout::set_secure_delete(conn, true)?;
            work(conn, state)
        });
        // They may hold in memory what must not be read any more.
        self.readers.clear();
        let writer = self.lock();
        layout::set_secure_delete(&writer.conn, false)?;
        let value = value?;
        let busy: i64 = writer.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy != 0 {
            tracing::warn!("another process reads the database: a secret stays in its write-ahead log for now");
        }
        Ok(value)
    }

    /// Looks at the state, which is up to date with what other processes have written.
    fn with_state<T>(&self, work: impl FnOnce(&Connection, &State) -> Result<T>) -> Result<T> {
        Writing::refuse(self)?;
        let mut writer = self.lock();
        let Writer { conn, state, .. } = &mut *writer;
        state.refresh(conn, &self.tables)?;
        work(conn, state)
    }

    fn announce(&self) {
        self.commits.send_modify(|count| *count += 1);
    }

    /// Whether a thread of this process is in a transaction.
    fn is_writing(&self) -> bool {
        matches!(self.writer.try_lock(), Err(TryLockError::WouldBlock))
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        // A panic in an app's closure rolled its transaction back; the state is as before it.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.feeds.close();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Writing {
    /// Marks this thread as inside a transaction of the store.
    fn enter(store: &Store) -> Result<Self> {
        Self::refuse(store)?;
        Ok(Self::mark(std::ptr::from_ref(store).addr()))
    }

    /// Refuses to go on inside a transaction of the store, which would wait for itself.
    fn refuse(store: &Store) -> Result<()> {
        if Self::is_marked(std::ptr::from_ref(store).addr()) { Err(Error::InsideWrite) } else { Ok(()) }
    }
}
