//! JSON of any shape: TEXT.

use std::borrow::Cow;

use super::{NoLiteral, SyncedValue};
use crate::schema::{SqlType, ValueError, ValueRef};

impl SyncedValue for serde_json::Value {
    const TYPE: SqlType = SqlType::Text;

    type Literal = NoLiteral;

    fn encode(&self) -> Result<ValueRef<'_>, ValueError> {
        Ok(ValueRef::Text(Cow::Owned(self.to_string())))
    }

    fn decode(value: ValueRef<'_>) -> Result<Self, ValueError> {
        match value {
            ValueRef::Text(text) => serde_json::from_str(&text)
                .map_err(|error| ValueError::Invalid { target: "JSON value", reason: error.to_string() }),
            other => Err(ValueError::Kind { expected: "JSON text", found: other.kind() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::schema::Column;

    #[test]
    fn json_comes_back_as_it_was_stored() {
        let value = json!({ "tags": ["a", null, true], "size": 1.5, "deep": { "n": -3 } });
        let stored = SyncedValue::encode(&value).unwrap();
        assert!(matches!(stored, ValueRef::Text(_)));
        assert_eq!(<Value as SyncedValue>::decode(stored).unwrap(), value);
    }

    #[test]
    fn jsons_null_is_text_and_none_is_sql_null() {
        assert_eq!(Column::encode(&Some(Value::Null)).unwrap(), ValueRef::Text("null".into()));
        assert_eq!(Column::encode(&None::<Value>).unwrap(), ValueRef::Null);
    }

    #[test]
    fn text_that_is_no_json_is_an_error_that_says_where() {
        let error = <Value as SyncedValue>::decode(ValueRef::Text("{".into())).unwrap_err();
        assert!(error.to_string().starts_with("not a JSON value: EOF"), "{error}");
        let deep = "[".repeat(100_000);
        assert!(<Value as SyncedValue>::decode(ValueRef::Text(deep.into())).is_err());
    }
}
