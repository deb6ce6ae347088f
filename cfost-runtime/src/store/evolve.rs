//! A model's table from one version to the next, and what was passed over before the app had that version.
//!
//! What a version adds or renames leaves the rows as they are: a row's clock doesn't know a column that no op has
//! written, and SQLite reads its constant default where the row ends. So that step costs hardly more for more rows.
//! Columns that go or are upgraded make a new table, row by row; where the rows alone can't tell what they become, the
//! oplog does. The result is always what a rebuild from the oplog gives.

use rusqlite::types::{FromSql, FromSqlResult, ValueRef};
use rusqlite::{Connection, OptionalExtension};

mod plan;
mod progress;
mod rewrite;

pub use progress::{Migration, MigrationWork};

pub(crate) use progress::OnMigration;

use super::state::State;
use super::table::{Table, column_definition, quoted};
use super::{StoreError, atrest, history, rebuild, search};
use crate::error::Result;
use crate::schema::ModelSchema;
use crate::schema::shape::{self, Shape};
use plan::{Found, Plan, Source};
use rewrite::Rewritten;

pub(super) use progress::Progress;

/// What apps have passed over of the ops on a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stale(i64);

impl Stale {
    /// Whole ops: the app had no such model.
    pub(super) const OPS: Self = Self(1);
    /// Columns or elements of ops: the app had an older version of the model.
    pub(super) const COLUMNS: Self = Self(2);

    /// Nothing, but the rows have to be made anew as soon as the device is logged in.
    pub(super) const ROWS: Self = Self(4);

    /// What can be made up for without a newer version of the model.
    pub(super) fn without_columns(self) -> Self {
        Self(self.0 & !Self::COLUMNS.0)
    }

    /// Whether anything was passed over.
    pub(super) fn any(self) -> bool {
        self.0 != 0
    }

    /// Forgets it, since the table's rows are about to be made anew; returns whether there was any.
    pub(super) fn clear(self, conn: &Connection, table: &str) -> Result<bool, StoreError> {
        if self.0 != 0 {
            conn.prepare_cached("UPDATE cfost_models SET stale = stale & ~?2 WHERE table_name = ?1")?
                .execute((table, self.0))?;
        }
        Ok(self.0 != 0)
    }
}

impl FromSql for Stale {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self)
    }
}

/// Takes note that something of the ops on a table was passed over, which a later app may know.
pub(super) fn passed_over(conn: &Connection, table: &str, what: Stale) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE cfost_models SET stale = stale | ?2 WHERE table_name = ?1 AND stale & ?2 = 0")?
        .execute((table, what.0))?;
    Ok(())
}

/// A table whose rows have to be made from the oplog, with the version that the file had of it.
pub(super) type Unmade = Option<u32>;

/// Makes the tables of an app, or makes the file's tables those of the app. Returns which of them have to be made
/// from the oplog by [`make_rows`].
pub(super) fn open_tables(conn: &Connection, tables: &[Table], told: &OnMigration) -> Result<Vec<Unmade>, StoreError> {
    let open = |table: &Table| {
        let version = version(conn, table.schema.table)?;
        let unmade = table.create_or_check(conn, told)? | history::prepare(conn, table.schema)?;
        Ok(unmade.then_some(version))
    };
    tables.iter().map(open).collect()
}

/// The version that the file has of a table; 0 if it has none.
fn version(conn: &Connection, table: &str) -> Result<u32, StoreError> {
    let mut select = conn.prepare_cached("SELECT version FROM cfost_models WHERE table_name = ?1")?;
    Ok(select.query_row([table], |row| row.get(0)).optional()?.unwrap_or(0))
}

/// Makes the rows of these tables from the oplog. While the device is logged out that can't be read: then it is done at
/// the login, by [`make_waiting_rows`].
pub(super) fn make_rows(
    conn: &Connection,
    tables: &[Table],
    state: &mut State,
    unmade: &[Unmade],
    told: &OnMigration,
) -> Result<()> {
    let chosen: Vec<bool> = unmade.iter().map(Option::is_some).collect();
    if !chosen.contains(&true) {
        return Ok(());
    }
    let named = || tables.iter().zip(unmade).filter_map(|(table, version)| Some((table.schema, (*version)?)));
    if state.secrets.open.is_none() {
        return Ok(named().try_for_each(|(schema, _)| passed_over(conn, schema.table, Stale::ROWS))?);
    }
    let total = state.registry.iter().map(|log| log.applied_seq).sum();
    let progress = Progress::begin(told, named().collect(), MigrationWork::Changes, total);
    rebuild::replay(conn, tables, state, &chosen, &|| progress.step())?;
    progress.end();
    Ok(())
}

/// Makes the rows that could not be made while the device was logged out.
pub(super) fn make_waiting_rows(conn: &Connection, tables: &[Table], state: &mut State) -> Result<()> {
    let stale = |table: &Table| -> Result<Unmade, StoreError> {
        let mut select = conn.prepare_cached("SELECT stale FROM cfost_models WHERE table_name = ?1")?;
        let stale: Stale = select.query_row([table.schema.table], |row| row.get(0))?;
        let rows = Stale(stale.0 & Stale::ROWS.0);
        Ok(rows.clear(conn, table.schema.table)?.then_some(table.schema.version))
    };
    let unmade = tables.iter().map(stale).collect::<Result<Vec<_>, _>>()?;
    make_rows(conn, tables, state, &unmade, &OnMigration::default())
}

/// Makes the table of version `found` of the model, which has the shape `stored`, one of the model's version, within
/// the caller's transaction. Returns whether the rows must be made from the oplog: the table is `stale`, or only the
/// oplog can tell what they are.
///
/// # Errors
/// [`StoreError::SchemaChanged`], before anything is written, if the model says something else of version `found`.
pub(super) fn migrate(
    conn: &Connection,
    table: &Table,
    version: u32,
    stored: &Shape,
    stale: Stale,
    told: &OnMigration,
) -> Result<bool, StoreError> {
    let schema = table.schema;
    refuse_changed(schema, stored, &Shape::of(schema, version))?;
    let found = Found::read(stored);
    let plan = Plan::new(schema, version, &found)?;
    let migrating = Migrating { conn, table, plan: &plan, found: &found };
    search::detach(conn, schema)?;
    let from_oplog = if plan.keeps_rows() {
        migrating.columns_in_place()?;
        false
    } else if plan.other_rule || (stale.any() && atrest::is_logged_in(conn)?) {
        migrating.columns_empty()?;
        true
    } else {
        let total = rewrite::count(conn, table)?;
        let progress = Progress::begin(told, vec![(schema, version)], MigrationWork::Rows, total);
        let rewritten = rewrite::rewrite(conn, table, &plan, &found, &progress)?;
        progress.end();
        rewritten == Rewritten::NeedsOplog
    };
    migrating.collections()?;
    migrating.texts()?;
    if from_oplog {
        rebuild::clear(conn, table)?;
    }
    search::attach(conn, schema, !from_oplog && plan.keeps_words(schema))?;
    migrating.indexes()?;
    conn.prepare_cached("UPDATE cfost_models SET version = ?2, shape = ?3 WHERE table_name = ?1")?.execute((
        schema.table,
        schema.version,
        Shape::of(schema, schema.version).to_string(),
    ))?;
    Ok(stale.clear(conn, schema.table)? | from_oplog)
}

/// A table on its way.
struct Migrating<'a> {
    conn: &'a Connection,
    table: &'a Table,
    plan: &'a Plan,
    found: &'a Found,
}

impl Migrating<'_> {
    /// Renames columns and adds those that are new; the rows stay as they are.
    fn columns_in_place(&self) -> Result<(), StoreError> {
        let table = quoted(self.table.schema.table);
        let mut sql = String::new();
        for (before, after) in plan::one_by_one(&self.plan.renamed) {
            sql += &format!("ALTER TABLE {table} RENAME COLUMN {} TO {};\n", quoted(&before), quoted(&after));
        }
        for (column, source) in self.table.schema.columns.iter().zip(&self.plan.columns) {
            if *source == Source::New {
                sql += &format!("ALTER TABLE {table} ADD COLUMN {};\n", column_definition(column));
            }
        }
        Ok(self.conn.execute_batch(&sql)?)
    }

    /// Makes the table anew, without rows.
    fn columns_empty(&self) -> Result<(), StoreError> {
        let table = quoted(self.table.schema.table);
        Ok(self.conn.execute_batch(&format!("DROP TABLE {table};\n{}", self.table.create_alone()))?)
    }

    /// Drops, renames and makes the tables of elements.
    fn collections(&self) -> Result<(), StoreError> {
        let schema = self.table.schema;
        let name = |collection: &str| format!("{}_{collection}", schema.table);
        let mut forget = self.conn.prepare_cached("DELETE FROM cfost_hidden_elements WHERE table_name = ?1")?;
        for removed in &self.plan.removed_collections {
            self.conn.execute_batch(&format!("DROP TABLE {}", quoted(&name(removed))))?;
            forget.execute([name(removed)])?;
        }
        let renamed: Vec<_> =
            (self.plan.renamed_collections.iter()).map(|(before, after)| (name(before), name(after))).collect();
        let mut rename =
            self.conn.prepare_cached("UPDATE cfost_hidden_elements SET table_name = ?2 WHERE table_name = ?1")?;
        for (before, after) in plan::one_by_one(&renamed) {
            self.conn.execute_batch(&format!("ALTER TABLE {} RENAME TO {}", quoted(&before), quoted(&after)))?;
            rename.execute((before, after))?;
        }
        let there: Vec<String> = (renamed.into_iter().map(|(_, after)| after))
            .chain(self.found.collections.iter().map(|collection| name(collection)))
            .collect();
        for child in self.table.children.iter().filter(|child| !there.contains(&child.name)) {
            self.conn.execute_batch(&child.create())?;
        }
        Ok(())
    }

    /// Renames the documents of texts, and forgets what is kept of columns that go.
    fn texts(&self) -> Result<(), StoreError> {
        let table = self.table.schema.table;
        let of = |kept: &str| format!("DELETE FROM {kept} WHERE table_name = ?1 AND column_name = ?2");
        let mut forget = self.conn.prepare_cached(&of("cfost_texts"))?;
        let mut forget_base = self.conn.prepare_cached(&of("cfost_bases"))?;
        let mut forget_generations = self.conn.prepare_cached(&of("cfost_generations"))?;
        for &removed in &self.plan.removed {
            let (name, op_name) = (&self.found.columns[removed], &self.found.op_names[removed]);
            forget.execute((table, name))?;
            forget_base.execute((table, op_name))?;
            forget_generations.execute((table, op_name))?;
        }
        let mut rename = self
            .conn
            .prepare_cached("UPDATE cfost_texts SET column_name = ?3 WHERE table_name = ?1 AND column_name = ?2")?;
        for (before, after) in plan::one_by_one(&self.plan.renamed) {
            rename.execute((table, before, after))?;
        }
        Ok(())
    }

    /// Makes the indexes that the model wants, and drops those that it doesn't want any more.
    fn indexes(&self) -> Result<(), StoreError> {
        let of_table = (self.table.schema.table, self.table.indexes().collect());
        let of_children =
            self.table.children.iter().map(|child| (child.name.as_str(), child.index().into_iter().collect()));
        std::iter::once(of_table).chain(of_children).try_for_each(|(name, wanted)| self.indexes_of(name, wanted))
    }

    fn indexes_of(&self, table: &str, mut wanted: Vec<(String, String)>) -> Result<(), StoreError> {
        let mut select = self.conn.prepare_cached(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL",
        )?;
        let there = select.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut sql = String::new();
        for index in there.collect::<rusqlite::Result<Vec<_>>>()? {
            match wanted.iter().position(|other| *other == index) {
                Some(found) => _ = wanted.remove(found),
                None => sql += &format!("DROP INDEX {};\n", quoted(&index.0)),
            }
        }
        wanted.iter().for_each(|(_, create)| sql += &format!("{create};\n"));
        Ok(self.conn.execute_batch(&sql)?)
    }
}

/// A shape as the file has it.
pub(super) fn parse(stored: &str) -> Result<Shape, StoreError> {
    stored.parse().map_err(|error| StoreError::Corrupt { what: format!("the shape of a model: {error}") })
}

/// Refuses a model that says something else of a version than what is in the file.
pub(super) fn refuse_changed(schema: &ModelSchema, stored: &Shape, says: &Shape) -> Result<(), StoreError> {
    let differences: Vec<String> = shape::diff(stored, says).iter().map(ToString::to_string).collect();
    if differences.is_empty() {
        return Ok(());
    }
    let (model, table) = (schema.model, schema.table);
    Err(StoreError::SchemaChanged { model, table, what: differences.join("; ") })
}
