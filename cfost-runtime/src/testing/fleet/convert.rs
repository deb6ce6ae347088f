//! Values on their way from one version to another, by the app's upgrade functions.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Result};
use crate::schema::{Change, ColumnSchema, Convert, MergeRule, Past, Value};

/// What came of a value.
pub(super) enum Converted {
    To(Value),
    /// It is none of the type that a function takes, or what came out can't be stored.
    Refused,
    /// A function panicked, given this value.
    Panicked(Value),
}

impl Converted {
    fn then(self, function: Convert) -> Self {
        let Self::To(value) = self else { return self };
        match catch_unwind(AssertUnwindSafe(|| function(value.as_ref()))) {
            Ok(Ok(value)) => Self::To(value),
            Ok(Err(_)) => Self::Refused,
            Err(_) => Self::Panicked(value),
        }
    }

    /// What came out; `None` if the value wasn't one of the function's type.
    ///
    /// # Errors
    /// When a function panicked: an upgrade has to have a result for every value.
    pub(super) fn stored(self, column: &ColumnSchema) -> Result<Option<Value>> {
        match self {
            Self::To(value) => Ok(Some(value)),
            Self::Refused => Ok(None),
            Self::Panicked(value) => {
                let (name, value) = (column.name, value.as_ref());
                Err(Error::abort(format!(
                    "the upgrade of '{name}' panics when it is given {value}: it must have a result for every value"
                )))
            }
        }
    }
}

/// What ops of a version call a column, and how it merged then.
pub(super) fn form_at(column: &ColumnSchema, version: u32) -> (&'static str, MergeRule) {
    let then = changed_since(column, version).last();
    then.map_or((column.op_name, column.rule), |past| (past.op_name, past.rule))
}

/// What a column was from a version on, newest first.
pub(super) fn changed_since(column: &ColumnSchema, version: u32) -> impl Iterator<Item = &Past> + Clone {
    column.past.iter().take_while(move |past| version < past.until)
}

/// What a value of an earlier version is now.
pub(super) fn forth(column: &ColumnSchema, from: u32, value: Value) -> Converted {
    let steps: Vec<&Past> = changed_since(column, from).collect();
    steps.iter().rev().fold(Converted::To(value), |value, past| match past.change {
        Change::Upgraded { with, .. } => value.then(with),
        _ => value,
    })
}

/// What an earlier version is told of a value; `None` if it isn't told of it.
pub(super) fn back(column: &ColumnSchema, to: u32, value: Value) -> Option<Converted> {
    changed_since(column, to).try_fold(Converted::To(value), |value, past| match past.change {
        Change::Upgraded { back, .. } => Some(value.then(back?)),
        _ => Some(value),
    })
}
