//! Letting another user into a space, and being let into one.

use std::sync::Arc;

use super::members::{membership, save_user, save_user_entry, say};
use super::{Store, standing};
use crate::error::Result;
use crate::identity::{Entry, IdentityError, IdentityLog, Role, SpaceEntry, SpaceLog, Users};
use crate::oplog::SpaceId;
use crate::sync::LogKey;

impl Store {
    /// Makes a user, who has said who it is, a member of a space. The space's key is sealed to all devices of that user
    /// in the same step.
    pub(crate) fn welcome(&self, space: SpaceId, visitor: &IdentityLog, role: Role) -> Result<()> {
        self.durably(|conn, state| {
            let root = visitor.root();
            let known = state.secrets.users.get(root.user_id());
            let mut log = known.map_or_else(|| IdentityLog::new(root), |log| IdentityLog::clone(log));
            save_user(conn, root)?;
            for entry in visitor.entries() {
                log.insert(entry.as_bytes())?;
                save_user_entry(conn, root.user_id(), &entry.id(), Entry::as_bytes(entry))?;
            }
            state.secrets.users.put(Arc::new(log));
            let body = membership(conn, state, space, root, role)?;
            say(conn, &mut state.secrets, &self.host, space, body)?;
            standing::follow(conn, &self.tables, state, &self.host)
        })?;
        self.announce();
        Ok(())
    }

    /// Keeps what the own user was told when it was let into a space.
    pub(crate) fn enter(&self, log: &SpaceLog, users: &Users) -> Result<()> {
        let (space, own) = (log.space(), self.identity()?.user_id());
        let told = log.entries().map(|entry| (LogKey::Space(space), SpaceEntry::as_bytes(entry).to_vec()));
        let others = users.iter().filter(|log| log.user_id() != own);
        let of_users = others.flat_map(|log| {
            let user = log.user_id();
            log.entries().map(move |entry| (LogKey::User(user), Entry::as_bytes(entry).to_vec()))
        });
        let entries: Vec<_> = told.chain(of_users).collect();
        self.learn(&entries, false)?;
        match self.members(space)?.and_then(|members| members.role(own)) {
            Some(_) => Ok(()),
            None => Err(IdentityError::NotMember { space, user: own }.into()),
        }
    }
}
