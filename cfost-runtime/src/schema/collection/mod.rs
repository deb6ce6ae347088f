//! Fields with many elements, each of which merges by itself: sets, maps and lists.

mod list;
mod map;
mod set;

pub use list::List;

use std::borrow::Cow;

use super::{Column, MergeRule, PastCollection, SqlType, ValueError, ValueRef};

/// An element of a collection, as the store keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Element<'a> {
    /// What identifies the element in its row: a set's element, a map's key, the id that a list gave its
    /// element; NULL for an element that a list has yet to give one.
    pub key: ValueRef<'a>,
    /// Where a list's element is; `None` for one that has yet to be placed, and in sets and maps.
    pub position: Option<Cow<'a, [u8]>>,
    /// A map's or a list's value; `None` in sets.
    pub value: Option<ValueRef<'a>>,
}

impl Element<'_> {
    /// The same element, borrowed from this one.
    pub fn borrowed(&self) -> Element<'_> {
        Element {
            key: self.key.borrowed(),
            position: self.position.as_deref().map(Cow::Borrowed),
            value: self.value.as_ref().map(ValueRef::borrowed),
        }
    }

    /// The element, owned.
    pub fn into_owned(self) -> Element<'static> {
        Element {
            key: self.key.into_owned().into(),
            position: self.position.map(|position| Cow::Owned(position.into_owned())),
            value: self.value.map(|value| value.into_owned().into()),
        }
    }
}

/// A field's type that holds elements which merge by the rule `R`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be merged as `{R}`",
    label = "this type has no `{R}` merge",
    note = "a set is a `BTreeSet<T>`, a map a `BTreeMap<K, V>`, a list a `List<T>`; a `HashSet` or `HashMap` would \
            show the same elements in another order on each device"
)]
pub trait CollectAs<R>: Sized {
    /// The rule, for the schema.
    const RULE: MergeRule;
    /// The type of the elements' keys.
    const KEY: SqlType;
    /// The type of the elements' values, and whether they may be NULL; `None` if they have none.
    const VALUE: Option<(SqlType, bool)>;

    /// The elements, in the field's order.
    ///
    /// # Errors
    /// When one can't be stored.
    fn elements(&self) -> Result<Vec<Element<'_>>, ValueError>;

    /// The field with these elements: a list's by position, others in any order.
    ///
    /// # Errors
    /// When one isn't of the field's type.
    fn from_elements(elements: Vec<Element<'_>>) -> Result<Self, ValueError>;
}

/// One field of a model that holds elements; a table of its own keeps them.
#[derive(Debug)]
pub struct CollectionSchema {
    /// The field's name.
    pub field: &'static str,
    /// After the model's table and `_` the name of the elements' table.
    pub name: &'static str,
    /// What ops call it: the name it had first.
    pub op_name: &'static str,
    /// The names it had, newest first.
    pub past: &'static [PastCollection],
    /// How the elements merge.
    pub rule: MergeRule,
    /// The type of the elements' keys.
    pub key: SqlType,
    /// The type of the elements' values, and whether they may be NULL; `None` if they have none.
    pub value: Option<(SqlType, bool)>,
    /// Whether rows can be found by an element of theirs: a set's element, a map's key, a list's value.
    pub indexed: bool,
    /// The model's version that the field is there since.
    pub since: u32,
}

impl CollectionSchema {
    /// A field of type `T` whose elements merge by the rule `R`.
    pub const fn of<T: CollectAs<R>, R>(field: &'static str, name: &'static str) -> Self {
        let (op_name, past) = (name, &[]);
        Self { field, name, op_name, past, rule: T::RULE, key: T::KEY, value: T::VALUE, indexed: false, since: 1 }
    }

    /// Had other names in earlier versions, newest first.
    #[must_use]
    pub const fn was(self, op_name: &'static str, past: &'static [PastCollection]) -> Self {
        Self { op_name, past, ..self }
    }

    /// There since a later version of the model than the first.
    #[must_use]
    pub const fn since(self, version: u32) -> Self {
        Self { since: version, ..self }
    }

    /// With an index over the elements.
    #[must_use]
    pub const fn indexed(self) -> Self {
        Self { indexed: true, ..self }
    }
}

/// The value of an element that must have one.
fn value<T: Column>(value: Option<ValueRef<'_>>) -> Result<T, ValueError> {
    T::decode(value.unwrap_or(ValueRef::Null))
}
