//! Text: TEXT. Bytes and UUIDs: BLOB.

use std::borrow::Cow;

use uuid::Uuid;

use super::{NoLiteral, SyncedValue};
use crate::schema::{SqlType, ValueError, ValueRef};

impl SyncedValue for String {
    const TYPE: SqlType = SqlType::Text;

    type Literal = &'static str;

    fn encode(&self) -> Result<ValueRef<'_>, ValueError> {
        Ok(ValueRef::Text(Cow::Borrowed(self)))
    }

    fn decode(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Text(text) => Ok(text.into_owned()),
            other => Err(ValueError::Kind { expected: "text", found: other.kind() }),
        }
    }
}

impl SyncedValue for Vec<u8> {
    const TYPE: SqlType = SqlType::Blob;

    type Literal = &'static [u8];

    fn encode(&self) -> Result<ValueRef<'_>, ValueError> {
        Ok(ValueRef::Blob(Cow::Borrowed(self)))
    }

    fn decode(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Blob(bytes) => Ok(bytes.into_owned()),
            other => Err(ValueError::Kind { expected: "bytes", found: other.kind() }),
        }
    }
}

impl SyncedValue for Uuid {
    const TYPE: SqlType = SqlType::Blob;

    type Literal = NoLiteral;

    fn encode(&self) -> Result<ValueRef<'_>, ValueError> {
        Ok(ValueRef::Blob(Cow::Borrowed(self.as_bytes())))
    }

    fn decode(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Blob(bytes) => Uuid::from_slice(&bytes)
                .map_err(|error| ValueError::Invalid { target: "Uuid", reason: error.to_string() }),
            other => Err(ValueError::Kind { expected: "bytes", found: other.kind() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Column;

    #[test]
    fn text_and_bytes_are_borrowed_when_stored_and_come_back_the_same() {
        let text = String::from("Übung");
        assert!(matches!(SyncedValue::encode(&text), Ok(ValueRef::Text(Cow::Borrowed("Übung")))));
        assert_eq!(<String as SyncedValue>::decode(SyncedValue::encode(&text).unwrap()).unwrap(), text);
        let bytes = vec![0, 255, 7];
        assert!(matches!(SyncedValue::encode(&bytes), Ok(ValueRef::Blob(Cow::Borrowed([0, 255, 7])))));
        assert_eq!(<Vec<u8> as SyncedValue>::decode(SyncedValue::encode(&bytes).unwrap()).unwrap(), bytes);
        let id = Uuid::from_u128(7);
        assert_eq!(<Uuid as SyncedValue>::decode(SyncedValue::encode(&id).unwrap()).unwrap(), id);
    }

    #[test]
    fn bytes_of_another_length_are_no_uuid() {
        let error = <Uuid as SyncedValue>::decode(ValueRef::Blob(Cow::Borrowed(&[1, 2, 3]))).unwrap_err();
        assert!(matches!(error, ValueError::Invalid { target: "Uuid", .. }), "{error}");
    }

    #[test]
    fn an_option_is_null_when_there_is_none_and_only_then() {
        let some = Some(String::new());
        assert_eq!(Column::encode(&some).unwrap(), ValueRef::Text("".into()));
        assert_eq!(Column::encode(&None::<String>).unwrap(), ValueRef::Null);
        assert_eq!(Option::<String>::decode(ValueRef::Null).unwrap(), None);
        assert_eq!(<String as Column>::decode(ValueRef::Null).unwrap_err().to_string(), "expected text, found NULL");
        const { assert!(Option::<String>::NULLABLE && !<String as Column>::NULLABLE) };
    }
}
