//! Values for the columns of a version that mean something to the other versions.

use super::super::random::Random;
use super::super::values;
use super::Fleet;
use super::convert::{back, form_at, forth};
use crate::error::Result;
use crate::schema::{Change, ColumnSchema, ModelSchema, SqlType, Value, ValueRef};

/// How many values are drawn at most to find one that all versions can read.
const DRAWS: usize = 12;

impl Fleet {
    /// A value for a column, of the app's samples if it has given any, else one that the upgrade functions of all
    /// versions take for a value of their types, if that is found.
    ///
    /// # Errors
    /// When a function panics: it has to have a result for every value.
    pub(super) fn sample(
        &self,
        random: &mut Random,
        schema: &ModelSchema,
        column: &ColumnSchema,
        named: &[uuid::Uuid],
    ) -> Result<ValueRef<'static>> {
        if column.reference.is_some() {
            return Ok(values::value(random, column, named));
        }
        let given = self.samples.iter().filter(|of| of.table == schema.table && of.column == column.name);
        let given: Vec<&Value> = given.map(|of| &of.value).filter(|value| fits(value, column)).collect();
        let later = self.later(schema, column);
        if !given.is_empty() {
            let value: ValueRef<'static> = (*random.pick(&given)).clone().into();
            is_readable(schema, column, &later, &value)?;
            return Ok(value);
        }
        let mut drawn = values::value(random, column, named);
        for _ in 0..DRAWS {
            if is_readable(schema, column, &later, &drawn)? {
                break;
            }
            drawn = draw(random, schema, column, &later)?;
        }
        Ok(drawn)
    }

    /// What later versions made of a column.
    fn later(&self, schema: &ModelSchema, column: &ColumnSchema) -> Vec<&'static ColumnSchema> {
        let models = self.versions.iter().flat_map(|version| &version.models).map(|model| model.schema);
        let later = models.filter(|later| later.table == schema.table && later.version > schema.version);
        let columns = later.flat_map(|later| later.columns);
        columns.filter(|later| form_at(later, schema.version) == (column.op_name, column.rule)).collect()
    }
}

/// Whether the functions of all versions take a value for one of their types.
fn is_readable(
    schema: &ModelSchema,
    column: &ColumnSchema,
    later: &[&ColumnSchema],
    value: &ValueRef<'_>,
) -> Result<bool> {
    let value = value.clone().into_owned();
    let mut readable = true;
    for later in later {
        readable &= forth(later, schema.version, value.clone()).stored(later)?.is_some();
    }
    for past in column.past {
        readable &= match back(column, past.since, value.clone()) {
            None => true,
            Some(value) => value.stored(column)?.is_some(),
        };
    }
    Ok(readable)
}

/// Draws a value, which may be one that an upgrade gives.
fn draw(
    random: &mut Random,
    schema: &ModelSchema,
    column: &ColumnSchema,
    later: &[&'static ColumnSchema],
) -> Result<ValueRef<'static>> {
    let before = column.past.iter().find(|past| matches!(past.change, Change::Upgraded { .. }));
    let converted = match (before, later.last()) {
        (Some(past), _) if random.percent(60) => {
            let old = values::of_type(random, past.sql_type).into_owned();
            forth(column, past.since, old).stored(column)?
        }
        (_, Some(later)) if random.percent(60) => {
            let new = values::of_type(random, later.sql_type).into_owned();
            back(later, schema.version, new).map_or(Ok(None), |value| value.stored(later))?
        }
        _ => None,
    };
    Ok(converted.map_or_else(|| values::of_type(random, column.sql_type), Into::into))
}

/// Whether a column can hold a value.
fn fits(value: &Value, column: &ColumnSchema) -> bool {
    match value {
        Value::Null => column.nullable,
        Value::Integer(_) => column.sql_type == SqlType::Integer,
        Value::Real(_) => column.sql_type == SqlType::Real,
        Value::Text(_) => column.sql_type == SqlType::Text,
        Value::Blob(_) => column.sql_type == SqlType::Blob,
    }
}
