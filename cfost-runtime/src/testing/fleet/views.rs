//! What an older version shows beside what a newer one shows.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::convert::{Converted, back, changed_since, form_at, forth};
use super::{Fleet, FleetDevice};
use crate::error::{Error, Result};
use crate::schema::{Change, ColumnSchema, Model, ModelSchema, Reference, Value};

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
        let alike = self.fleet.references(self.older) == self.fleet.references(self.newer);
        let alike = alike && self.was.delete == self.is.delete;
        for (id, row) in olds {
            if self.comes_along(row)? && alike && !news.contains_key(id) {
                return Err(self.alone(*id, self.older, self.newer));
            }
        }
        for (id, row) in news {
            if self.leads_back(row)? && alike && !olds.contains_key(id) {
                return Err(self.alone(*id, self.newer, self.older));
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

    fn alone(&self, id: Uuid, with: &FleetDevice, without: &FleetDevice) -> Error {
        let [with, without] = [with, without].map(|device| self.fleet.label(device));
        Error::abort(format!("{with} shows row {id} of '{}', {without} doesn't", self.was.table))
    }

    /// Whether the newer version has a value for each column of a row of the older one.
    fn comes_along(&self, row: &[Value]) -> Result<bool> {
        let version = self.was.version;
        for (was, value) in self.was.columns.iter().zip(row) {
            let is = self.is.columns.iter().find(|is| form_at(is, version) == (was.op_name, was.rule));
            if let Some(is) = is
                && forth(is, version, value.clone()).stored(is)?.is_none()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the older version has a value for each column of a row of the newer one.
    fn leads_back(&self, row: &[Value]) -> Result<bool> {
        for (is, value) in self.is.columns.iter().zip(row) {
            if let Some(back) = back(is, self.was.version, value.clone())
                && back.stored(is)?.is_none()
            {
                return Ok(false);
            }
        }
        Ok(true)
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

/// Whether a value of an older version and one of this version come from the same write: of the older version, whose
/// value came along, or of this one, which gave it back.
fn agree(version: u32, column: &ColumnSchema, old: &Value, new: &Value) -> bool {
    let steps = changed_since(column, version);
    if steps.clone().any(|past| matches!(past.change, Change::Rule { .. })) {
        // The new rule counts what the old one did not see.
        return true;
    }
    if steps.clone().all(|past| matches!(past.change, Change::Renamed)) {
        return old == new;
    }
    // Rows from before the column have no value that came along.
    let began_later = column.past.last().is_some_and(|past| past.since > 1);
    match (forth(column, version, old.clone()), back(column, version, new.clone())) {
        _ if began_later => true,
        (Converted::To(forth), Some(Converted::To(back))) => forth == *new || back == *old,
        // A value that isn't of the type changes nothing: the other version goes on showing the one before.
        _ => true,
    }
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
