//! A database in memory that outlives its handles, so that a device in a test can be closed and opened again, by
//! another version of its app, without a disk.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::{Connection, OpenFlags};

use super::{StoreError, layout};

/// Where a database is.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// In a file.
    File(&'a Path),
    /// In memory, until its handle is dropped.
    Memory,
    /// In memory, until the [`Memory`] is dropped too.
    Kept(&'a Memory),
}

impl<'a> Place<'a> {
    /// The file, if it is one.
    pub(super) fn path(self) -> Option<&'a Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Memory | Self::Kept(_) => None,
        }
    }
}

/// A database in memory. It is gone when this and its last handle are.
pub(crate) struct Memory {
    /// Names it to SQLite, within this process.
    uri: String,
    /// Keeps it while no handle does.
    keeper: Connection,
}

impl Memory {
    /// An empty one.
    pub(crate) fn new() -> Result<Self, StoreError> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let uri = format!("file:/cfost-{}?vfs=memdb", MADE.fetch_add(1, Ordering::Relaxed));
        let keeper = connect(&uri)?;
        Ok(Self { uri, keeper })
    }

    /// Another one with what this one holds now.
    pub(crate) fn copy(&self) -> Result<Self, StoreError> {
        let copy = Self::new()?;
        self.keeper.execute("VACUUM INTO ?1", [&copy.uri])?;
        Ok(copy)
    }

    /// Opens a connection to it.
    pub(super) fn connect(&self) -> Result<Connection, StoreError> {
        connect(&self.uri)
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Memory").field(&self.uri).finish()
    }
}

fn connect(uri: &str) -> Result<Connection, StoreError> {
    let mode = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_URI;
    Ok(Connection::open_with_flags(uri, layout::flags(mode))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_handle_wrote_is_there_for_the_next_and_a_copy_is_a_database_of_its_own() {
        let memory = Memory::new().unwrap();
        memory.connect().unwrap().execute_batch("CREATE TABLE t (n); INSERT INTO t VALUES (1)").unwrap();
        let copy = memory.copy().unwrap();
        copy.connect().unwrap().execute("INSERT INTO t VALUES (2)", []).unwrap();
        let sum = |of: &Memory| -> i64 {
            of.connect().unwrap().query_row("SELECT sum(n) FROM t", [], |row| row.get(0)).unwrap()
        };
        assert_eq!((sum(&memory), sum(&copy)), (1, 3));
        assert!(Memory::new().unwrap().connect().unwrap().prepare("SELECT * FROM t").is_err());
    }
}
