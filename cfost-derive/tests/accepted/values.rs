//! Enums in columns.

use cfost::prelude::*;
use cfost::schema::{SyncedValue as Stored, ValueRef};

#[derive(SyncedValue, Debug, Clone, Copy, PartialEq)]
enum Priority {
    Low = 10,
    #[synced(rename = "HIGH!")]
    High,
    r#Self_,
    #[synced(other, rename = "?")]
    Unknown,
}

#[test]
fn an_enum_is_stored_as_its_variants_name() {
    let all =
        [(Priority::Low, "Low"), (Priority::High, "HIGH!"), (Priority::r#Self_, "Self_"), (Priority::Unknown, "?")];
    for (priority, text) in all {
        assert_eq!(Stored::encode(&priority).unwrap(), ValueRef::Text(text.into()));
        assert_eq!(<Priority as Stored>::decode(ValueRef::Text(text.into())).unwrap(), priority);
    }
    assert_eq!(Priority::Low as u8, 10);
}

#[test]
fn a_variant_of_a_newer_app_is_read_as_the_one_marked_other() {
    assert_eq!(<Priority as Stored>::decode(ValueRef::Text("Urgent".into())).unwrap(), Priority::Unknown);
}

#[test]
fn what_is_no_text_is_no_variant() {
    let error = <Priority as Stored>::decode(ValueRef::Integer(1)).unwrap_err();
    assert_eq!(error.to_string(), "expected text, found an integer");
}
