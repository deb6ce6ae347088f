//! What a version made of the columns of the one before, as far as the two shapes don't tell.

use crate::schema::shape::{ColumnShape, ColumnType};
use crate::schema::{Change, ColumnSchema, MergeRule, ModelSchema, Past, Shape, Value, ValueRef};

/// What a version made of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Functions made another column of it.
    Upgraded {
        /// The column's name in this version.
        column: String,
        /// Its type.
        is: ColumnType,
        /// Its name in the version before.
        from: String,
        /// Its type there.
        was: ColumnType,
        /// Whether older versions are given values that they can read.
        back: bool,
        /// The functions, as the attribute names them.
        functions: String,
    },
    /// It merges by another rule.
    Merges {
        /// The column's name in this version.
        column: String,
        /// The rule.
        is: MergeRule,
        /// The rule before.
        was: MergeRule,
        /// Whether older versions are given what it shows.
        back: bool,
    },
    /// It is gone.
    Removed {
        /// Its name in the version before.
        column: String,
        /// What older versions read in rows that later ones create; `None` if they can do without.
        filler: Option<Value>,
    },
}

impl Step {
    /// The name of the column: the one of this version, or the last that it had.
    pub fn column(&self) -> &str {
        match self {
            Self::Upgraded { column, .. } | Self::Merges { column, .. } | Self::Removed { column, .. } => column,
        }
    }
}

/// What a version of the model made of the one before, ordered by column.
pub(super) fn steps(schema: &ModelSchema, version: u32) -> Vec<Step> {
    let shape = Shape::of(schema, version);
    let columns = schema.columns.iter().filter_map(|column| step(column, &shape, version));
    let removed = schema.removed.iter().flat_map(|forms| steps_of_removed(forms, &shape, version));
    let mut steps: Vec<Step> = columns.chain(removed).collect();
    steps.sort_by(|a, b| a.column().cmp(b.column()));
    steps
}

fn step(column: &ColumnSchema, shape: &Shape, version: u32) -> Option<Step> {
    let (place, past) = column.past.iter().enumerate().find(|(_, past)| past.until == version)?;
    let (name, op_name) = match place.checked_sub(1) {
        Some(next) => (column.past[next].name, column.past[next].op_name),
        None => (column.name, column.op_name),
    };
    changed(past, shape, name, op_name)
}

fn steps_of_removed(forms: &[Past], shape: &Shape, version: u32) -> Option<Step> {
    let (place, past) = forms.iter().enumerate().find(|(_, past)| past.until == version)?;
    match past.change {
        Change::Removed { filler } => {
            let filler = filler.map(|constant| ValueRef::from(constant).into_owned());
            Some(Step::Removed { column: past.name.to_owned(), filler })
        }
        _ => forms.get(place.checked_sub(1)?).and_then(|next| changed(past, shape, next.name, next.op_name)),
    }
}

/// What became of a past form of a column, which has this name now.
fn changed(past: &Past, shape: &Shape, name: &str, op_name: &str) -> Option<Step> {
    let now: &ColumnShape = shape.columns.iter().find(|column| column.name == name && column.op_name == op_name)?;
    match past.change {
        Change::Upgraded { back, .. } => Some(Step::Upgraded {
            column: name.to_owned(),
            is: now.kind?,
            from: past.name.to_owned(),
            was: ColumnType { sql_type: past.sql_type, nullable: past.nullable },
            back: back.is_some(),
            functions: past.functions.to_owned(),
        }),
        Change::Rule { back } => Some(Step::Merges { column: name.to_owned(), is: now.rule, was: past.rule, back }),
        Change::Renamed | Change::Removed { .. } => None,
    }
}
