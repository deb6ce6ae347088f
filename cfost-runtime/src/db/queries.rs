//! Running queries: on the database, or on what a transaction sees.

use rusqlite::Connection;

use super::model_rows::{self, table_number};
use super::{Db, Past, Tx};
use crate::error::Result;
use crate::query::{Output, Query, Spec, Statement, With, statement};
use crate::schema::{RowId, Synced, ValueRef};
use crate::store::{ReadConnection, Table};
use sealed::Reads;

/// What queries run on: `&db`, inside `db.write` the transaction, `tx`, or what [`Db::at`] returned.
#[diagnostic::on_unimplemented(
    message = "a query doesn't run on a `{Self}`",
    label = "not a database",
    note = "give it `&db`, or inside `db.write` the transaction `tx`"
)]
pub trait Source: Reads {}

impl Source for Db {}
impl Source for Tx<'_> {}
impl Source for Past {}

mod sealed {
    use super::Reading;
    use crate::error::Result;

    pub trait Reads {
        /// A connection to read with.
        fn reading(&self) -> Result<Reading<'_>>;
    }
}

/// A connection, and the tables that it reads.
pub struct Reading<'a> {
    conn: Conn<'a>,
    tables: &'a [Table],
}

enum Conn<'a> {
    Lent(ReadConnection<'a>),
    Transaction(&'a Connection),
}

impl Reads for Db {
    fn reading(&self) -> Result<Reading<'_>> {
        Ok(Reading { conn: Conn::Lent(self.store.reader()?), tables: self.store.tables() })
    }
}

impl Reads for Tx<'_> {
    fn reading(&self) -> Result<Reading<'_>> {
        Ok(Reading { conn: Conn::Transaction(self.connection()), tables: self.tables() })
    }
}

impl Reads for Past {
    fn reading(&self) -> Result<Reading<'_>> {
        Ok(Reading { conn: Conn::Transaction(self.connection()), tables: self.tables() })
    }
}

impl Reading<'_> {
    /// Runs `work`; if `snapshot` is set, all its statements see one state of the rows.
    fn run<T>(self, snapshot: bool, work: impl FnOnce(&Connection, &[Table]) -> Result<T>) -> Result<T> {
        match &self.conn {
            Conn::Lent(conn) => {
                let _snapshot = if snapshot { Some(conn.unchecked_transaction()?) } else { None };
                work(conn, self.tables)
            }
            Conn::Transaction(conn) => work(conn, self.tables),
        }
    }
}

impl<M: Synced> Query<M> {
    /// The rows.
    ///
    /// # Errors
    /// [`Error::Unstorable`](crate::Error::Unstorable) for a value in a filter that no row can have,
    /// [`Error::NotSearchable`](crate::Error::NotSearchable), [`Error::QueryTooLarge`](crate::Error::QueryTooLarge),
    /// [`Error::UnknownModel`](crate::Error::UnknownModel), and as [`Db::get`].
    pub fn all(&self, source: &impl Source) -> Result<Vec<M>> {
        source.reading()?.run(false, |conn, tables| rows(conn, tables, self.spec()))
    }

    /// The first row, if there is any.
    ///
    /// # Errors
    /// As [`Query::all`].
    pub fn first(&self, source: &impl Source) -> Result<Option<M>> {
        let rows_max = self.spec().limit.unwrap_or(1).min(1);
        Ok(self.clone().limit(rows_max).all(source)?.pop())
    }

    /// How many rows there are, of those that the limit and the offset leave.
    ///
    /// # Errors
    /// As [`Query::all`].
    pub fn count(&self, source: &impl Source) -> Result<u64> {
        source.reading()?.run(false, |conn, tables| count(conn, tables, self.spec()))
    }

    /// Whether there is any row.
    ///
    /// # Errors
    /// As [`Query::all`].
    pub fn exists(&self, source: &impl Source) -> Result<bool> {
        source.reading()?.run(false, |conn, tables| any(conn, tables, self.spec(), Output::Exists))
    }

    /// How SQLite goes about it, one line per step: `SEARCH` by an index, `SCAN` through a table. For tests and
    /// for finding out why a query is slow.
    ///
    /// # Errors
    /// As [`Query::all`].
    pub fn plan(&self, source: &impl Source) -> Result<Vec<String>> {
        source.reading()?.run(false, |conn, tables| plan(conn, tables, self.spec()))
    }

    /// The ids of the rows, in their order.
    ///
    /// # Errors
    /// As [`Query::all`].
    pub fn ids(&self, source: &impl Source) -> Result<Vec<M::Id>> {
        source.reading()?.run(false, |conn, tables| {
            let ids = ids(conn, tables, self.spec())?;
            Ok(ids.into_iter().map(M::Id::from_uuid).collect())
        })
    }
}

impl<M: Synced, P: Synced> With<M, P> {
    /// The pairs, in the query's order.
    ///
    /// # Errors
    /// As [`Query::all`].
    pub fn all(&self, source: &impl Source) -> Result<Vec<(M, P)>> {
        source.reading()?.run(true, |conn, tables| self.pairs(conn, tables, self.query()))
    }

    /// The first pair, if there is any.
    ///
    /// # Errors
    /// As [`Query::all`].
    pub fn first(&self, source: &impl Source) -> Result<Option<(M, P)>> {
        let rows_max = self.query().spec().limit.unwrap_or(1).min(1);
        source.reading()?.run(true, |conn, tables| Ok(self.pairs(conn, tables, &self.limited(rows_max))?.pop()))
    }

    fn pairs(&self, conn: &Connection, tables: &[Table], query: &Query<M>) -> Result<Vec<(M, P)>> {
        let parents = &tables[table_number(tables, P::SCHEMA)?];
        let mut pairs = Vec::new();
        for row in rows::<M>(conn, tables, query.spec())? {
            let Some(id) = self.reference().map(|place| reference(&row, place)).transpose()?.flatten() else {
                continue;
            };
            // In SQLite looking a row up by its id costs no more than joining it.
            if let Some(parent) = model_rows::get(conn, parents, P::Id::from_uuid(id))? {
                pairs.push((row, parent));
            }
        }
        Ok(pairs)
    }
}

/// The id in a row's column.
fn reference<M: Synced>(row: &M, place: usize) -> Result<Option<uuid::Uuid>> {
    let values = model_rows::encode(row)?;
    Ok(match values.columns.get(place) {
        Some(ValueRef::Blob(id)) => uuid::Uuid::from_slice(id).ok(),
        _ => None,
    })
}

/// The rows that a query finds.
pub(super) fn rows<M: Synced>(conn: &Connection, tables: &[Table], spec: &Spec) -> Result<Vec<M>> {
    let table = table(tables, spec)?;
    let mut rows: Vec<M> = model_rows::found(conn, table, &statement(spec, Output::Rows)?)?;
    if spec.is_unordered() {
        rows.sort_by_key(|row| (M::MAPPING.id)(row).to_uuid());
    }
    Ok(rows)
}

/// The table of a query's rows; all models that it reads must be the database's.
pub(super) fn table<'t>(tables: &'t [Table], spec: &Spec) -> Result<&'t Table> {
    for schema in spec.reads() {
        table_number(tables, schema)?;
    }
    Ok(&tables[table_number(tables, spec.schema)?])
}

fn count(conn: &Connection, tables: &[Table], spec: &Spec) -> Result<u64> {
    table(tables, spec)?;
    let statement = statement(spec, Output::Count)?;
    let mut select = model_rows::prepared(conn, &statement)?;
    let count: i64 = select.raw_query().next()?.map_or(Ok(0), |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// Whether a statement of the query returns any row.
pub(super) fn any(conn: &Connection, tables: &[Table], spec: &Spec, output: Output<'_>) -> Result<bool> {
    table(tables, spec)?;
    let statement = statement(spec, output)?;
    let mut select = model_rows::prepared(conn, &statement)?;
    Ok(select.raw_query().next()?.is_some())
}

fn plan(conn: &Connection, tables: &[Table], spec: &Spec) -> Result<Vec<String>> {
    table(tables, spec)?;
    let Statement { sql, values } = statement(spec, Output::Rows)?;
    let mut select = model_rows::prepared(conn, &Statement { sql: format!("EXPLAIN QUERY PLAN {sql}"), values })?;
    let mut rows = select.raw_query();
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        steps.push(row.get("detail")?);
    }
    Ok(steps)
}

fn ids(conn: &Connection, tables: &[Table], spec: &Spec) -> Result<Vec<uuid::Uuid>> {
    table(tables, spec)?;
    let statement = statement(spec, Output::Ids)?;
    let mut select = model_rows::prepared(conn, &statement)?;
    let mut rows = select.raw_query();
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.push(uuid::Uuid::from_bytes(row.get(0)?));
    }
    if spec.is_unordered() {
        ids.sort_unstable();
    }
    Ok(ids)
}
