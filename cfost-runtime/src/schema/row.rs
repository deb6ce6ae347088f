//! How a struct's fields become the values of a row, and back.

use super::{CollectAs, Column, Element, EncryptedField, MergeAs, ModelSchema, ValueError, ValueRef};
#[cfg(feature = "text")]
use super::{MergeText, Text, TextValue};

/// What a row's fields hold.
#[derive(Clone, Debug, Default)]
pub struct RowValues<'a> {
    /// The values, in the order of [`ModelSchema::columns`].
    pub columns: Vec<ValueRef<'a>>,
    /// The elements, in the order of [`ModelSchema::collections`].
    pub collections: Vec<Vec<Element<'a>>>,
    /// What the columns with the rule `text` have beside their plain text, in the order of the columns.
    #[cfg(feature = "text")]
    pub texts: Vec<TextValue<'a>>,
}

impl<'a> RowValues<'a> {
    /// What a row holds whose texts, if it has any, are read elsewhere.
    pub fn new(columns: Vec<ValueRef<'a>>, collections: Vec<Vec<Element<'a>>>) -> Self {
        Self {
            columns,
            collections,
            #[cfg(feature = "text")]
            texts: Vec::new(),
        }
    }

    /// With what the row's texts have beside their plain text, in the order of the columns.
    #[cfg(feature = "text")]
    #[must_use]
    pub fn with_texts(self, texts: Vec<TextValue<'a>>) -> Self {
        Self { texts, ..self }
    }
}

/// Collects what a row's fields hold, in the order of the model's columns.
#[derive(Debug)]
pub struct RowEncoder<'a> {
    schema: &'static ModelSchema,
    values: RowValues<'a>,
    error: Option<(&'static str, ValueError)>,
}

impl<'a> RowEncoder<'a> {
    /// An empty row of the model.
    pub fn new(schema: &'static ModelSchema) -> Self {
        let columns = Vec::with_capacity(schema.columns.len());
        Self { schema, values: RowValues { columns, ..RowValues::default() }, error: None }
    }

    /// Adds the next column's value. The first value that can't be stored is reported at the end.
    pub fn push<T: Column>(&mut self, field: &'a T) {
        self.add(field.encode());
    }

    /// Adds the next column's value, of a field that merges by the rule `R`.
    pub fn push_merged<T: MergeAs<R>, R>(&mut self, field: &'a T) {
        self.add(field.encode());
    }

    /// Adds the next column's value, of an encrypted field, in the form that the store seals.
    pub fn push_encrypted<T: EncryptedField>(&mut self, field: &'a T) {
        self.add(field.encode_form());
    }

    fn add(&mut self, value: Result<ValueRef<'a>, ValueError>) {
        match value {
            Ok(value) => self.values.columns.push(value),
            Err(error) => {
                let column = self.schema.columns.get(self.values.columns.len());
                self.error.get_or_insert((column.map_or(self.schema.model, |column| column.field), error));
                self.values.columns.push(ValueRef::Null);
            }
        }
    }

    /// Adds the next column's text, which has the rule `text`.
    #[cfg(feature = "text")]
    pub fn push_text<T: MergeText>(&mut self, field: &'a T) {
        let text = field.text();
        self.add(match text.error() {
            None => Ok(ValueRef::Text(text.as_str().into())),
            Some(error) => Err(error.clone().into()),
        });
        self.values.texts.push(TextValue::Edited(text));
    }

    /// Adds the next collection's elements.
    pub fn push_elements<T: CollectAs<R>, R>(&mut self, field: &'a T) {
        match field.elements() {
            Ok(elements) => self.values.collections.push(elements),
            Err(error) => {
                let collection = self.schema.collections.get(self.values.collections.len());
                let name = collection.map_or(self.schema.model, |collection| collection.field);
                self.error.get_or_insert((name, error));
                self.values.collections.push(Vec::new());
            }
        }
    }

    /// What the fields hold, or the first field that can't be stored and why.
    ///
    /// # Errors
    /// The field's name and what is wrong with its value.
    pub fn finish(self) -> Result<RowValues<'a>, (&'static str, ValueError)> {
        match self.error {
            None => Ok(self.values),
            Some(error) => Err(error),
        }
    }
}

/// Hands out what a row's fields hold, in the order of the model's columns.
#[derive(Debug)]
pub struct RowDecoder<'a> {
    schema: &'static ModelSchema,
    columns: std::vec::IntoIter<ValueRef<'a>>,
    collections: std::vec::IntoIter<Vec<Element<'a>>>,
    #[cfg(feature = "text")]
    texts: std::vec::IntoIter<TextValue<'a>>,
    field: &'static str,
}

impl<'a> RowDecoder<'a> {
    /// A decoder over a row.
    pub fn new(schema: &'static ModelSchema, values: RowValues<'a>) -> Self {
        let (columns, collections) = (values.columns.into_iter(), values.collections.into_iter());
        Self {
            schema,
            columns,
            collections,
            #[cfg(feature = "text")]
            texts: values.texts.into_iter(),
            field: schema.model,
        }
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

    /// The next column's value as an encrypted field, of the form that the store opened.
    ///
    /// # Errors
    /// When the value isn't one of the field's type.
    pub fn pull_encrypted<T: EncryptedField>(&mut self) -> Result<T, ValueError> {
        T::decode_form(self.take())
    }

    /// The next column's text, which has the rule `text`.
    ///
    /// # Errors
    /// When the value isn't text.
    #[cfg(feature = "text")]
    pub fn pull_text<T: MergeText>(&mut self) -> Result<T, ValueError> {
        let plain = self.pull()?;
        Ok(T::from_text(match self.texts.next() {
            Some(TextValue::Stored(stored)) => Text::stored(plain, Some(stored)),
            Some(TextValue::Edited(text)) => text.clone(),
            None => Text::stored(plain, None),
        }))
    }

    /// The next collection's elements as a field that merges by the rule `R`.
    ///
    /// # Errors
    /// When an element isn't one of the field's type.
    pub fn pull_elements<T: CollectAs<R>, R>(&mut self) -> Result<T, ValueError> {
        let read = self.schema.collections.len().saturating_sub(self.collections.len());
        self.field = self.schema.collections.get(read).map_or(self.schema.model, |collection| collection.field);
        T::from_elements(self.collections.next().unwrap_or_default())
    }

    fn take(&mut self) -> ValueRef<'a> {
        let read = self.schema.columns.len().saturating_sub(self.columns.len());
        self.field = self.schema.columns.get(read).map_or(self.schema.model, |column| column.field);
        self.columns.next().unwrap_or(ValueRef::Null)
    }

    /// The field that was read last: the one that an error is about.
    pub fn field(&self) -> &'static str {
        self.field
    }
}
