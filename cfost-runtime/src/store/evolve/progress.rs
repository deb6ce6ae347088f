//! Telling an app how far a migration is.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use crate::schema::ModelSchema;

/// How many rows or changes are dealt with between two reports: some milliseconds.
const STEP: u64 = 1024;

/// How far the table of an earlier version is on its way to the model's, while a database is being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migration {
    /// The table.
    pub table: &'static str,
    /// The version of the model that the file had; 0 if it had no such table.
    pub from: u32,
    /// The version of the app's model.
    pub to: u32,
    /// What is counted.
    pub work: MigrationWork,
    /// How much of it is done.
    pub done: u64,
    /// How much of it there is.
    pub total: u64,
}

/// What a migration counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MigrationWork {
    /// The table's rows, each of which is written anew, and the ones that are kept of what is deleted.
    Rows,
    /// The changes of the oplog, from which the table is made anew.
    Changes,
}

impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, from, to, done, total, .. } = self;
        let what = match self.work {
            MigrationWork::Rows => "rows",
            MigrationWork::Changes => "changes",
        };
        write!(f, "'{table}' from version {from} to {to}: {done} of {total} {what}")
    }
}

/// Whom an app wants to be told of migrations.
#[derive(Clone, Default)]
pub(crate) struct OnMigration(pub(crate) Option<Arc<dyn Fn(Migration) + Send + Sync>>);

impl fmt::Debug for OnMigration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some(..)" } else { "None" })
    }
}

/// Counts the work on some tables, and tells of it.
pub(in crate::store) struct Progress<'p> {
    told: &'p OnMigration,
    /// The tables with the version that the file had of each.
    tables: Vec<(&'static ModelSchema, u32)>,
    work: MigrationWork,
    done: Cell<u64>,
    total: u64,
}

impl<'p> Progress<'p> {
    /// Begins to count, and tells that nothing is done yet.
    pub(in crate::store) fn begin(
        told: &'p OnMigration,
        tables: Vec<(&'static ModelSchema, u32)>,
        work: MigrationWork,
        total: u64,
    ) -> Self {
        let progress = Self { told, tables, work, done: Cell::new(0), total };
        progress.tell();
        progress
    }

    /// One more is done.
    pub(in crate::store) fn step(&self) {
        let done = self.done.get() + 1;
        self.done.set(done);
        if done.is_multiple_of(STEP) && done < self.total {
            self.tell();
        }
    }

    /// All is done.
    pub(in crate::store) fn end(self) {
        self.done.set(self.total);
        self.tell();
    }

    fn tell(&self) {
        let Some(told) = &self.told.0 else { return };
        for &(schema, from) in &self.tables {
            let (table, to, work) = (schema.table, schema.version, self.work);
            told(Migration { table, from, to, work, done: self.done.get(), total: self.total });
        }
    }
}
