//! The user of a database, and the password of this device.

use std::fmt;

use super::Db;
use crate::error::Result;
use crate::identity::{IdentityError, PasswordCost, Profile, RecoveryPhrase};
use crate::oplog::UserId;

/// The user that a database belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// The user's id, the same on every device.
    pub id: UserId,
    /// The user's name; `None` until someone registers.
    pub name: Option<String>,
    /// The user's e-mail address; `None` until someone registers.
    pub email: Option<String>,
}

/// What [`Db::register_user`] gives.
#[non_exhaustive]
pub struct Registration {
    /// The user's id.
    pub user_id: UserId,
    /// The 24 words that bring the user back when all devices are lost. Show them once, let the user
    /// write them down, then call [`Db::forget_recovery_phrase`].
    pub recovery_phrase: RecoveryPhrase,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

impl Db {
    /// The user of this database. One that nobody has registered in belongs to an unnamed user.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn user(&self) -> Result<User> {
        let identity = self.store.identity()?;
        let profile = identity.profile();
        Ok(User {
            id: identity.user_id(),
            name: profile.map(|profile| profile.name.clone()),
            email: profile.map(|profile| profile.email.clone()),
        })
    }

    /// Gives the unnamed user of this database a name, an e-mail address and a password. What was
    /// written before stays theirs.
    ///
    /// The password locks this device's keys: it is asked for after a [`Db::logout`]. Takes about a
    /// quarter of a second, on purpose.
    ///
    /// # Errors
    /// [`IdentityError::Registered`] if the user has a name already,
    /// what [`check_password`](crate::identity::check_password) refuses, and [`IdentityError::Text`] for a name
    /// or an address that can't be one.
    pub fn register_user(&self, name: &str, email: &str, password: &str) -> Result<Registration> {
        self.register_user_with(name, email, password, PasswordCost::default())
    }

    /// [`Db::register_user`] with another cost of trying a password than the usual one.
    ///
    /// # Errors
    /// As [`Db::register_user`].
    pub fn register_user_with(
        &self,
        name: &str,
        email: &str,
        password: &str,
        cost: PasswordCost,
    ) -> Result<Registration> {
        let profile = Profile { name: name.to_owned(), email: email.to_owned() };
        self.store.register(profile, password, cost)?;
        let user_id = self.store.identity()?.user_id();
        let recovery_phrase = self.store.recovery_phrase()?.ok_or(IdentityError::PhraseForgotten)?;
        Ok(Registration { user_id, recovery_phrase })
    }

    /// Sets or changes the password that locks this device's keys; each device has its own.
    ///
    /// # Errors
    /// What [`check_password`](crate::identity::check_password) refuses; [`Error::LoggedOut`](crate::Error::LoggedOut).
    pub fn set_password(&self, password: &str) -> Result<()> {
        let user = self.user()?;
        let email = user.email.ok_or(IdentityError::NotPaired)?;
        self.store.set_password(&email, password, PasswordCost::default())
    }

    /// Opens this device's keys with the password.
    ///
    /// A password that was set by an older app, or at a lower cost than today's, is locked anew on the way: that
    /// costs another quarter of a second, once.
    ///
    /// # Errors
    /// [`IdentityError::WrongCredentials`] for a wrong password and an unknown address alike,
    /// [`IdentityError::TooManyAttempts`] for a while after three wrong ones, and
    /// [`IdentityError::NotPaired`] on a device without a password.
    pub fn login(&self, email: &str, password: &str) -> Result<()> {
        self.login_with(email, password, PasswordCost::default())
    }

    /// [`Db::login`] with another cost, to which a weaker vault is raised, than the usual one: an app that has
    /// chosen one for [`Db::register_user_with`] keeps to it. A vault that is stronger stays so.
    ///
    /// # Errors
    /// As [`Db::login`].
    pub fn login_with(&self, email: &str, password: &str, cost: PasswordCost) -> Result<()> {
        self.store.login(email, password, cost)
    }

    /// Locks this device's keys. Rows can still be read; writing, syncing and the oplog wait for the
    /// next [`Db::login`].
    ///
    /// Of a database file that is encrypted (`DbOptions::encrypted`), rows can be read while it stays open; opening it
    /// again takes [`DbOptions::login`](super::DbOptions::login).
    ///
    /// # Errors
    /// [`IdentityError::NoPassword`] if no password would open them again. [`KeyringError::NotDeleted`](crate::identity::KeyringError::NotDeleted) if the device is
    /// logged out but its [keyring](super::DbOptions::keyring) could not delete the key.
    pub fn logout(&self) -> Result<()> {
        self.store.logout()
    }

    /// Whether this device's keys are open. They stay so from one start of the app to the next.
    ///
    /// # Errors
    /// When the database can't be read.
    pub fn is_logged_in(&self) -> Result<bool> {
        self.store.is_open()
    }

    /// The 24 words that bring the user back, on the user's first device, until they are forgotten.
    ///
    /// # Errors
    /// [`Error::LoggedOut`](crate::Error::LoggedOut).
    pub fn recovery_phrase(&self) -> Result<Option<RecoveryPhrase>> {
        self.store.recovery_phrase()
    }

    /// Erases the recovery phrase from this device: the user has written it down.
    ///
    /// # Errors
    /// When the database can't be written.
    pub fn forget_recovery_phrase(&self) -> Result<()> {
        self.store.forget_recovery_phrase()
    }
}
