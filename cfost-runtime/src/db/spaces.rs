//! Spaces that the user shares with others: who is in them, and how members come and go.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

use super::Db;
use crate::error::Result;
#[cfg(feature = "net")]
use crate::identity::pairing::Papers;
use crate::identity::{IdentityError, Members, Role, RootPublic};
use crate::oplog::{SpaceId, UserId};
use crate::store::Store;

/// A space: what a row of a model with `#[synced(space)]` is, and holds the rows that belong to it.
///
/// What is said here about members is signed by this device and goes to the members' devices as changes do. It is in
/// effect at once on this device; on another one as soon as it has heard of it, also over what it has shown already.
#[derive(Clone)]
pub struct Space {
    store: Arc<Store>,
    id: SpaceId,
}

/// A user in a space.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The user.
    pub user: UserId,
    /// What the user is called, as far as is known here.
    pub name: Option<String>,
    /// The user's address, as far as is known here.
    pub email: Option<String>,
    /// What the user may do.
    pub role: Role,
    /// Whether it is the user of this database.
    pub is_me: bool,
}

impl Db {
    /// The space that a row is: `id` is the id of a row of a model with `#[synced(space)]`. Also one that the user was
    /// in and is not any more.
    ///
    /// # Errors
    /// [`IdentityError::NotMember`] if nothing is known of such a space here.
    pub fn space(&self, id: Uuid) -> Result<Space> {
        Space::of_row(&self.store, id)
    }

    /// The spaces that the user is in, beside the home space, which nobody else is in.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn spaces(&self) -> Result<Vec<Space>> {
        let ids = self.store.spaces()?.into_iter().skip(1);
        Ok(ids.map(|id| Space { store: Arc::clone(&self.store), id }).collect())
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Space").field(&self.id).finish()
    }
}

impl Space {
    pub(super) fn of_row(store: &Arc<Store>, id: Uuid) -> Result<Self> {
        let space = Self { store: Arc::clone(store), id: SpaceId::from_bytes(*id.as_bytes()) };
        space.known()?;
        Ok(space)
    }

    /// The id of the row that the space is.
    pub fn id(&self) -> Uuid {
        Uuid::from_bytes(*self.id.as_bytes())
    }

    /// What the user of this database may do here; `None` for one that was removed, or has left.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn role(&self) -> Result<Option<Role>> {
        let own = self.own()?;
        Ok(self.known()?.role(own))
    }

    /// Who is in the space: the owner first, then by name. After the user itself was removed: who was in it then, as
    /// far as is known.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn members(&self) -> Result<Vec<Member>> {
        let (own, users) = (self.own()?, self.store.entry_logs()?.users);
        let mut members: Vec<Member> = self
            .known()?
            .iter()
            .map(|(user, role)| {
                let profile = users.get(user).and_then(|log| log.profile());
                Member {
                    user,
                    name: profile.map(|profile| profile.name.clone()),
                    email: profile.map(|profile| profile.email.clone()),
                    role,
                    is_me: user == own,
                }
            })
            .collect();
        members.sort_by(|a, b| b.role.cmp(&a.role).then_with(|| a.name.cmp(&b.name)).then(a.user.cmp(&b.user)));
        Ok(members)
    }

    /// Gives a member another role. Only the owner may; [`Role::Owner`] hands the space over, as
    /// [`Space::hand_over`] does.
    ///
    /// What somebody wrote as a writer and this device holds stays when that user becomes a reader.
    ///
    /// # Errors
    /// [`IdentityError::NotOwner`], [`IdentityError::NotMember`]; [`IdentityError::IsOwner`] for the owner itself;
    /// [`Error::LoggedOut`](crate::Error::LoggedOut).
    pub fn set_role(&self, user: UserId, role: Role) -> Result<()> {
        if role == Role::Owner {
            return self.hand_over(user);
        }
        let root = self.root_of(user)?;
        self.store.set_member(self.id, root, role)
    }

    /// Removes a member. Only the owner may, and not itself.
    ///
    /// What this device holds of the user's changes stays; later ones are shown nowhere, whoever relays them. What is
    /// written from now on is sealed with a new key that the user does not get. The user keeps what it has.
    ///
    /// # Errors
    /// As [`Space::set_role`].
    pub fn remove(&self, user: UserId) -> Result<()> {
        self.root_of(user)?;
        self.store.end_member(self.id, user)
    }

    /// Leaves the space: its rows are shown here no more. The owner hands it over first.
    ///
    /// # Errors
    /// [`IdentityError::IsOwner`], [`IdentityError::NotMember`]; [`Error::LoggedOut`](crate::Error::LoggedOut).
    pub fn leave(&self) -> Result<()> {
        self.store.end_member(self.id, self.own()?)
    }

    /// Makes another member the owner; the former one stays as a writer.
    ///
    /// # Errors
    /// As [`Space::set_role`].
    pub fn hand_over(&self, to: UserId) -> Result<()> {
        self.root_of(to)?;
        self.store.hand_over(self.id, to)
    }

    fn own(&self) -> Result<UserId> {
        Ok(self.store.identity()?.user_id())
    }

    fn known(&self) -> Result<Arc<Members>> {
        let not_in = IdentityError::NotMember { space: self.id, user: self.own()? };
        Ok(self.store.members(self.id)?.ok_or(not_in)?)
    }

    fn root_of(&self, user: UserId) -> Result<RootPublic> {
        let members = self.known()?;
        let root = members.named().find(|(named, _)| *named == user && members.role(user).is_some());
        Ok(root.map(|(_, root)| root).ok_or(IdentityError::NotMember { space: self.id, user })?)
    }

    /// The space, and an error unless the user may invite others to it.
    #[cfg(feature = "net")]
    pub(super) fn to_invite_to(&self) -> Result<SpaceId> {
        let user = self.own()?;
        match self.role()? {
            Some(Role::Owner) => Ok(self.id),
            Some(_) => Err(IdentityError::NotOwner { space: self.id, user }.into()),
            None => Err(IdentityError::NotMember { space: self.id, user }.into()),
        }
    }
}

#[cfg(feature = "net")]
impl Db {
    /// Keeps what this user was told when it was let into a space.
    pub(super) fn enter(&self, papers: &Papers) -> Result<Space> {
        self.store.enter(&papers.log, &papers.users)?;
        Ok(Space { store: Arc::clone(&self.store), id: papers.log.space() })
    }
}
