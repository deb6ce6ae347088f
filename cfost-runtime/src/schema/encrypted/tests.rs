//! The form that an encrypted value has between the struct and the store.

use super::*;

fn there_and_back<T: Column + Clone + PartialEq + fmt::Debug>(value: T) {
    let field = Encrypted::Open(value);
    let form = field.encode_form().unwrap().into_owned();
    assert_eq!(Encrypted::<T>::decode_form(form.as_ref()).unwrap(), field);
}

#[test]
fn every_type_of_value_can_be_encrypted() {
    there_and_back(7_i64);
    there_and_back(true);
    there_and_back(-1.5_f64);
    there_and_back("call back".to_owned());
    there_and_back(vec![0_u8, 1, 2]);
    there_and_back(uuid::Uuid::from_u128(7));
    there_and_back(None::<String>);
    there_and_back(Some(String::new()));
}

#[test]
fn a_value_that_no_column_holds_is_none_to_encrypt_either() {
    assert_eq!(Encrypted::Open(f64::NAN).encode_form(), Err(ValueError::Nan));
}

#[test]
fn what_is_locked_keeps_its_bytes_and_says_why() {
    let locked: Encrypted<String> = Encrypted::Locked(Locked { why: WhyLocked::Damaged, sealed: vec![1, 2, 3] });
    let form = locked.encode_form().unwrap().into_owned();
    assert_eq!(Encrypted::<String>::decode_form(form.as_ref()).unwrap(), locked);
    assert_eq!((locked.open(), locked.why_locked()), (None, Some(WhyLocked::Damaged)));
    assert_eq!(format!("{locked:?}"), "Locked(Locked { why: Damaged, bytes: 3 })");
}

#[test]
fn bytes_that_are_no_form_are_refused() {
    for bytes in [&[][..], &[OPEN], &[OPEN, 99], &[NO_KEY, 1, 2], &[200, 0]] {
        let value = ValueRef::Blob(bytes.into());
        assert!(Encrypted::<i64>::decode_form(value).is_err(), "{bytes:?}");
    }
    assert!(Encrypted::<i64>::decode_form(ValueRef::Integer(1)).is_err());
}

#[test]
fn what_is_opened_must_be_of_the_fields_type() {
    let text = EncryptedSchema { key: EncryptedFor::Home, sql_type: SqlType::Text, nullable: false, default: None };
    let plain = |value| plain_of(&open_form(value).unwrap()).unwrap().to_vec();
    assert!(opened_form(&plain(ValueRef::Text("a".into())), &text).is_some());
    assert!(opened_form(&plain(ValueRef::Integer(1)), &text).is_none());
    assert!(opened_form(&plain(ValueRef::Null), &text).is_none());
    assert!(opened_form(&plain(ValueRef::Null), &EncryptedSchema { nullable: true, ..text }).is_some());
    assert!(opened_form(&[plain(ValueRef::Text("a".into())), vec![0]].concat(), &text).is_none(), "more than a value");
}
