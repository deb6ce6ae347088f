//! The tables that CFOST keeps beside the models', and the settings of a connection.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, ToSql, types::FromSql};

use super::atrest::FileKey;
use super::{Place, StoreError, functions};

/// The format of the internal tables; a file with a greater one is left alone.
pub(super) const FORMAT: i64 = 2;

/// Marks the file as CFOST's, in SQLite's header: "CFST".
const APPLICATION_ID: i64 = 0x4346_5354;

/// How long a statement waits for another process's transaction, unless the app says otherwise.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Pages that the write-ahead log gathers before they are moved into the file: 16 MB, four times SQLite's
/// default. A transaction writes its rows and its change, so twice the pages, and each move waits for
/// the disk.
const CHECKPOINT_PAGES: u32 = 4000;

/// Prepared statements kept per connection: some eight per model.
pub(super) const STATEMENTS_CACHED: usize = 1024;

/// A position is a log's number and a seq in it; both fit an SQLite rowid.
const SEQ_BITS: u32 = 40;

/// The greatest seq a log can have.
pub(super) const SEQ_MAX: u64 = (1 << SEQ_BITS) - 1;

const TABLES: &str = "
CREATE TABLE cfost_meta (key TEXT NOT NULL PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
-- stale: 1 if ops on the table were passed over, by an app that had no such model; plus 2 if columns or elements
-- of them were, by an app with an older version of it; plus 4 if the rows have to be made from the oplog at the login.
-- history: 1 if cfost_history has the table's rows.
CREATE TABLE cfost_models (
  table_name TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, shape TEXT NOT NULL,
  stale INTEGER NOT NULL DEFAULT 0, history INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
-- head_seq and head: for this device's own log a checkpoint, the newest changes may lie beyond it.
CREATE TABLE cfost_logs (
  number INTEGER PRIMARY KEY, log BLOB NOT NULL UNIQUE, space BLOB NOT NULL, author BLOB NOT NULL,
  head_seq INTEGER NOT NULL, head BLOB NOT NULL, applied_seq INTEGER NOT NULL,
  cited_seq INTEGER NOT NULL, last_at INTEGER NOT NULL
) STRICT;
-- position: the log's number * 2^40 + seq.
CREATE TABLE cfost_changes (position INTEGER PRIMARY KEY, change BLOB NOT NULL) STRICT;
CREATE TABLE cfost_signatures (position INTEGER PRIMARY KEY, id BLOB NOT NULL, signature BLOB NOT NULL) STRICT;
CREATE TABLE cfost_hidden (
  table_name TEXT NOT NULL, id BLOB NOT NULL, state BLOB NOT NULL, PRIMARY KEY (table_name, id)
) STRICT, WITHOUT ROWID;
-- table_name: the elements' table; key: as ops carry it.
CREATE TABLE cfost_hidden_elements (
  table_name TEXT NOT NULL, row BLOB NOT NULL, key BLOB NOT NULL, state BLOB NOT NULL,
  PRIMARY KEY (table_name, row, key)
) STRICT, WITHOUT ROWID;
-- Which changes have ops on a row, and the id of the change before each of them.
CREATE TABLE cfost_history (
  table_name TEXT NOT NULL, row BLOB NOT NULL, position INTEGER NOT NULL,
  PRIMARY KEY (table_name, row, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE cfost_history_changes (position INTEGER PRIMARY KEY, previous BLOB NOT NULL) STRICT;
-- The rows that are there but not shown, by each row that they name and wait for.
CREATE TABLE cfost_waiting (
  parent_table TEXT NOT NULL, parent BLOB NOT NULL, table_name TEXT NOT NULL, id BLOB NOT NULL,
  PRIMARY KEY (parent_table, parent, table_name, id)
) STRICT, WITHOUT ROWID;
-- part: 0 for a snapshot, then the deltas since; peer: who made the delta.
CREATE TABLE cfost_texts (
  table_name TEXT NOT NULL, row BLOB NOT NULL, column_name TEXT NOT NULL, part INTEGER NOT NULL,
  peer INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (table_name, row, column_name, part)
) STRICT, WITHOUT ROWID;
-- What counters began with that were values in earlier versions: the write of a value that won, by its timestamp and
-- its log's number. column_name: what ops call the column.
CREATE TABLE cfost_bases (
  table_name TEXT NOT NULL, row BLOB NOT NULL, column_name TEXT NOT NULL, value INTEGER NOT NULL,
  at INTEGER NOT NULL, writer INTEGER NOT NULL, PRIMARY KEY (table_name, row, column_name)
) STRICT, WITHOUT ROWID;
-- The texts of columns that were values in earlier versions, each begun by the write of a value (name: empty for one
-- that wasn't), with the last write to each. number: its parts in cfost_texts begin at number * 2^32.
CREATE TABLE cfost_generations (
  table_name TEXT NOT NULL, row BLOB NOT NULL, column_name TEXT NOT NULL, number INTEGER NOT NULL,
  name BLOB NOT NULL, at INTEGER NOT NULL, writer INTEGER NOT NULL, begun INTEGER NOT NULL, edited INTEGER NOT NULL,
  shown INTEGER NOT NULL, PRIMARY KEY (table_name, row, column_name, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE cfost_identity (id BLOB NOT NULL PRIMARY KEY, entry BLOB NOT NULL) STRICT, WITHOUT ROWID;
-- sealed_key: NULL for an epoch whose changes this device only keeps and relays.
CREATE TABLE cfost_epochs (
  space BLOB NOT NULL, epoch INTEGER NOT NULL, commitment BLOB NOT NULL, sealed_key BLOB,
  PRIMARY KEY (space, epoch)
) STRICT, WITHOUT ROWID;
CREATE TABLE cfost_peers (
  device BLOB NOT NULL PRIMARY KEY, seen_ms INTEGER NOT NULL, addresses TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// What format 2 has beside the tables of format 1: spaces other than home, and who is in them.
const TABLES_OF_2: &str = "
-- The other users that this one shares spaces with, by their root keys, and the entries of their identity logs.
CREATE TABLE cfost_users (user BLOB NOT NULL PRIMARY KEY, root BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE cfost_user_entries (
  user BLOB NOT NULL, id BLOB NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (user, id)
) STRICT, WITHOUT ROWID;
-- The entries of each space's members log.
CREATE TABLE cfost_space_entries (
  space BLOB NOT NULL, id BLOB NOT NULL, entry BLOB NOT NULL, PRIMARY KEY (space, id)
) STRICT, WITHOUT ROWID;
-- The log that this device writes to in each space that it has written to, but for the home space's, which is
-- cfost_meta's own_log.
CREATE TABLE cfost_own_logs (space BLOB NOT NULL PRIMARY KEY, log BLOB NOT NULL) STRICT, WITHOUT ROWID;
";

/// Where a change is kept.
pub(super) fn position(log_number: u32, seq: u64) -> i64 {
    // `seq` is checked against SEQ_MAX when a change is made or taken in.
    i64::from(log_number) << SEQ_BITS | seq as i64
}

/// The seq in a position.
pub(super) fn seq_of(position: i64) -> u64 {
    position as u64 & SEQ_MAX
}

/// The number of the log in a position.
pub(super) fn log_of(position: i64) -> u32 {
    // A log's number is below 2^23, so what is left of it fits.
    (position >> SEQ_BITS) as u32
}

/// Opens a writing connection, and creates the file if there is none. `key`: of an encrypted file.
pub(super) fn connect(
    place: Place<'_>,
    busy_timeout: Duration,
    key: Option<&FileKey>,
) -> Result<Connection, StoreError> {
    let conn = match place {
        Place::Memory => Connection::open_in_memory()?,
        Place::Kept(memory) => memory.connect()?,
        Place::File(path) => {
            create_private(path);
            Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE))
                .map_err(|error| cannot_open(path, &error))?
        }
    };
    key.map_or(Ok(()), |key| key.apply(&conn))?;
    conn.busy_timeout(busy_timeout)?;
    set_up(&conn)?;
    functions::add(&conn)?;
    Ok(conn)
}

/// Opens a connection that can't write.
pub(super) fn connect_reader(
    path: &Path,
    busy_timeout: Duration,
    key: Option<&FileKey>,
) -> Result<Connection, StoreError> {
    let conn = Connection::open_with_flags(path, flags(OpenFlags::SQLITE_OPEN_READ_ONLY))
        .map_err(|error| cannot_open(path, &error))?;
    key.map_or(Ok(()), |key| key.apply(&conn))?;
    conn.busy_timeout(busy_timeout)?;
    set_up(&conn)?;
    functions::add(&conn)?;
    Ok(conn)
}

/// Settings of every connection.
pub(super) fn set_up(conn: &Connection) -> Result<(), StoreError> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    // A plan doesn't depend on the values that are bound. Else SQLite compiles a statement anew for each
    // value of a column that isn't the whole of a key, which costs more than running it.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Puts the file into the state that every connection relies on, or says why that can't be.
///
/// Run it before the first transaction: the journal mode can't change inside one.
pub(super) fn prepare(conn: &Connection, path: Option<&Path>, busy_timeout: Duration) -> Result<(), StoreError> {
    // In one snapshot: another process may be creating the file at this moment.
    let snapshot = conn.unchecked_transaction()?;
    check(conn, path)?;
    drop(snapshot);
    if conn.is_readonly(rusqlite::MAIN_DB)? {
        return Err(StoreError::ReadOnly);
    }
    write_ahead(conn, busy_timeout)?;
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    set_secure_delete(conn, false)
}

/// Refuses a file of another application, or of a newer format; says whether there is a database in it already.
pub(super) fn check(conn: &Connection, path: Option<&Path>) -> Result<bool, StoreError> {
    let application: i64 = pragma(conn, "application_id")?;
    let objects: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let found: i64 = pragma(conn, "user_version")?;
    if application != APPLICATION_ID && (application != 0 || objects > 0 || found != 0) {
        return Err(StoreError::Foreign { path: path.unwrap_or(Path::new(":memory:")).to_owned() });
    }
    if found > FORMAT {
        return Err(StoreError::NewerFormat { found, known: FORMAT });
    }
    Ok(found > 0)
}

/// Sets the journal mode. SQLite doesn't wait by itself for another process that does the same.
fn write_ahead(conn: &Connection, busy_timeout: Duration) -> Result<(), StoreError> {
    let started = Instant::now();
    loop {
        let set = conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()));
        match set.map_err(StoreError::from) {
            Err(StoreError::Busy) if started.elapsed() < busy_timeout => thread::sleep(Duration::from_millis(5)),
            set => return set,
        }
    }
}

/// Whether everything that is deleted is overwritten, whatever it costs. Else only what costs no
/// further page is: so that no copy of a secret stays behind where a page was rearranged.
pub(super) fn set_secure_delete(conn: &Connection, everything: bool) -> Result<(), StoreError> {
    Ok(conn.pragma_update(None, "secure_delete", if everything { "ON" } else { "FAST" })?)
}

/// Makes the internal tables that a new file, or one of an older format, doesn't have yet, inside a transaction; says
/// whether the file was new.
pub(super) fn create(conn: &Connection) -> Result<bool, StoreError> {
    let found: i64 = pragma(conn, "user_version")?;
    let is_new = found == 0;
    if is_new {
        conn.execute_batch(TABLES)?;
        conn.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    if found < 2 {
        conn.execute_batch(TABLES_OF_2)?;
    }
    if found < FORMAT {
        conn.pragma_update(None, "user_version", FORMAT)?;
    }
    Ok(is_new)
}

/// Gives a connection that can't write the tables that its file, of an older format, doesn't have: empty ones, for
/// itself alone.
pub(super) fn stand_in(conn: &Connection) -> Result<(), StoreError> {
    if pragma::<i64>(conn, "user_version")? < 2 {
        conn.execute_batch(&TABLES_OF_2.replace("CREATE TABLE", "CREATE TEMP TABLE IF NOT EXISTS"))?;
    }
    Ok(())
}

/// Whether commits wait until they are on the disk; between transactions only.
pub(super) fn set_durable(conn: &Connection, durable: bool) -> Result<(), StoreError> {
    let pragma = if durable { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
    conn.prepare_cached(pragma)?.execute([])?;
    Ok(())
}

/// The value of a pragma.
pub(super) fn pragma<T: FromSql>(conn: &Connection, name: &str) -> Result<T, StoreError> {
    Ok(conn.pragma_query_value(None, name, |row| row.get(0))?)
}

/// A value of `cfost_meta`.
pub(super) fn meta<T: FromSql>(conn: &Connection, key: &str) -> Result<Option<T>, StoreError> {
    let mut select = conn.prepare_cached("SELECT value FROM cfost_meta WHERE key = ?1")?;
    Ok(select.query_row([key], |row| row.get(0)).optional()?)
}

/// Sets a value of `cfost_meta`.
pub(super) fn set_meta(conn: &Connection, key: &str, value: impl ToSql) -> Result<(), StoreError> {
    let mut insert = conn.prepare_cached("INSERT OR REPLACE INTO cfost_meta (key, value) VALUES (?1, ?2)")?;
    insert.execute((key, value))?;
    Ok(())
}

/// Removes a value of `cfost_meta`.
pub(super) fn remove_meta(conn: &Connection, key: &str) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM cfost_meta WHERE key = ?1")?.execute([key])?;
    Ok(())
}

/// Makes a file that only its owner can read: the device's keys will be in it. SQLite gives the files
/// beside it the same permissions. If it can't be made, opening it says why.
pub(super) fn create_private(path: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(path));
}

pub(super) fn flags(mode: OpenFlags) -> OpenFlags {
    // Each connection is used by one thread at a time, under a lock of ours.
    mode | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn cannot_open(path: &Path, error: &rusqlite::Error) -> StoreError {
    StoreError::CannotOpen { path: path.to_owned(), reason: error.to_string() }
}

#[cfg(feature = "backup")]
impl super::Store {
    /// Moves what has been committed from the files beside the database into the database, on the disk.
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        let busy = self.lock().conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy { Err(StoreError::Busy) } else { Ok(()) }
    }
}
