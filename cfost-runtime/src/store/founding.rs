//! Which space a local write goes to: that of its row. A new row of a model whose rows are spaces founds one.
//!
//! A model of the home space asks for nothing here. What another device may write is decided where changes are
//! applied; here a write that would not count is refused, before it is one.

use std::sync::Arc;

use uuid::Uuid;

use super::ledger::{HOME, Slot};
use super::placement::{Placed, named};
use super::rows::Place;
use super::state::State;
use super::write::WriteTx;
use super::{incarnation, members, secrets};
use crate::clock::Timestamp;
use crate::crdt::Row;
use crate::error::{Error, Result};
use crate::identity::{IdentityError, Limit, Role, SpaceLog};
use crate::oplog::{EpochKey, SpaceId};
use crate::schema::{Value, ValueError, ValueRef};

/// A space that a transaction has founded: in the file, and in memory once it commits.
pub(super) struct Founded {
    log: SpaceLog,
    key: EpochKey,
}

impl Founded {
    /// The space.
    pub(super) fn space(&self) -> SpaceId {
        self.log.space()
    }

    /// The key of its first epoch.
    pub(super) fn key(&self) -> &EpochKey {
        &self.key
    }

    /// Has the space among those that this device knows.
    pub(super) fn keep(self, state: &mut State) {
        let space = self.log.space();
        state.secrets.hold_epoch(space, self.key);
        state.secrets.spaces.insert(space, Arc::new(self.log));
    }
}

impl WriteTx<'_> {
    /// Goes on in the space of a new row with these values. Returns its id: the given one, which may be nil, unless the
    /// row is a space.
    pub(super) fn enter_for_new(&mut self, table: usize, given: Uuid, values: &[ValueRef<'_>]) -> Result<Uuid> {
        match self.tables[table].placed {
            Placed::Home => self.turn_to(HOME),
            Placed::Column(column) => {
                let space = named(&values[column], self.state.secrets.home());
                self.enter(table, space.ok_or_else(|| self.names_no_space(table, column))?)?;
            }
            Placed::Row if given.is_nil() => {
                let space = self.found_space()?;
                return Ok(Uuid::from_bytes(*space.as_bytes()));
            }
            Placed::Row => return Err(Error::SpaceIdGiven { model: self.tables[table].schema.model, given }),
        }
        Ok(given)
    }

    /// Goes on in the space of a row that is written anew, which may be a space that this transaction has founded.
    pub(super) fn enter_for_carried(&mut self, table: usize, id: Uuid, values: &[ValueRef<'_>]) -> Result<()> {
        match self.tables[table].placed {
            Placed::Row => self.enter(table, SpaceId::from_bytes(id.into_bytes())),
            Placed::Home | Placed::Column(_) => self.enter_for_new(table, id, values).map(drop),
        }
    }

    /// Goes on in the space of a row that has been loaded.
    pub(super) fn enter_for(&mut self, table: usize, id: &Uuid, row: &Row<Value>) -> Result<()> {
        match self.tables[table].placed {
            Placed::Home => {
                self.turn_to(HOME);
                Ok(())
            }
            Placed::Row => self.enter(table, SpaceId::from_bytes(*id.as_bytes())),
            Placed::Column(_) => {
                let space = self.space_of(row).unwrap_or(self.state.secrets.home());
                self.enter(table, space)
            }
        }
    }

    /// Goes on in the space of a row.
    pub(super) fn enter_for_row(&mut self, table: usize, id: &Uuid) -> Result<()> {
        if self.tables[table].placed == Placed::Home {
            self.turn_to(HOME);
            return Ok(());
        }
        let (_, row) = self.rows.load(table, id, &self.state.hidden)?;
        self.enter_for(table, id, &row)
    }

    /// Refuses to insert a row in the place of what ops of another space have made.
    pub(super) fn check_space(&self, table: usize, id: Uuid, (place, row): (Place, &Row<Value>)) -> Result<()> {
        let Placed::Column(column) = self.tables[table].placed else { return Ok(()) };
        if place == Place::Nowhere || self.space_of(row).is_none_or(|space| space == self.page.space()) {
            return Ok(());
        }
        let schema = self.tables[table].schema;
        Err(Error::Immutable { model: schema.model, field: schema.columns[column].field, id })
    }

    /// The space whose ops made a row what it is.
    fn space_of(&self, row: &Row<Value>) -> Option<SpaceId> {
        self.state.registry.get(row.clock.life().writer.0).map(|log| log.space)
    }

    /// Goes on in a space, in which this device's user may write.
    fn enter(&mut self, table: usize, space: SpaceId) -> Result<()> {
        if self.page.space() == space {
            return Ok(());
        }
        let slot = self.state.own.slot(space);
        if let Some(slot) = slot.filter(|slot| self.has_page(*slot)) {
            self.turn_to(slot);
            return Ok(());
        }
        self.check_role(table, space)?;
        let slot = match slot {
            Some(slot) if self.counts(slot)? => slot,
            _ => self.begin_log(space)?,
        };
        self.turn_to(slot);
        Ok(())
    }

    fn check_role(&self, table: usize, space: SpaceId) -> Result<()> {
        let secrets = &self.state.secrets;
        if space == secrets.home() {
            return Ok(());
        }
        if !secrets.spaces.contains_key(&space) {
            return Err(Error::UnknownSpace { model: self.tables[table].schema.model, space });
        }
        let (user, needed) = (secrets.user(), Role::Writer);
        match secrets.role_in(space) {
            None => Err(IdentityError::NotMember { space, user }.into()),
            Some(role) if role < needed => Err(IdentityError::RoleTooLow { space, user, role, needed }.into()),
            // Without a key nothing could be committed.
            Some(_) => secrets.current_epoch_of(space).map(drop),
        }
    }

    /// Whether what is written next to an own log counts. Nothing does after a change that doesn't, such as one that
    /// was made before this device knew that its user was a reader.
    fn counts(&self, slot: Slot) -> Result<bool> {
        if slot == HOME {
            return Ok(true);
        }
        let own = self.state.own.at(slot);
        let epoch = self.state.secrets.current_epoch_of(own.chain.space)?.epoch();
        let Some(log) = self.state.registry.get(own.number) else { return Ok(false) };
        Ok(log.countable_seq() == log.head.seq && self.state.secrets.limit(log, epoch) == Limit::All)
    }

    fn begin_log(&mut self, space: SpaceId) -> Result<Slot> {
        let State { secrets, registry, .. } = &mut *self.state;
        let author = secrets.opened()?.keys.public().signing;
        let own = incarnation::start_log(self.conn, registry, secrets, space, self.host, author)?;
        Ok(self.use_log(own))
    }

    /// Founds a space of this device's user, and goes on in it.
    pub(super) fn found_space(&mut self) -> Result<SpaceId> {
        let secrets = &self.state.secrets;
        let open = secrets.opened()?;
        let at = Timestamp::from_ms(self.host.now_ms());
        let (log, key) = SpaceLog::found(self.host, secrets.identity(), &open.keys, at)?;
        let space = log.space();
        log.entries().try_for_each(|entry| members::save_space_entry(self.conn, entry))?;
        secrets::save_epoch(self.conn, self.host, &open.master, space, &key)?;
        self.pages.founded.push(Founded { log, key });
        let slot = self.begin_log(space)?;
        self.turn_to(slot);
        Ok(space)
    }

    /// Takes back that a space was founded, since its row could not be written: nothing else was in it.
    pub(super) fn unfound(&mut self) -> Result<()> {
        let Some(space) = self.pages.founded.pop().map(|founded| founded.log.space()) else { return Ok(()) };
        let intact = !std::mem::replace(&mut self.broken, true);
        for table in ["cfost_space_entries", "cfost_epochs", "cfost_own_logs", "cfost_logs"] {
            let delete = format!("DELETE FROM {table} WHERE space = ?1");
            self.conn.prepare_cached(&delete)?.execute([space.as_bytes()])?;
        }
        self.turn_to(HOME);
        self.end_last_log();
        self.broken = !intact;
        Ok(())
    }

    fn names_no_space(&self, table: usize, column: usize) -> Error {
        let schema = self.tables[table].schema;
        let source = ValueError::Invalid { target: "Uuid", reason: "the id of a space has 16 bytes".into() };
        Error::Unstorable { model: schema.model, field: schema.columns[column].field, source }
    }
}
