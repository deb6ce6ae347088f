//! Tables as they were: the oplog up to a time, applied to an empty database beside this one.

use rusqlite::Connection;

use super::apply::Applier;
use super::hidden::Hidden;
use super::history::HistoryError;
use super::rebuild::{self, ANY_TIME};
use super::{Store, functions, search};
use crate::clock::Timestamp;
use crate::error::Result;

impl Store {
    /// The tables with what had been written at `at`. A transaction counts as a whole from its first op on,
    /// so that nobody sees half of one.
    pub(crate) fn at(&self, at: Timestamp) -> Result<Connection> {
        self.in_snapshot(|conn, state| {
            let scratch = rebuild::scratch(&self.tables)?;
            state.hidden = Hidden::read(&scratch, &self.tables)?;
            let transaction = scratch.unchecked_transaction()?;
            let mut registry = state.registry.clone();
            let mut applier = Applier::new(conn, &scratch, &self.tables, ANY_TIME).until(at);
            rebuild::apply_all(conn, &mut applier, &mut registry, state)?;
            let first = applier.earliest();
            drop(applier);
            if at < first && first != Timestamp::MAX {
                return Err(HistoryError::BeforeFirst { at, first }.into());
            }
            transaction.commit()?;
            functions::add(&scratch)?;
            self.tables.iter().try_for_each(|table| search::create_or_check(&scratch, table.schema))?;
            scratch.pragma_update(None, "query_only", true)?;
            Ok(scratch)
        })
    }
}
