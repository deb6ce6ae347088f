//! Lists: elements with an identity, a position and a value.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use super::{CollectAs, Element, value};
use crate::schema::{Column, MergeRule, SqlType, ValueError, ValueRef, rule};

/// A list whose elements merge one by one: for fields with `#[crdt(list)]`.
///
/// It reads like a slice. What it is for is in its edits: they are edits of *elements*, not of places, so that
/// they mean the same after other devices have edited the list too. An element that two devices move at the
/// same time is in one place afterwards, that of the later move; what two devices insert at one place stays
/// together, first all of the one, then all of the other.
///
/// An index outside of the list is no panic: the edit is not made, and the `tx.insert` or `tx.update` that would
/// store the list returns [`Error::Unstorable`](crate::Error::Unstorable) with the field and the index.
///
/// Two lists are equal if their values are. A list that is made anew (`vec.into()`) and assigned to a field is
/// compared with what is stored: elements with equal values in the same order stay the elements they were.
///
/// ```
/// use cfost_runtime::schema::List;
///
/// let mut steps: List<String> = ["boil", "serve"].map(String::from).into();
/// steps.insert(1, "drain".into());
/// steps.move_to(2, 0);
/// assert_eq!(steps.join(", "), "serve, boil, drain");
/// assert_eq!(steps.remove(0).as_deref(), Some("serve"));
/// assert_eq!(steps[0], "boil");
/// ```
#[derive(Clone)]
pub struct List<T> {
    values: Vec<T>,
    /// What each value is to the store.
    names: Vec<Name>,
    /// The first edit that couldn't be made.
    refused: Option<ValueError>,
}

/// Which element of the stored list a value is; an element that isn't stored yet has neither.
#[derive(Clone, Default)]
struct Name {
    id: Option<Box<[u8]>>,
    /// Where it was, unless it has been moved since.
    position: Option<Box<[u8]>>,
}

impl<T> List<T> {
    /// An empty list.
    pub const fn new() -> Self {
        Self { values: Vec::new(), names: Vec::new(), refused: None }
    }

    /// The values.
    pub fn as_slice(&self) -> &[T] {
        &self.values
    }

    /// Appends an element.
    pub fn push(&mut self, value: T) {
        self.values.push(value);
        self.names.push(Name::default());
    }

    /// Inserts an element so that it is at `index`, which is at most the list's length.
    pub fn insert(&mut self, index: usize, value: T) {
        if index <= self.len() {
            self.values.insert(index, value);
            self.names.insert(index, Name::default());
        } else {
            self.refuse("insert", index);
        }
    }

    /// Removes the element at `index`, and returns its value.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        if index < self.len() {
            self.names.remove(index);
            Some(self.values.remove(index))
        } else {
            self.refuse("remove", index);
            None
        }
    }

    /// Removes the last element, and returns its value; `None` if there is none.
    pub fn pop(&mut self) -> Option<T> {
        self.names.pop();
        self.values.pop()
    }

    /// Moves the element at `from`, so that it is at `to` afterwards. It stays the same element.
    pub fn move_to(&mut self, from: usize, to: usize) {
        if from >= self.len() || to >= self.len() {
            self.refuse("move_to", if from >= self.len() { from } else { to });
        } else if from != to {
            let (value, mut name) = (self.values.remove(from), self.names.remove(from));
            name.position = None;
            self.values.insert(to, value);
            self.names.insert(to, name);
        }
    }

    /// Gives the element at `index` another value.
    pub fn set(&mut self, index: usize, value: T) {
        match self.values.get_mut(index) {
            Some(old) => *old = value,
            None => self.refuse("set", index),
        }
    }

    /// The value at `index`, to edit in place; `None` outside of the list.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.values.get_mut(index)
    }

    /// The values in order, to edit in place.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.values.iter_mut()
    }

    /// Removes the elements of whose values `keep` says `false`.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let kept: Vec<bool> = self.values.iter().map(&mut keep).collect();
        let mut kept_value = kept.iter();
        self.values.retain(|_| kept_value.next() == Some(&true));
        let mut kept_name = kept.iter();
        self.names.retain(|_| kept_name.next() == Some(&true));
    }

    /// Keeps the first `len` elements.
    pub fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.names.truncate(len);
    }

    /// Removes all elements.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// The values, without what makes them elements.
    pub fn into_vec(self) -> Vec<T> {
        self.values
    }

    fn refuse(&mut self, edit: &'static str, index: usize) {
        let len = self.len();
        self.refused.get_or_insert(ValueError::ListIndex { edit, index, len });
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.values.fmt(f)
    }
}

impl<T: PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl<T: Eq> Eq for List<T> {}

impl<T: PartialEq> PartialEq<[T]> for List<T> {
    fn eq(&self, other: &[T]) -> bool {
        self.values == other
    }
}

impl<T: PartialEq, const N: usize> PartialEq<[T; N]> for List<T> {
    fn eq(&self, other: &[T; N]) -> bool {
        self.values == other
    }
}

impl<T: PartialEq> PartialEq<Vec<T>> for List<T> {
    fn eq(&self, other: &Vec<T>) -> bool {
        self.values == *other
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(values: Vec<T>) -> Self {
        Self { names: values.iter().map(|_| Name::default()).collect(), values, refused: None }
    }
}

impl<T, const N: usize> From<[T; N]> for List<T> {
    fn from(values: [T; N]) -> Self {
        Vec::from(values).into()
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        values.into_iter().collect::<Vec<_>>().into()
    }
}

impl<T> Extend<T> for List<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        values.into_iter().for_each(|value| self.push(value));
    }
}

impl<T> IntoIterator for List<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.values.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.values.iter()
    }
}

impl<T: Column> CollectAs<rule::List> for List<T> {
    const RULE: MergeRule = MergeRule::List;
    const KEY: SqlType = SqlType::Blob;
    const VALUE: Option<(SqlType, bool)> = Some((T::TYPE, T::NULLABLE));

    fn elements(&self) -> Result<Vec<Element<'_>>, ValueError> {
        if let Some(refused) = &self.refused {
            return Err(refused.clone());
        }
        let mut elements = Vec::with_capacity(self.len());
        for (value, name) in self.values.iter().zip(&self.names) {
            let key = name.id.as_deref().map_or(ValueRef::Null, |id| ValueRef::Blob(Cow::Borrowed(id)));
            let position = name.position.as_deref().map(Cow::Borrowed);
            elements.push(Element { key, position, value: Some(value.encode()?) });
        }
        Ok(elements)
    }

    fn from_elements(elements: Vec<Element<'_>>) -> Result<Self, ValueError> {
        let (mut values, mut names) = (Vec::with_capacity(elements.len()), Vec::with_capacity(elements.len()));
        for element in elements {
            values.push(value(element.value)?);
            let id = match element.key {
                ValueRef::Blob(id) => Some(id.into()),
                _ => None,
            };
            names.push(Name { id, position: element.position.map(Into::into) });
        }
        Ok(Self { values, names, refused: None })
    }
}
