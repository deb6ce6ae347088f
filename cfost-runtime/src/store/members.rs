//! Spaces that users share: who is in them, as it lies in the file; their keys; and how members come and go.
//!
//! For each space the file has the entries of its members log, and of the identity log of every user that it names. From
//! these it follows who may do what ([`Members`]). When entries come, [`follow`] takes the keys that were sealed to this
//! device, gives keys to those whom they are owed, and begins an epoch where one is due.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::changes::head_at;
use super::registry::LogRow;
use super::secrets::Secrets;
use super::state::State;
use super::{Store, StoreError, standing};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::host::Host;
use crate::identity::limits::{EPOCH_KEYS_MAX, FRONTIER_LOGS_MAX};
use crate::identity::{
    Current, DevicePublic, EntryId, EpochGrant, Frontiers, IdentityError, IdentityLog, Members, Role, RootPublic,
    SpaceBody, SpaceEntry, SpaceLog, Users, new_epoch,
};
use crate::oplog::{EpochKey, SpaceId, UserId};

/// The identity logs and members logs in the file, those of `known` that have not grown since as they are.
pub(super) fn read(
    conn: &Connection,
    own: Arc<IdentityLog>,
    known: Option<&Secrets>,
) -> Result<(Users, BTreeMap<SpaceId, Arc<SpaceLog>>)> {
    let mut users = Users::new(own);
    let mut select = conn.prepare_cached("SELECT root FROM cfost_users ORDER BY user")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let root = RootPublic::from_bytes(row.get(0)?);
        users.put(read_user(conn, root, known)?);
    }
    Ok((users, read_spaces(conn, known)?))
}

fn read_user(conn: &Connection, root: RootPublic, known: Option<&Secrets>) -> Result<Arc<IdentityLog>> {
    let user = root.user_id();
    let mut count = conn.prepare_cached("SELECT count(*) FROM cfost_user_entries WHERE user = ?1")?;
    let entries: i64 = count.query_row([user.as_bytes()], |row| row.get(0))?;
    let known = known.and_then(|known| known.users.get(user));
    if let Some(known) = known.filter(|known| known.entry_count() as i64 == entries) {
        return Ok(Arc::clone(known));
    }
    let mut select = conn.prepare_cached("SELECT entry FROM cfost_user_entries WHERE user = ?1")?;
    let entries: Vec<Vec<u8>> =
        select.query_map([user.as_bytes()], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(Arc::new(IdentityLog::from_entries(root, entries)?))
}

fn read_spaces(conn: &Connection, known: Option<&Secrets>) -> Result<BTreeMap<SpaceId, Arc<SpaceLog>>> {
    let mut count = conn.prepare_cached("SELECT count(*) FROM cfost_space_entries")?;
    let entries: i64 = count.query_row([], |row| row.get(0))?;
    let held = |known: &&Secrets| known.spaces.values().map(|log| log.entry_count() as i64).sum::<i64>() == entries;
    if let Some(known) = known.filter(held) {
        return Ok(known.spaces.clone());
    }
    let mut select = conn.prepare_cached("SELECT space, id, entry FROM cfost_space_entries ORDER BY space")?;
    let mut rows = select.query([])?;
    let mut stored: BTreeMap<SpaceId, Vec<(EntryId, Vec<u8>)>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let entry = (EntryId::from_bytes(row.get(1)?), row.get(2)?);
        stored.entry(SpaceId::from_bytes(row.get(0)?)).or_default().push(entry);
    }
    let logs = stored.into_iter().map(|(space, entries)| Ok((space, Arc::new(SpaceLog::from_stored(space, entries)?))));
    logs.collect()
}

/// Keeps an entry of a members log.
pub(super) fn save_space_entry(conn: &Connection, entry: &SpaceEntry) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT OR IGNORE INTO cfost_space_entries (space, id, entry) VALUES (?1, ?2, ?3)")?
        .execute((entry.space().as_bytes(), entry.id().as_bytes(), entry.as_bytes()))?;
    Ok(())
}

/// Keeps another user's root key.
pub(super) fn save_user(conn: &Connection, root: RootPublic) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT OR IGNORE INTO cfost_users (user, root) VALUES (?1, ?2)")?
        .execute((root.user_id().as_bytes(), root.as_bytes()))?;
    Ok(())
}

/// Keeps an entry of another user's identity log.
pub(super) fn save_user_entry(conn: &Connection, user: UserId, id: &EntryId, entry: &[u8]) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT OR IGNORE INTO cfost_user_entries (user, id, entry) VALUES (?1, ?2, ?3)")?
        .execute((user.as_bytes(), id.as_bytes(), entry))?;
    Ok(())
}

impl Secrets {
    /// The own user's identity log.
    pub(super) fn identity(&self) -> &Arc<IdentityLog> {
        self.users.own()
    }

    /// The own user.
    pub(super) fn user(&self) -> UserId {
        self.identity().user_id()
    }

    /// Who is in a space; `None` for the home space, and for one that nothing is known of.
    pub(super) fn members(&self, space: SpaceId) -> Option<Arc<Members>> {
        Some(self.spaces.get(&space)?.members(&self.users))
    }

    /// What the own user may do in a space; `None` if the user is not in it.
    pub(super) fn role_in(&self, space: SpaceId) -> Option<Role> {
        if space == self.home() { Some(Role::Owner) } else { self.members(space)?.role(self.user()) }
    }

    /// The spaces that the own user is in, the home space first.
    pub(super) fn spaces(&self) -> impl Iterator<Item = SpaceId> {
        let shared = self.spaces.keys().copied().filter(|space| self.role_in(*space).is_some());
        std::iter::once(self.home()).chain(shared)
    }

    /// The key that new changes of a space are sealed with.
    pub(super) fn current_epoch_of(&self, space: SpaceId) -> Result<&EpochKey> {
        if space == self.home() {
            return self.current_epoch();
        }
        self.opened()?;
        let user = self.user();
        let members = self.members(space).ok_or(IdentityError::NotMember { space, user })?;
        let key = match members.current_epoch() {
            Current::Epoch(number) => self.epoch(space, number),
            Current::First | Current::Due => None,
        };
        Ok(key.ok_or(IdentityError::KeyMissing { space })?)
    }
}

/// Says something about the members of a space.
pub(super) fn say(
    conn: &Connection,
    secrets: &mut Secrets,
    host: &Host,
    space: SpaceId,
    body: SpaceBody,
) -> Result<()> {
    let user = secrets.user();
    let held = secrets.spaces.get(&space).ok_or(IdentityError::NotMember { space, user })?;
    let at = Timestamp::from_ms(host.now_ms());
    let entry = held.author(&secrets.users, &secrets.opened()?.keys, body, at)?;
    let mut log = SpaceLog::clone(held);
    log.insert(entry.as_bytes())?;
    save_space_entry(conn, &entry)?;
    secrets.spaces.insert(space, Arc::new(log));
    note_named(conn, secrets, space)
}

/// Makes room for the identity logs of the users that a members log names.
pub(super) fn note_named(conn: &Connection, secrets: &mut Secrets, space: SpaceId) -> Result<()> {
    let Some(members) = secrets.members(space) else { return Ok(()) };
    for (user, root) in members.named() {
        if secrets.users.get(user).is_none() {
            save_user(conn, root)?;
            secrets.users.put(Arc::new(IdentityLog::new(root)));
        }
    }
    Ok(())
}

impl Store {
    /// Adds a user to a space, or gives a member another role. Of one that becomes a reader what is held here counts.
    pub(crate) fn set_member(&self, space: SpaceId, root: RootPublic, role: Role) -> Result<()> {
        self.say(space, |conn, state| membership(conn, state, space, root, role))
    }

    /// Ends a user's membership: the own user leaves, another one is removed. What is held here of the user's changes
    /// counts, and no more.
    pub(crate) fn end_member(&self, space: SpaceId, user: UserId) -> Result<()> {
        self.say(space, |conn, state| Ok(SpaceBody::EndMember { user, counted: held_in(conn, state, space, user)? }))
    }

    /// Makes another member the owner.
    pub(crate) fn hand_over(&self, space: SpaceId, user: UserId) -> Result<()> {
        self.say(space, |_, _| Ok(SpaceBody::HandOver { user }))
    }

    fn say(&self, space: SpaceId, body: impl FnOnce(&Connection, &State) -> Result<SpaceBody>) -> Result<()> {
        self.durably(|conn, state| {
            let body = body(conn, state)?;
            say(conn, &mut state.secrets, &self.host, space, body)?;
            standing::follow(conn, &self.tables, state, &self.host)
        })?;
        self.announce();
        Ok(())
    }

    /// Who is in a space: `None` if nothing is known of it, and for the home space.
    pub(crate) fn members(&self, space: SpaceId) -> Result<Option<Arc<Members>>> {
        self.with_state(|_, state| Ok(state.secrets.members(space)))
    }

    /// The spaces that the user is in, the home space first.
    pub(crate) fn spaces(&self) -> Result<Vec<SpaceId>> {
        self.with_state(|_, state| Ok(state.secrets.spaces().collect()))
    }
}

/// What makes a user a member with this role.
pub(super) fn membership(
    conn: &Connection,
    state: &State,
    space: SpaceId,
    root: RootPublic,
    role: Role,
) -> Result<SpaceBody> {
    let counted = match role {
        Role::Reader => held_in(conn, state, space, root.user_id())?,
        Role::Writer | Role::Owner => Frontiers::new(),
    };
    Ok(SpaceBody::Member { root, role, counted })
}

/// How far this device holds a user's logs in a space, as far as they count. If they are more than an entry can name,
/// the longest of them.
fn held_in(conn: &Connection, state: &State, space: SpaceId, user: UserId) -> Result<Frontiers> {
    let identity = state.secrets.users.get(user);
    let is_theirs = |log: &&LogRow| {
        log.space == space && identity.is_some_and(|identity| identity.known_device(log.device).is_some())
    };
    let mut heads = Vec::new();
    for log in state.registry.iter().filter(is_theirs) {
        let head = state.claimed(log);
        let head = if log.counted_seq < head.seq { head_at(conn, log, &state.secrets, log.counted_seq)? } else { head };
        heads.push((log.id, head));
    }
    heads.sort_by_key(|(_, head)| std::cmp::Reverse(head.seq));
    let mut held = Frontiers::new();
    heads.iter().take(FRONTIER_LOGS_MAX).for_each(|(log, head)| held.advance(space, *log, *head));
    Ok(held)
}

/// Does what follows from the members logs as they are: takes keys, gives keys, leaves logs that don't count.
pub(super) fn follow(conn: &Connection, state: &mut State, host: &Host) -> Result<()> {
    let spaces: Vec<SpaceId> = state.secrets.spaces.keys().copied().collect();
    for space in spaces {
        note_named(conn, &mut state.secrets, space)?;
        take_keys(conn, host, &mut state.secrets, space)?;
        if state.secrets.is_device() && state.secrets.role_in(space).is_some() {
            give_keys(conn, host, &mut state.secrets, space)?;
        }
    }
    Ok(())
}

/// Takes the keys that were sealed to this device.
fn take_keys(conn: &Connection, host: &Host, secrets: &mut Secrets, space: SpaceId) -> Result<()> {
    let Some(members) = secrets.members(space) else { return Ok(()) };
    for (&number, epoch) in members.epochs() {
        if secrets.commitment(space, number).is_some_and(|known| known != *epoch.commitment()) {
            tracing::warn!(%space, epoch = number, "another key has the number of an epoch: it was left out");
            continue;
        }
        secrets.learn_commitment(conn, space, number, *epoch.commitment())?;
        for grant in epoch.grants() {
            if secrets.epoch(space, number).is_some() {
                break;
            }
            match grant.open_key(&secrets.opened()?.keys) {
                Ok(Some(key)) => secrets.add_epoch(conn, host, space, key)?,
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, %space, epoch = number, "the key of an epoch was left out"),
            }
        }
    }
    Ok(())
}

/// Begins a new epoch if one is due and the own user writes, and gives the keys that this device has to those whom they
/// are owed.
fn give_keys(conn: &Connection, host: &Host, secrets: &mut Secrets, space: SpaceId) -> Result<()> {
    let Some(members) = secrets.members(space) else { return Ok(()) };
    if members.role(secrets.user()) >= Some(Role::Writer) && members.current_epoch() == Current::Due {
        let key = new_epoch(host);
        let number = key.epoch();
        secrets.add_epoch(conn, host, space, key)?;
        grant(conn, host, secrets, (space, number), &members.devices(), SpaceBody::Epoch)?;
    }
    let numbers: Vec<u32> = members.epochs().keys().copied().collect();
    for number in numbers.into_iter().filter(|number| secrets.epoch(space, *number).is_some()).collect::<Vec<_>>() {
        grant(conn, host, secrets, (space, number), &members.without_key(number), SpaceBody::Keys)?;
    }
    Ok(())
}

/// Seals the key of an epoch to devices: to as many as one entry can name by what `first` makes of it, to more by others.
fn grant(
    conn: &Connection,
    host: &Host,
    secrets: &mut Secrets,
    (space, number): (SpaceId, u32),
    to: &[DevicePublic],
    first: fn(EpochGrant) -> SpaceBody,
) -> Result<()> {
    for (n, devices) in to.chunks(EPOCH_KEYS_MAX).enumerate() {
        let Some(key) = secrets.epoch(space, number) else { break };
        let grant = EpochGrant::seal(host, secrets.user(), space, key, devices)?;
        say(conn, secrets, host, space, if n == 0 { first(grant) } else { SpaceBody::Keys(grant) })?;
    }
    Ok(())
}
