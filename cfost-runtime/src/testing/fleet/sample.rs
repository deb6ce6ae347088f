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
    /// A value for a column, one of the app's if it has given any, and one that the upgrade functions of all versions
    /// take for a value of their types, if that is found.
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
        if let Some(encrypted) = &column.encrypted {
            let given = self.given(random, (schema.table, column.name, encrypted.sql_type), encrypted.nullable);
            return Ok(values::to_seal(given.unwrap_or_else(|| values::inside(random, encrypted))));
        }
        let later = self.later(schema, column);
        let of = (schema.table, column.name, column.sql_type);
        let mut drawn = match self.given(random, of, column.nullable) {
            Some(given) => given,
            None => values::value(random, column, named),
        };
        for _ in 0..DRAWS {
            if is_readable(schema, column, &later, &drawn)? {
                break;
            }
            drawn = self.draw(random, schema, column, &later)?;
        }
        Ok(drawn)
    }

    /// One of the values that the app has given for a column of a type.
    fn given(
        &self,
        random: &mut Random,
        (table, name, sql_type): (&str, &str, SqlType),
        nullable: bool,
    ) -> Option<ValueRef<'static>> {
        let of_column = self.samples.iter().filter(|of| of.table == table && of.column == name).map(|of| &of.value);
        let given: Vec<&Value> = of_column.filter(|value| fits(value, sql_type, nullable)).collect();
        (!given.is_empty()).then(|| (*random.pick(&given)).clone().into())
    }

    /// Draws a value, which may be one that an upgrade gives.
    fn draw(
        &self,
        random: &mut Random,
        schema: &ModelSchema,
        column: &ColumnSchema,
        later: &[&'static ColumnSchema],
    ) -> Result<ValueRef<'static>> {
        let mut any = |name, sql_type| {
            let given = self.given(random, (schema.table, name, sql_type), false);
            given.unwrap_or_else(|| values::of_type(random, sql_type))
        };
        let own = any(column.name, column.sql_type);
        let before = column.past.iter().find(|past| matches!(past.change, Change::Upgraded { .. }));
        let old = before.map(|past| (past.since, any(past.name, past.sql_type)));
        let new = later.last().map(|later| (later, any(later.name, later.sql_type)));
        let converted = match (old, new) {
            (Some((since, old)), _) if random.percent(60) => forth(column, since, old.into_owned()).stored(column)?,
            (_, Some((later, new))) if random.percent(60) => {
                back(later, schema.version, new.into_owned()).map_or(Ok(None), |value| value.stored(later))?
            }
            _ => None,
        };
        Ok(converted.map_or(own, Into::into))
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

/// Whether a column of a type can hold a value.
fn fits(value: &Value, sql_type: SqlType, nullable: bool) -> bool {
    match value {
        Value::Null => nullable,
        Value::Integer(_) => sql_type == SqlType::Integer,
        Value::Real(_) => sql_type == SqlType::Real,
        Value::Text(_) => sql_type == SqlType::Text,
        Value::Blob(_) => sql_type == SqlType::Blob,
    }
}
