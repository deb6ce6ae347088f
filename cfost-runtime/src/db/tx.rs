//! What a closure given to `Db::write` can do.

use std::fmt;

use rusqlite::Connection;
use uuid::Uuid;

use super::model_rows::{self, encode};
use crate::error::{Error, Result};
use crate::query::Sql;
use crate::schema::{RowId, Synced};
use crate::store::{Stored, Table, WriteTx};

/// A writing transaction: all of it is committed and replicated as one change, or none of it. If it writes rows of
/// several spaces it is one change in each: here all of them or none, while another device may share some of the
/// spaces only.
pub struct Tx<'a> {
    inner: WriteTx<'a>,
}

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tx")
    }
}

impl<'a> Tx<'a> {
    pub(super) fn new(inner: WriteTx<'a>) -> Self {
        Self { inner }
    }

    pub(crate) fn inner(&mut self) -> &mut WriteTx<'a> {
        &mut self.inner
    }

    pub(super) fn into_inner(self) -> WriteTx<'a> {
        self.inner
    }

    pub(super) fn connection(&self) -> &Connection {
        self.inner.connection()
    }

    pub(super) fn tables(&self) -> &[Table] {
        self.inner.tables()
    }

    /// Inserts a row and returns it; a nil id is replaced by a new UUIDv7. A row of a model with `#[synced(space)]`
    /// founds a space of this user's, whose id it has.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is a row with its id, [`Error::Unstorable`] for a value that can't
    /// be stored. For a row of another space than home: [`Error::UnknownSpace`] if that isn't known here, and
    /// [`NotMember`](crate::identity::IdentityError::NotMember) or
    /// [`RoleTooLow`](crate::identity::IdentityError::RoleTooLow) if the user may not write there;
    /// [`Error::SpaceIdGiven`] for a space with an id of the app's.
    pub fn insert<M: Synced>(&mut self, mut row: M) -> Result<M> {
        let table = model_rows::table_of::<M>(self.inner.tables())?;
        let given = (M::MAPPING.id)(&row).to_uuid();
        let values = encode(&row)?;
        let id = self.inner.whole(|tx| tx.insert(table, given, &values))?;
        if id != given {
            (M::MAPPING.set_id)(&mut row, M::Id::from_uuid(id));
        }
        Ok(row)
    }

    /// Inserts many rows; returns their ids, in the same order.
    ///
    /// # Errors
    /// As [`Tx::insert`].
    pub fn insert_all<M: Synced>(&mut self, rows: impl IntoIterator<Item = M>) -> Result<Vec<M::Id>> {
        let table = model_rows::table_of::<M>(self.inner.tables())?;
        rows.into_iter()
            .map(|row| {
                let given = (M::MAPPING.id)(&row).to_uuid();
                let values = encode(&row)?;
                self.inner.whole(|tx| tx.insert(table, given, &values)).map(M::Id::from_uuid)
            })
            .collect()
    }

    /// Edits a row in place and returns it. Only the columns that the closure changed are written,
    /// and become part of the change; if it changed none, nothing happens.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such row, [`Error::IdChanged`] if the closure changed its id;
    /// [`NotMember`](crate::identity::IdentityError::NotMember) or
    /// [`RoleTooLow`](crate::identity::IdentityError::RoleTooLow) if the user may not write in the row's space.
    pub fn update<M: Synced>(&mut self, id: M::Id, edit: impl FnOnce(&mut M)) -> Result<M> {
        let table = model_rows::table_of::<M>(self.inner.tables())?;
        let uuid = id.to_uuid();
        let stored = self.load(table, uuid)?;
        let opened = self.inner.opened(table, &uuid, &stored.row.values);
        let mut row: M = model_rows::decode(id, model_rows::lent(&stored, opened.as_deref()))?;
        let before = model_rows::before(&row, stored.collections)?;
        edit(&mut row);
        if (M::MAPPING.id)(&row).to_uuid() != uuid {
            return Err(Error::IdChanged { table: M::SCHEMA.table, id: uuid });
        }
        let mut after = encode(&row)?;
        self.inner.whole(|tx| {
            tx.seal_edits(table, &uuid, &before.0, &mut after)?;
            tx.update(table, &uuid, stored.row, &before, &after)
        })?;
        Ok(row)
    }

    /// The row as it is stored.
    fn load(&mut self, table: usize, id: Uuid) -> Result<Stored> {
        let stored = self.inner.load(table, &id)?;
        stored.ok_or_else(|| Error::NotFound { table: self.inner.tables()[table].schema.table, id })
    }

    /// Deletes a row, and those that go with it: each in its space.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such row; [`NotMember`](crate::identity::IdentityError::NotMember) or
    /// [`RoleTooLow`](crate::identity::IdentityError::RoleTooLow) if the user may not write in the space of one of them.
    pub fn delete<M: Synced>(&mut self, id: M::Id) -> Result<()> {
        let table = model_rows::table_of::<M>(self.inner.tables())?;
        let id = id.to_uuid();
        if self.inner.whole(|tx| tx.delete(table, &id))? {
            Ok(())
        } else {
            Err(Error::NotFound { table: M::SCHEMA.table, id })
        }
    }

    /// The row with this id, as the transaction sees it.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for a stored value that isn't one of its field's type.
    pub fn get<M: Synced>(&mut self, id: M::Id) -> Result<Option<M>> {
        let table = model_rows::table_of::<M>(self.inner.tables())?;
        model_rows::get(self.inner.connection(), &self.inner.tables()[table], id)
    }

    /// All rows, by ascending id, as the transaction sees them.
    ///
    /// # Errors
    /// [`Error::Unreadable`] for a stored value that isn't one of its field's type.
    pub fn all<M: Synced>(&mut self) -> Result<Vec<M>> {
        let table = model_rows::table_of::<M>(self.inner.tables())?;
        model_rows::all(self.inner.connection(), &self.inner.tables()[table])
    }

    /// How many rows there are, as the transaction sees them.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn count<M: Synced>(&mut self) -> Result<u64> {
        let table = model_rows::table_of::<M>(self.inner.tables())?;
        model_rows::count(self.inner.connection(), &self.inner.tables()[table])
    }

    /// An SQL query that sees what the transaction has written.
    pub fn sql<'q>(&'q self, text: &'q str) -> Sql<'q> {
        Sql::on_transaction(self.inner.connection(), text)
    }

    /// Runs `work`; if it fails, what it wrote is undone and the transaction goes on.
    ///
    /// # Errors
    /// The error of `work`.
    pub fn savepoint<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let mark = self.inner.savepoint()?;
        match work(self) {
            Ok(value) => self.inner.release().map(|()| value),
            Err(error) => {
                // If even that fails, the transaction can't be committed any more, and says so.
                if let Err(rollback) = self.inner.roll_back_to(&mark) {
                    tracing::warn!(%rollback, "a savepoint could not be undone");
                }
                Err(error)
            }
        }
    }
}
