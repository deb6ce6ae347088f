//! How a struct's fields become the values of a row, and back.

use super::{Column, MergeAs, ModelSchema, ValueError, ValueRef};

/// Collects the values of a row, in the order of the model's columns.
#[derive(Debug)]
pub struct RowEncoder<'a> {
    schema: &'static ModelSchema,
    values: Vec<ValueRef<'a>>,
    error: Option<(&'static str, ValueError)>,
}

impl<'a> RowEncoder<'a> {
    /// An empty row of the model.
    pub fn new(schema: &'static ModelSchema) -> Self {
        Self { schema, values: Vec::with_capacity(schema.columns.len()), error: None }
    }

    /// Adds the next column's value. The first value that can't be stored is reported at the end.
    pub fn push<T: Column>(&mut self, field: &'a T) {
        match field.encode() {
            Ok(value) => self.values.push(value),
            Err(error) => {
                let column = self.schema.columns.get(self.values.len());
                let name = column.map_or(self.schema.model, |column| column.field);
                self.error.get_or_insert((name, error));
                self.values.push(ValueRef::Null);
            }
        }
    }

    /// The values, or the first field that can't be stored and why.
    ///
    /// # Errors
    /// The field's name and what is wrong with its value.
    pub fn finish(self) -> Result<Vec<ValueRef<'a>>, (&'static str, ValueError)> {
        match self.error {
            None => Ok(self.values),
            Some(error) => Err(error),
        }
    }
}

/// Hands out the values of a row, in the order of the model's columns.
#[derive(Debug)]
pub struct RowDecoder<'a> {
    values: std::vec::IntoIter<ValueRef<'a>>,
    read: usize,
}

impl<'a> RowDecoder<'a> {
    /// A decoder over a row's values.
    pub fn new(values: Vec<ValueRef<'a>>) -> Self {
        Self { values: values.into_iter(), read: 0 }
    }

    /// The next column's value as a field.
    ///
    /// # Errors
    /// When the value isn't one of the field's type.
    pub fn pull<T: Column>(&mut self) -> Result<T, ValueError> {
        T::decode(self.take())
    }

    /// The next column's value as a field that merges by the rule `R`.
    ///
    /// # Errors
    /// When the value isn't one of the field's type.
    pub fn pull_merged<T: MergeAs<R>, R>(&mut self) -> Result<T, ValueError> {
        T::from_merged(self.take())
    }

    fn take(&mut self) -> ValueRef<'a> {
        self.read += 1;
        self.values.next().unwrap_or(ValueRef::Null)
    }

    /// How many values have been read: names the column that an error is about.
    pub fn read(&self) -> usize {
        self.read
    }
}
