//! Entries that peers tell: of the own user's identity log, of other users', of spaces' members logs.

use rusqlite::Connection;

use super::members::{save_space_entry, save_user, save_user_entry};
use super::state::State;
use super::table::Table;
use super::{Store, secrets, standing};
use crate::error::Result;
use crate::host::Host;
use crate::identity::{Body, Entry, EntryId};
use crate::sync::{EntryLogs, LogKey};

impl Store {
    /// The logs of entries as they are.
    pub(crate) fn entry_logs(&self) -> Result<EntryLogs> {
        self.with_state(|_, state| Ok(held(state)))
    }

    /// Adds entries that a peer tells; returns how many were new. [`EntryLogs::learn`] says which are.
    pub(crate) fn learn(&self, entries: &[(LogKey, Vec<u8>)], own_device: bool) -> Result<usize> {
        let learnt = self.durably(|conn, state| learn(conn, &self.tables, state, &self.host, (entries, own_device)))?;
        if learnt > 0 {
            self.announce();
        }
        Ok(learnt)
    }
}

fn held(state: &State) -> EntryLogs {
    EntryLogs { users: state.secrets.users.clone(), spaces: state.secrets.spaces.clone() }
}

/// Keeps the entries that hold, and what had waited for them; and does what follows from them.
pub(super) fn learn(
    conn: &Connection,
    tables: &[Table],
    state: &mut State,
    host: &Host,
    (entries, own_device): (&[(LogKey, Vec<u8>)], bool),
) -> Result<usize> {
    let mut logs = held(state);
    let new = logs.learn(entries, own_device);
    if new.is_empty() {
        return Ok(0);
    }
    let mut matters = false;
    for (key, id) in &new {
        matters |= keep(conn, &logs, *key, id)?;
    }
    (state.secrets.users, state.secrets.spaces) = (logs.users, logs.spaces);
    if matters {
        standing::follow(conn, tables, state, host)?;
    }
    Ok(new.len())
}

/// Keeps an entry that was taken in; says whether more follows from it than a name.
fn keep(conn: &Connection, logs: &EntryLogs, key: LogKey, id: &EntryId) -> Result<bool> {
    let entry = match key {
        LogKey::Space(space) => {
            if let Some(entry) = logs.spaces.get(&space).and_then(|log| log.entry(id)) {
                save_space_entry(conn, entry)?;
            }
            return Ok(true);
        }
        LogKey::User(user) => logs.users.get(user).and_then(|log| Some((log.root(), log.entry(id)?))),
    };
    let Some((root, entry)) = entry else { return Ok(false) };
    if root == logs.users.own().root() {
        secrets::save_entry(conn, id.as_bytes(), Entry::as_bytes(entry))?;
    } else {
        save_user(conn, root)?;
        save_user_entry(conn, root.user_id(), id, Entry::as_bytes(entry))?;
    }
    Ok(!matches!(entry.body(), Body::RenameDevice { .. } | Body::Profile(_) | Body::Counted(_)))
}
