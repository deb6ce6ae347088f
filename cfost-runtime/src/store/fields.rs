//! Encrypted fields: sealed as they are written, opened as they are read.
//!
//! What is in a table and in an op is sealed, so merging, history, undo and backups need no key. Between the store and
//! the app's structs a value has the form of [`Encrypted`](crate::schema::Encrypted), which is made here: of a read row
//! by its [`Table`], which has the keys lent, and of a row to write by the transaction. A table without encrypted
//! columns pays for neither.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use uuid::Uuid;

use super::secrets::Secrets;
use super::table::Table;
use super::write::WriteTx;
use super::{Store, Writer};
use crate::error::{Error, Result};
use crate::oplog::{FieldEpoch, FieldKey, FieldPlace, OplogError, SEALED_FIELD_OVERHEAD, SpaceId, field_epoch};
use crate::schema::{
    EncryptedFor, EncryptedSchema, Form, ModelSchema, RowValues, Value, ValueRef, WhyLocked, locked_form, opened_form,
    plain_of,
};

/// The keys that a device has for fields.
#[derive(Debug, Default)]
pub(super) struct FieldKeys {
    /// The private space of the device's user.
    home: Option<SpaceId>,
    keys: BTreeMap<(SpaceId, u32), FieldKey>,
}

/// The keys that reading has at hand: those of the state that was current last.
#[derive(Clone, Debug, Default)]
pub(super) struct Keyring(Arc<RwLock<Lent>>);

#[derive(Debug, Default)]
struct Lent {
    keys: Arc<FieldKeys>,
    /// The keys of spaces that the transaction founds which is running.
    founded: BTreeMap<(SpaceId, u32), FieldKey>,
}

/// A table's encrypted columns.
#[derive(Debug, Default)]
pub(crate) struct Encryption {
    columns: Vec<EncryptedColumn>,
    keyring: Keyring,
}

#[derive(Debug)]
struct EncryptedColumn {
    /// Its place among the model's columns.
    column: usize,
    of: EncryptedSchema,
    /// The place of the column that names the space whose key it is sealed with; none for the home space.
    space: Option<usize>,
}

impl FieldKeys {
    pub(super) fn new(home: SpaceId, keys: impl Iterator<Item = FieldKey>) -> Self {
        let keys = keys.map(|key| ((key.epoch().space, key.epoch().epoch), key)).collect();
        Self { home: Some(home), keys }
    }
}

impl Keyring {
    /// Lends these keys from now on.
    fn lend(&self, keys: &Arc<FieldKeys>) {
        if !Arc::ptr_eq(keys, &self.lent().keys) {
            let mut lent = self.0.write().unwrap_or_else(PoisonError::into_inner);
            *lent = Lent { keys: Arc::clone(keys), founded: BTreeMap::new() };
        }
    }

    /// Lends the key of a space that is being founded too.
    fn lend_founded(&self, key: FieldKey) {
        let mut lent = self.0.write().unwrap_or_else(PoisonError::into_inner);
        lent.founded.insert((key.epoch().space, key.epoch().epoch), key);
    }

    fn lent(&self) -> RwLockReadGuard<'_, Lent> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent {
    fn key(&self, of: FieldEpoch) -> Option<&FieldKey> {
        let of = (of.space, of.epoch);
        self.keys.keys.get(&of).or_else(|| self.founded.get(&of))
    }
}

impl Encryption {
    pub(super) fn new(schema: &ModelSchema) -> Self {
        let place = |name: &str| schema.columns.iter().position(|column| column.name == name);
        let encrypted = schema.columns.iter().enumerate().filter_map(|(column, of)| Some((column, of.encrypted?)));
        let columns = encrypted.map(|(column, of)| EncryptedColumn {
            column,
            of,
            space: match of.key {
                EncryptedFor::Home => None,
                EncryptedFor::Column(name) => place(name),
            },
        });
        Self { columns: columns.collect(), keyring: Keyring::default() }
    }

    /// Takes its keys from where others take theirs.
    pub(super) fn share(&mut self, keyring: &Keyring) {
        self.keyring = keyring.clone();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// What sealing adds to an op at most.
    pub(super) fn overhead_bytes(&self) -> usize {
        self.columns.len() * (SEALED_FIELD_OVERHEAD + 1)
    }
}

impl Table {
    /// Opens what is sealed in a row, as far as the keys are here: its encrypted columns have their form after this.
    pub(crate) fn open_fields(&self, id: &Uuid, values: &mut [ValueRef<'_>]) {
        if self.encryption.is_empty() {
            return;
        }
        let lent = self.encryption.keyring.lent();
        for encrypted in &self.encryption.columns {
            let named = encrypted.space.and_then(|column| space_in(values.get(column)?));
            let Some(value) = values.get_mut(encrypted.column) else { continue };
            let form = match &*value {
                ValueRef::Blob(sealed) => self.form(encrypted, id, named, sealed, &lent),
                _ => encrypted.of.absent(),
            };
            *value = ValueRef::Blob(Cow::Owned(form));
        }
    }

    /// The columns of a stored row with what is sealed in them opened; `None` if there is nothing to open.
    pub(super) fn opened(&self, id: &Uuid, values: &[Value]) -> Option<Vec<Value>> {
        if self.encryption.is_empty() {
            return None;
        }
        let mut values: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
        self.open_fields(id, &mut values);
        Some(values.into_iter().map(ValueRef::into_owned).collect())
    }

    /// The form of a sealed value. `named` is the space that the row names for it.
    fn form(
        &self,
        encrypted: &EncryptedColumn,
        id: &Uuid,
        named: Option<SpaceId>,
        sealed: &[u8],
        lent: &Lent,
    ) -> Vec<u8> {
        let locked = |why| locked_form(why, sealed);
        let of = match field_epoch(sealed) {
            Ok(of) => of,
            Err(OplogError::Newer { .. }) => return locked(WhyLocked::Newer),
            Err(_) => return locked(WhyLocked::Damaged),
        };
        let space = of.space;
        let is_own = lent.keys.home == Some(space);
        if named.is_some_and(|named| named != space) && !is_own {
            return locked(WhyLocked::Damaged);
        }
        let Some(key) = lent.key(of) else { return locked(WhyLocked::NoKey { space }) };
        if named.is_none() && !is_own {
            // What is meant for one user's devices is sealed under their own space's key, which nobody else has.
            return locked(WhyLocked::Damaged);
        }
        let opened = key.open(self.place(encrypted, id), sealed);
        let form = opened.and_then(|plain| opened_form(&plain, &encrypted.of));
        form.unwrap_or_else(|| locked(WhyLocked::Damaged))
    }

    fn place<'a>(&'a self, encrypted: &EncryptedColumn, id: &'a Uuid) -> FieldPlace<'a> {
        let schema = self.schema;
        FieldPlace { table: schema.table, row: id, column: schema.columns[encrypted.column].op_name }
    }

    /// Whether two sealed values of a column are the same value, as far as they can be read.
    pub(super) fn is_same_field(&self, column: usize, row: (&Uuid, &[Value]), other: &ValueRef<'_>) -> bool {
        let Some(encrypted) = self.encryption.columns.iter().find(|encrypted| encrypted.column == column) else {
            return false;
        };
        let (id, values) = row;
        let mut ours: Vec<ValueRef<'_>> = values.iter().map(Value::as_ref).collect();
        let mut theirs = ours.clone();
        theirs[column] = other.borrowed();
        self.open_fields(id, &mut ours);
        self.open_fields(id, &mut theirs);
        let is_open = matches!(Form::of(&ours[encrypted.column]), Some(Form::Open(_)));
        is_open && ours[column] == theirs[column]
    }

    /// Whether the table has encrypted columns.
    pub(crate) fn encrypts(&self) -> bool {
        !self.encryption.is_empty()
    }
}

/// The space that a column names; none for the home space.
fn space_in(value: &ValueRef<'_>) -> Option<SpaceId> {
    match value {
        ValueRef::Blob(id) => <[u8; 16]>::try_from(&**id).ok().map(SpaceId::from_bytes),
        _ => None,
    }
}

impl WriteTx<'_> {
    /// The columns of a stored row with what is sealed in them opened; `None` if there is nothing to open.
    pub(crate) fn opened(&self, table: usize, id: &Uuid, values: &[Value]) -> Option<Vec<Value>> {
        let table = &self.tables[table];
        self.lend(table);
        table.opened(id, values)
    }

    /// Seals what is to be inserted with this id.
    pub(super) fn sealed<'v>(&self, table: usize, id: &Uuid, values: &RowValues<'v>) -> Result<RowValues<'v>> {
        let mut values = values.clone();
        for encrypted in &self.tables[table].encryption.columns {
            let sealed = self.seal(table, id, encrypted, &values.columns, &values.columns[encrypted.column])?;
            values.columns[encrypted.column] = ValueRef::Blob(Cow::Owned(sealed));
        }
        Ok(values)
    }

    /// Seals what is carried over from another user's space; what can't be read stays as it is.
    pub(super) fn resealed<'v>(&self, table: usize, id: &Uuid, values: &RowValues<'v>) -> Result<RowValues<'v>> {
        let mut values = values.clone();
        for encrypted in &self.tables[table].encryption.columns {
            let column = &values.columns[encrypted.column];
            let sealed = match Form::of(column) {
                Some(Form::Locked(locked)) => locked.as_bytes().to_vec(),
                _ => match self.seal(table, id, encrypted, &values.columns, column) {
                    // The space was given up before: the value stays readable for its user.
                    Err(Error::NoFieldKey { .. }) => {
                        self.seal_for(self.state.secrets.home(), table, id, encrypted, column)?
                    }
                    sealed => sealed?,
                },
            };
            values.columns[encrypted.column] = ValueRef::Blob(Cow::Owned(sealed));
        }
        Ok(values)
    }

    /// Seals what an edit changed: `before` and `after` have the form that apps see, `after` that of the store then.
    pub(crate) fn seal_edits(
        &self,
        table: usize,
        id: &Uuid,
        before: &[Value],
        after: &mut RowValues<'_>,
    ) -> Result<()> {
        for encrypted in &self.tables[table].encryption.columns {
            let (column, new) = (encrypted.column, &after.columns[encrypted.column]);
            if before.get(column).is_some_and(|before| before.as_ref() == *new) {
                continue;
            }
            let sealed = self.seal(table, id, encrypted, &after.columns, new)?;
            after.columns[column] = ValueRef::Blob(Cow::Owned(sealed));
        }
        Ok(())
    }

    /// Seals one value of a row with these values.
    fn seal(
        &self,
        table: usize,
        id: &Uuid,
        encrypted: &EncryptedColumn,
        values: &[ValueRef<'_>],
        form: &ValueRef<'_>,
    ) -> Result<Vec<u8>> {
        let named = encrypted.space.and_then(|column| space_in(values.get(column)?));
        self.seal_for(named.unwrap_or_else(|| self.state.secrets.home()), table, id, encrypted, form)
    }

    /// Seals one value under the key of a space.
    fn seal_for(
        &self,
        space: SpaceId,
        table: usize,
        id: &Uuid,
        encrypted: &EncryptedColumn,
        form: &ValueRef<'_>,
    ) -> Result<Vec<u8>> {
        let (table, schema) = (&self.tables[table], self.tables[table].schema);
        let (model, field) = (schema.model, schema.columns[encrypted.column].field);
        let plain = match form {
            ValueRef::Blob(form) => plain_of(form),
            _ => None,
        };
        let Some(plain) = plain else { return Err(Error::LockedValue { model, field, id: *id }) };
        let founded = self.pages.founded.iter().rev().find(|founded| founded.space() == space);
        let key = match founded {
            Some(founded) => founded.key(),
            // Whoever is in the space no more may have its former keys, but not the one that its members have now.
            None if self.state.secrets.role_in(space).is_none() => {
                return Err(Error::NoFieldKey { model, field, space });
            }
            None => self.state.secrets.current_epoch_of(space)?,
        };
        self.lend(table);
        let (key, is_founded) = (FieldKey::of(space, key), founded.is_some());
        let sealed = key.seal(table.place(encrypted, id), &self.host.random(), plain)?;
        if is_founded {
            table.encryption.keyring.lend_founded(key);
        }
        Ok(sealed)
    }

    /// Has what this transaction writes readable in it.
    fn lend(&self, table: &Table) {
        if table.encrypts() {
            table.encryption.keyring.lend(&self.state.secrets.field_keys());
        }
    }
}

impl Store {
    /// Lends the keys of the current state to those who read.
    pub(super) fn lend_keys(&self, secrets: &Secrets) {
        if let Some(table) = self.tables.iter().find(|table| table.encrypts()) {
            table.encryption.keyring.lend(&secrets.field_keys());
        }
    }

    /// Before a read: has the keys at hand that another process may have brought. Reading doesn't wait for a
    /// transaction of another thread.
    pub(super) fn refresh_keys(&self) -> Result<()> {
        if self.tables.iter().any(Table::encrypts)
            && let Ok(mut writer) = self.writer.try_lock()
        {
            let Writer { conn, state, .. } = &mut *writer;
            state.refresh(conn, &self.tables)?;
            self.lend_keys(&state.secrets);
        }
        Ok(())
    }
}

/// Has all tables take their keys from one place.
pub(super) fn share_keys(tables: &mut [Table]) {
    let keyring = Keyring::default();
    tables.iter_mut().for_each(|table| table.encryption.share(&keyring));
}
