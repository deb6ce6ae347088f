//! What an older version shows beside what a newer one shows.

use std::collections::BTreeMap;
use std::panic::catch_unwind;

use uuid::Uuid;

use super::{Fleet, FleetDevice};
use crate::error::{Error, Result};
use crate::schema::{Change, ColumnSchema, Convert, MergeRule, Model, ModelSchema, Reference, Value};

/// Checks that two devices with the same changes show the same in the fields that both versions have as they are.
pub(super) fn check(fleet: &Fleet, older: &FleetDevice, newer: &FleetDevice) -> Result<()> {
    let models = |device: &FleetDevice| &fleet.versions[device.version()].models;
    for (table, was) in models(older).iter().enumerate() {
        let same = |(_, is): &(usize, &Model)| is.schema.table == was.schema.table;
        let Some((there, is)) = models(newer).iter().enumerate().find(same) else { continue };
        let (olds, news) = (older.store().rows_of(table)?, newer.store().rows_of(there)?);
        let (olds, news) = (olds.into_iter().collect(), news.into_iter().collect());
        let both = Both { fleet, older, newer, was: was.schema, is: is.schema };
        both.compare(&olds, &news)?;
    }
    Ok(())
}

/// A model in two versions.
struct Both<'f> {
    fleet: &'f Fleet,
    older: &'f FleetDevice,
    newer: &'f FleetDevice,
    was: &'static ModelSchema,
    is: &'static ModelSchema,
}

type Rows = BTreeMap<Uuid, Vec<Value>>;

impl Both<'_> {
    fn compare(&self, olds: &Rows, news: &Rows) -> Result<()> {
        if self.fleet.references(self.older) == self.fleet.references(self.newer) && self.was.delete == self.is.delete {
            let missing = olds.keys().find(|id| !news.contains_key(id)).map(|id| (id, self.older, self.newer));
            let extra = news.keys().find(|id| !olds.contains_key(id)).map(|id| (id, self.newer, self.older));
            if let Some((id, with, without)) = missing.or(extra) {
                let [with, without] = [with, without].map(|device| self.fleet.label(device));
                return Err(Error::abort(format!("{with} shows row {id} of '{}', {without} doesn't", self.was.table)));
            }
        }
        for (at, was) in self.was.columns.iter().enumerate() {
            let Some((there, is)) = self.now(was) else { continue };
            for (id, old) in olds {
                let Some(new) = news.get(id) else { continue };
                if !agree(self.was.version, is, &old[at], &new[there]) {
                    return Err(self.differ(*id, (was, &old[at]), (is, &new[there])));
                }
            }
        }
        Ok(())
    }

    /// What became of a column, if the two can be compared.
    fn now(&self, was: &ColumnSchema) -> Option<(usize, &'static ColumnSchema)> {
        let mut columns = self.is.columns.iter().enumerate();
        let (there, is) = columns.find(|(_, is)| form_at(is, self.was.version) == (was.op_name, was.rule))?;
        let as_it_is = is.op_name == was.op_name && is.rule == was.rule;
        let alike = is.default == was.default && is.sql_type == was.sql_type && is.nullable == was.nullable;
        let kept = self.was.keeps(was) == self.is.keeps(is);
        (kept && (!as_it_is || alike)).then_some((there, is))
    }

    fn differ(&self, id: Uuid, (was, old): (&ColumnSchema, &Value), (is, new): (&ColumnSchema, &Value)) -> Error {
        let [older, newer] = [self.older, self.newer].map(|device| self.fleet.label(device));
        let (table, old, new) = (self.was.table, old.as_ref(), new.as_ref());
        Error::abort(format!(
            "{older} shows {} = {old} in row {id} of '{table}', and {newer} {} = {new}, with the same changes",
            was.name, is.name,
        ))
    }
}

/// What ops of a version call a column, and how it merged then.
fn form_at(column: &ColumnSchema, version: u32) -> (&'static str, MergeRule) {
    let then = column.past.iter().rfind(|past| version < past.until);
    then.map_or((column.op_name, column.rule), |past| (past.op_name, past.rule))
}

/// Whether a value of an older version and one of this version come from the same write: of the older version, whose
/// value came along, or of this one, which gave it back.
fn agree(version: u32, column: &ColumnSchema, old: &Value, new: &Value) -> bool {
    let steps: Vec<Change> = column.past.iter().filter(|past| version < past.until).map(|past| past.change).collect();
    if steps.iter().all(|step| matches!(step, Change::Renamed)) {
        return old == new;
    }
    if steps.iter().any(|step| matches!(step, Change::Rule { .. })) {
        // The new rule counts what the old one did not see.
        return true;
    }
    let (mut forth, mut back) = (Some(old.clone()), Some(new.clone()));
    for step in steps.iter().rev() {
        if let Change::Upgraded { with, .. } = step {
            forth = forth.and_then(|value| converted(*with, &value));
        }
    }
    for step in &steps {
        if let Change::Upgraded { back: function, .. } = step {
            back = back.zip(*function).and_then(|(value, function)| converted(function, &value));
        }
    }
    // A value that can't be converted changes nothing: the other version goes on showing the one before.
    let Some(forth) = forth else { return true };
    let began_later = column.past.last().is_some_and(|past| past.since > 1);
    forth == *new || back.is_none_or(|back| back == *old) || began_later
}

fn converted(function: Convert, value: &Value) -> Option<Value> {
    catch_unwind(|| function(value.as_ref())).ok()?.ok()
}

impl Fleet {
    /// The references that a version knows.
    fn references(&self, device: &FleetDevice) -> Vec<(&'static str, &'static str, Reference)> {
        let schemas = self.versions[device.version()].models.iter().map(|model| model.schema);
        let columns = schemas.flat_map(|schema| schema.columns.iter().map(|column| (schema.table, column)));
        let mut references: Vec<_> =
            columns.filter_map(|(table, column)| Some((table, column.op_name, column.reference?))).collect();
        references.sort_unstable_by_key(|(table, column, _)| (*table, *column));
        references
    }
}
