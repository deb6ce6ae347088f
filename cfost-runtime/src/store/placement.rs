//! Which space a row lives in, and that no op of another space has an effect on it.
//!
//! A model says where its rows live ([`Placement`]), and every replica holds every op to that:
//!
//! | rows live | an op in the space S has an effect if |
//! | --- | --- |
//! | in the home space | S is the home space of this database's user |
//! | each in itself | the id of its row is S |
//! | where a column says | a create: if it carries S in the column, or NULL and S is the home space; and S is the space of the row |
//!
//! The space of a row of the last kind is that of its first op. It is in no column of its own: each cell has the log
//! that wrote it, and a log is of one space. Ids are random, and a row never moves: ops of several spaces on one row
//! are made only by somebody who means harm, and knows the row. Then the home space comes first, which nobody else
//! writes to, and of others the least id; what the other spaces say of the row has no effect. So which one it is depends
//! on the changes that are held and not on the order in which they came; and nothing has to be applied again, since
//! all that the space has said of the row until then is the op that decides it.
//!
//! What has no effect is kept and relayed like all else.

#[cfg(test)]
mod tests;

use rusqlite::Connection;
use uuid::Uuid;

use super::apply::{Applier, Context, ShapeFit, plain};
use super::forms::Target;
use super::hidden::{Hidden, decode_hidden};
use super::history::RowKey;
use super::rows::{Place, Rows};
use super::table::Table;
#[cfg(feature = "text")]
use super::write::WriteTx;
use super::{Registry, StoreError, bases};
use crate::crdt::RowClock;
use crate::oplog::{Op, OpKind, SpaceId};
use crate::schema::{ModelSchema, Placement, ValueRef};

/// Where the rows of a table live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// In the home space.
    Home,
    /// Each in itself.
    Row,
    /// In the space that this column names; NULL is the home space.
    Column(usize),
}

impl Placed {
    pub(super) fn of(schema: &ModelSchema) -> Self {
        match schema.space {
            Placement::Home => Self::Home,
            Placement::Row => Self::Row,
            // The derive has checked that the column is there.
            Placement::Column(name) => {
                schema.columns.iter().position(|column| column.name == name).map_or(Self::Home, Self::Column)
            }
        }
    }

    /// The space of a row with these values; `None` if its column holds no id.
    pub(super) fn space(self, row: &Uuid, values: &[ValueRef<'_>], home: SpaceId) -> Option<SpaceId> {
        match self {
            Self::Home => Some(home),
            Self::Row => Some(SpaceId::from_bytes(*row.as_bytes())),
            Self::Column(column) => named(values.get(column)?, home),
        }
    }

    /// Whether an op of a space may be one on a row, as far as the op by itself tells.
    pub(super) fn admits(self, op: &Op<'_, '_>, fit: &ShapeFit, space: SpaceId, home: SpaceId) -> bool {
        match self {
            _ if planted!("take-ops-from-any-space") => true,
            Self::Home => space == home,
            Self::Row => op.row.as_bytes() == space.as_bytes(),
            Self::Column(column) if op.kind == OpKind::Create => {
                let place = fit.columns.iter().position(|target| *target == Some(Target::Column(column)));
                let value = place.and_then(|place| plain(op.values.get(place)?));
                value.and_then(|value| named(value, home)) == Some(space)
            }
            Self::Column(_) => true,
        }
    }
}

/// The space that a column's value names; `None` if it is no id.
pub(super) fn named(value: &ValueRef<'_>, home: SpaceId) -> Option<SpaceId> {
    match value {
        ValueRef::Null => Some(home),
        ValueRef::Blob(id) => <[u8; 16]>::try_from(&**id).ok().map(SpaceId::from_bytes),
        _ => None,
    }
}

impl<'c> Rows<'c> {
    /// The space whose ops made a row what it is; `None` if no op has touched it.
    pub(super) fn space_of(
        &mut self,
        (table, id): RowKey,
        registry: &Registry,
        hidden: &Hidden,
    ) -> Result<Option<SpaceId>, StoreError> {
        let clock = match self.visible_clock(table, &id)? {
            Some(clock) => Some(clock),
            None if hidden.any(table) => self.hidden_clock(table, &id)?,
            None => None,
        };
        let log = clock.and_then(|clock| registry.get(clock.life().writer.0));
        Ok(log.map(|log| log.space))
    }

    fn hidden_clock(&self, table: usize, id: &Uuid) -> Result<Option<RowClock>, StoreError> {
        let state = self.hidden_state(table, id)?;
        let row = state.map(|state| decode_hidden(&state, &self.tables[table].defaults)).transpose()?;
        Ok(row.map(|row| row.clock))
    }

    /// Forgets all that is known of a row, shown or not.
    fn forget(&mut self, (table, id): RowKey, hidden: &mut Hidden) -> Result<(), StoreError> {
        let (place, row) = self.load(table, &id, hidden)?;
        let awaited = self.awaited(table, place, &row);
        if place == Place::Visible {
            self.hide(table, &id, &row, place, hidden)?;
            self.hide_dependents((table, id), hidden)?;
        }
        self.set_awaited((table, id), &awaited, &[])?;
        forget_kept(self.conn, &self.tables[table], &id)
    }
}

/// Forgets what is kept of a row beside its table.
fn forget_kept(conn: &Connection, table: &Table, id: &Uuid) -> Result<(), StoreError> {
    let name = table.schema.table;
    conn.prepare_cached("DELETE FROM cfost_hidden WHERE table_name = ?1 AND id = ?2")?
        .execute((name, id.as_bytes()))?;
    for child in &table.children {
        conn.prepare_cached("DELETE FROM cfost_hidden_elements WHERE table_name = ?1 AND row = ?2")?
            .execute((&child.name, id.as_bytes()))?;
    }
    bases::forget(conn, name, id)
}

#[cfg(feature = "text")]
impl WriteTx<'_> {
    /// The space whose ops made a row what it is; `None` if no op has touched it.
    pub(super) fn space_of_row(&mut self, row: RowKey) -> Result<Option<SpaceId>, StoreError> {
        self.rows.space_of(row, &self.state.registry, &self.state.hidden)
    }
}

impl Applier<'_> {
    /// Whether an op of a space has an effect on its row, which other ops may have touched before. If they were of a
    /// space that has to stand back, what they made of the row is forgotten.
    pub(super) fn takes_effect(
        &mut self,
        table: usize,
        op: &Op<'_, '_>,
        space: SpaceId,
        context: &mut Context<'_>,
    ) -> Result<bool, StoreError> {
        if !matches!(self.rows.tables[table].placed, Placed::Column(_)) {
            return Ok(true);
        }
        let key = (table, op.row);
        let Some(of) = self.rows.space_of(key, context.registry, context.hidden)? else { return Ok(true) };
        if of == space {
            return Ok(true);
        }
        let home = context.secrets.home();
        let rank = |space: SpaceId| (space != home, space);
        tracing::warn!(table = self.rows.tables[table].schema.table, row = %op.row, %space, %of, "a row has ops of two spaces");
        if rank(space) > rank(of) {
            return Ok(false);
        }
        #[cfg(feature = "text")]
        {
            self.settle_row(key, context)?;
            context.texts.forget_row(self.rows.conn, self.rows.tables[table].schema.table, op.row)?;
        }
        self.rows.forget(key, context.hidden)?;
        Ok(true)
    }
}
