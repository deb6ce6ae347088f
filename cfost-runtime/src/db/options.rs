//! How a database is opened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Db;
use crate::error::Result;
use crate::host::Host;
use crate::schema::Model;
use crate::store::{AtRest, BUSY_TIMEOUT, Memory, Migration, OnMigration, Opening, Place, Repaired, Store};

/// Choices for opening a database; made by [`Db::options`].
#[derive(Clone, Debug)]
pub struct DbOptions {
    host: Host,
    device_name: Option<String>,
    busy_timeout: Duration,
    on_migration: OnMigration,
    read_newer: bool,
    pub(super) at_rest: AtRest,
}

impl Default for DbOptions {
    fn default() -> Self {
        let (device_name, on_migration) = (None, OnMigration::default());
        let (busy_timeout, at_rest) = (BUSY_TIMEOUT, AtRest::default());
        Self { host: Host::system(), device_name, busy_timeout, on_migration, read_newer: false, at_rest }
    }
}

impl DbOptions {
    /// What a new database calls this device in the user's list of devices; else the machine's name,
    /// or `device`. It can be changed later.
    #[must_use]
    pub fn device_name(mut self, name: impl Into<String>) -> Self {
        self.device_name = Some(name.into());
        self
    }

    /// Where time and randomness come from: the system, unless a test wants to say.
    #[must_use]
    pub fn host(mut self, host: Host) -> Self {
        self.host = host;
        self
    }

    /// How long an operation waits for another process that writes to the same file before it fails with
    /// [`StoreError::Busy`](crate::store::StoreError::Busy); 10 seconds unless set.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Tells how far the migration of a table is, while the database is being opened by a newer version of the
    /// app: when it begins, every thousand rows or so, and when it ends. A table whose rows can stay as they are
    /// takes no time, and is not told of.
    ///
    /// If `told` panics, the file stays as it was.
    ///
    /// ```
    /// # use cfost_runtime::db::Db;
    /// let options = Db::options().on_migration(|progress| eprintln!("bringing {progress} up to date"));
    /// ```
    #[must_use]
    pub fn on_migration(mut self, told: impl Fn(Migration) + Send + Sync + 'static) -> Self {
        self.on_migration = OnMigration(Some(Arc::new(told)));
        self
    }

    /// Opens a file that a newer version of the app has migrated all the same, to read what there is; unless set
    /// that is [`StoreError::NewerModel`](crate::store::StoreError::NewerModel). Every write is refused with that
    /// error, and the file stays as it is. [`Db::is_read_only`] tells.
    #[must_use]
    pub fn read_newer(mut self, allowed: bool) -> Self {
        self.read_newer = allowed;
        self
    }

    /// Opens the database at `path`, or creates it.
    ///
    /// # Errors
    /// As [`Db::open`]. With [`DbOptions::read_newer`] also
    /// [`StoreError::NotReadable`](crate::store::StoreError::NotReadable) for a column that the newer version has
    /// removed, renamed or changed.
    pub fn open(self, path: impl AsRef<Path>, models: impl AsRef<[Model]>) -> Result<Db> {
        self.open_at(Place::File(path.as_ref()), models.as_ref())
    }

    /// Opens the database at `path` and repairs it, as [`Db::repair`] does; also one that [`DbOptions::open`] refuses,
    /// since this device's newest changes in it can't be read any more.
    ///
    /// # Errors
    /// As [`DbOptions::open`], and as [`Db::repair`].
    pub fn repair(self, path: impl AsRef<Path>, models: impl AsRef<[Model]>) -> Result<(Db, Repaired)> {
        let (path, models) = (path.as_ref(), models.as_ref());
        let opening = self.opening();
        let cut = Store::make_readable(path, models, &opening)?;
        let db = Db { store: Arc::new(Store::open(Place::File(path), models, opening)?) };
        let mut repaired = db.repair()?;
        repaired.cut.extend(cut);
        Ok((db, repaired))
    }

    /// Opens a database in memory.
    ///
    /// # Errors
    /// As [`Db::open_in_memory`].
    pub fn open_in_memory(self, models: impl AsRef<[Model]>) -> Result<Db> {
        self.open_at(Place::Memory, models.as_ref())
    }

    /// Opens a database in memory that can be opened again.
    pub(crate) fn open_kept(self, memory: &Memory, models: &[Model]) -> Result<Db> {
        self.open_at(Place::Kept(memory), models)
    }

    fn open_at(self, place: Place<'_>, models: &[Model]) -> Result<Db> {
        Ok(Db { store: Arc::new(Store::open(place, models, self.opening())?) })
    }

    fn opening(self) -> Opening {
        let device_name = self.device_name.unwrap_or_else(machine_name);
        let Self { host, busy_timeout, on_migration, read_newer, at_rest, .. } = self;
        Opening { host, device_name, busy_timeout, on_migration, read_newer, at_rest }
    }
}

/// What this machine is called.
fn machine_name() -> String {
    let from_environment = ["COMPUTERNAME", "HOSTNAME"].iter().find_map(|name| std::env::var(name).ok());
    let name = from_environment.or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let name = name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    name.unwrap_or("device").to_owned()
}
