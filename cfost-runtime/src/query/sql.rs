//! `db.sql(..)`: any SQL query, read-only, its rows as tuples of column types.

use rusqlite::Connection;
use rusqlite::fallible_iterator::FallibleIterator;

use crate::error::{Error, Result};
use crate::schema::{Column, Value, ValueRef};
use crate::store::{Store, borrowed};

/// An SQL query that is being put together; made by [`Db::sql`](crate::db::Db::sql) and [`Tx::sql`](crate::db::Tx::sql).
#[derive(Debug)]
#[must_use = "a query runs when `rows`, `first` or `one` is called"]
pub struct Sql<'a> {
    source: Source<'a>,
    text: &'a str,
    values: Vec<Value>,
    unstorable: Option<crate::schema::ValueError>,
}

#[derive(Debug)]
enum Source<'a> {
    Store(&'a Store),
    Transaction(&'a Connection),
}

impl<'a> Sql<'a> {
    pub(crate) fn on_store(store: &'a Store, text: &'a str) -> Self {
        Self { source: Source::Store(store), text, values: Vec::new(), unstorable: None }
    }

    pub(crate) fn on_transaction(conn: &'a Connection, text: &'a str) -> Self {
        Self { source: Source::Transaction(conn), text, values: Vec::new(), unstorable: None }
    }

    /// Gives the next parameter (`?1`, `?2`, … or `?`) its value.
    pub fn bind<T: Column>(mut self, value: T) -> Self {
        match value.encode() {
            Ok(value) => self.values.push(value.into_owned()),
            Err(error) => self.unstorable = Some(error),
        }
        self
    }

    /// Runs the query and reads every row.
    ///
    /// # Errors
    /// [`Error::Sql`] for a statement that SQLite refuses, [`Error::SqlWrites`] for one that would
    /// write, and `Error::Sql…` for parameters, columns or values that don't fit.
    pub fn rows<T: FromRow>(self) -> Result<Vec<T>> {
        self.run(usize::MAX)
    }

    /// Runs the query and reads the first row, if there is one.
    ///
    /// # Errors
    /// As [`Sql::rows`].
    pub fn first<T: FromRow>(self) -> Result<Option<T>> {
        Ok(self.run(1)?.pop())
    }

    fn run<T: FromRow>(self, rows_max: usize) -> Result<Vec<T>> {
        if let Some(source) = self.unstorable {
            return Err(Error::Unstorable { model: "sql", field: "bind", source });
        }
        match self.source {
            Source::Transaction(conn) => query(conn, self.text, &self.values, rows_max),
            // The oplog is sealed in the file: a statement that names it is given it as a table.
            Source::Store(store) if self.text.to_ascii_lowercase().contains("cfost_oplog") => {
                store.read_oplog(|conn| query(conn, self.text, &self.values, rows_max))
            }
            Source::Store(store) => query(&*store.reader()?, self.text, &self.values, rows_max),
        }
    }
}

fn query<T: FromRow>(conn: &Connection, text: &str, values: &[Value], rows_max: usize) -> Result<Vec<T>> {
    check_single(conn, text)?;
    let mut statement = conn.prepare_cached(text).map_err(sql_error)?;
    if !statement.readonly() {
        return Err(Error::SqlWrites);
    }
    let expected = statement.parameter_count();
    if expected != values.len() {
        return Err(Error::SqlParameters { expected, bound: values.len() });
    }
    if statement.column_count() != T::COLUMNS {
        return Err(Error::SqlColumns { expected: T::COLUMNS, found: statement.column_count() });
    }
    for (n, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(n + 1, value.as_ref())?;
    }
    let mut rows = statement.raw_query();
    let mut read = Vec::new();
    while read.len() < rows_max
        && let Some(row) = rows.next().map_err(sql_error)?
    {
        let columns = (0..T::COLUMNS).map(|column| Ok(borrowed(row.get_ref(column)?)?));
        let columns: Vec<ValueRef<'_>> = columns.collect::<Result<_>>()?;
        read.push(T::from_row(columns.into_iter()).map_err(|(column, source)| {
            let name = row.as_ref().column_name(column).unwrap_or_default().to_owned();
            Error::SqlValue { column, name, source }
        })?);
    }
    Ok(read)
}

/// Refuses a second statement, which SQLite would leave out without a word.
fn check_single(conn: &Connection, text: &str) -> Result<()> {
    if !text.trim_end_matches(|c: char| c == ';' || c.is_whitespace()).contains(';') {
        return Ok(());
    }
    let mut statements = rusqlite::Batch::new(conn, text);
    statements.next().map_err(sql_error)?;
    match statements.next().map_err(sql_error)? {
        None => Ok(()),
        Some(_) => Err(Error::Sql { message: "it is more than one statement: run each by itself".to_owned() }),
    }
}

/// SQLite's complaint about the statement; damage and locks keep their own errors.
fn sql_error(error: rusqlite::Error) -> Error {
    match &error {
        rusqlite::Error::SqlInputError { msg, .. } => Error::Sql { message: msg.clone() },
        rusqlite::Error::SqliteFailure(failure, message) if failure.code == rusqlite::ErrorCode::Unknown => {
            Error::Sql { message: message.clone().unwrap_or_else(|| error.to_string()) }
        }
        _ => error.into(),
    }
}

/// A row of an SQL query: a tuple of column types, or one of them for a query of one column.
pub trait FromRow: Sized {
    /// How many columns the query must return.
    const COLUMNS: usize;

    /// Reads the row; an error comes with the column's position.
    ///
    /// # Errors
    /// When a value isn't one of its column's type.
    fn from_row<'a>(
        values: impl Iterator<Item = ValueRef<'a>>,
    ) -> std::result::Result<Self, (usize, crate::schema::ValueError)>;
}

macro_rules! from_row_tuple {
    ($count:literal: $($type:ident $n:literal),+) => {
        impl<$($type: Column),+> FromRow for ($($type,)+) {
            const COLUMNS: usize = $count;

            fn from_row<'a>(
                mut values: impl Iterator<Item = ValueRef<'a>>,
            ) -> std::result::Result<Self, (usize, crate::schema::ValueError)> {
                Ok(($({
                    let value = values.next().unwrap_or(ValueRef::Null);
                    <$type as Column>::decode(value).map_err(|error| ($n, error))?
                },)+))
            }
        }
    };
}

from_row_tuple!(1: A 0);
from_row_tuple!(2: A 0, B 1);
from_row_tuple!(3: A 0, B 1, C 2);
from_row_tuple!(4: A 0, B 1, C 2, D 3);
from_row_tuple!(5: A 0, B 1, C 2, D 3, E 4);
from_row_tuple!(6: A 0, B 1, C 2, D 3, E 4, F 5);
from_row_tuple!(7: A 0, B 1, C 2, D 3, E 4, F 5, G 6);
from_row_tuple!(8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
from_row_tuple!(9: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
from_row_tuple!(10: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
from_row_tuple!(11: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
from_row_tuple!(12: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);
