//! [`Text`] in a column.

use std::sync::Arc;

use super::Search;
use crate::crdt::text::{Stored, Text};

/// What a text has beside the plain text in its column.
#[derive(Clone, Debug)]
pub enum TextValue<'a> {
    /// The text that a row holds, with the edits made to it.
    Edited(&'a Text),
    /// What the database keeps of the document.
    Stored(Arc<Stored>),
}

impl<'a> TextValue<'a> {
    /// The text of a row's field.
    pub(crate) const fn edited(&self) -> Option<&'a Text> {
        match self {
            Self::Edited(text) => Some(text),
            Self::Stored(_) => None,
        }
    }
}

/// A field's type that merges as a text. It is no [`Column`](super::Column), so that a field can't hold one
/// and by mistake merge as a whole.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be merged as `text`",
    label = "this type has no `text` merge",
    note = "`text` fits `Text`; a `String` merges as a whole, which needs no attribute"
)]
pub trait MergeText: Sized {
    /// The text.
    fn text(&self) -> &Text;
    /// The field that holds this text.
    fn from_text(text: Text) -> Self;
}

impl MergeText for Text {
    fn text(&self) -> &Text {
        self
    }

    fn from_text(text: Text) -> Self {
        text
    }
}

impl Search for Text {}
