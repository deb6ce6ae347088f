//! [`Text`] in a column.

use std::sync::Arc;

use super::{Column, MergeAs, NoLiteral};
use crate::crdt::text::{Stored, Text};
use crate::schema::{MergeRule, SqlType, ValueError, ValueRef, rule};

/// What a text has beside the plain text in its column.
#[derive(Clone, Debug)]
pub enum TextValue<'a> {
    /// The text that a row holds, with the edits made to it.
    Edited(&'a Text),
    /// What the database keeps of the document.
    Stored(Arc<Stored>),
}

impl Column for Text {
    const TYPE: SqlType = SqlType::Text;
    const NULLABLE: bool = false;

    type Literal = NoLiteral;

    fn encode(&self) -> Result<ValueRef<'_>, ValueError> {
        match self.error() {
            Some(error) => Err(error.clone().into()),
            None => Ok(ValueRef::Text(self.as_str().into())),
        }
    }

    fn decode(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Text(text) => Ok(Self::stored(text.into_owned(), None)),
            other => Err(ValueError::Kind { expected: "text", found: other.kind() }),
        }
    }
}

impl MergeAs<rule::Text> for Text {
    const RULE: MergeRule = MergeRule::Text;

    fn from_merged(value: ValueRef<'_>) -> Result<Self, ValueError> {
        Column::decode(value)
    }
}
