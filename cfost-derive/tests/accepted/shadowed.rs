//! A module that has its own `Result`, `Option`, `String` and more: the derives' code means the
//! standard library's where it says so, and the module's where the fields say so.

use cfost::Uuid;
use cfost::schema::Value;
use cfost::{Synced, SyncedValue};

#[derive(SyncedValue, Debug, PartialEq, Clone)]
struct String(i64);

type Vec = bool;
type Real = std::option::Option<std::string::String>;

#[allow(dead_code)]
enum Result {
    Ok,
    Err,
}
#[allow(dead_code)]
struct Option;
#[allow(dead_code)]
trait Default {}
#[allow(dead_code)]
trait Clone {}
#[allow(dead_code)]
trait Copy {}
#[allow(dead_code)]
struct Set;
#[allow(dead_code)]
struct Col;
#[allow(dead_code, non_camel_case_types)]
struct str;
#[allow(dead_code, non_snake_case)]
fn Ok() {}
#[allow(dead_code, non_snake_case)]
fn Some() {}
#[allow(dead_code)]
mod core {}

#[derive(Synced, Debug, PartialEq)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    done: Vec,
    notes: Real,
    #[synced(skip)]
    draft: bool,
    kind: Kind,
    #[crdt(set)]
    tags: std::collections::BTreeSet<std::string::String>,
}

#[derive(SyncedValue, Debug, PartialEq)]
enum Kind {
    Some,
    #[synced(other)]
    None,
}

#[test]
fn names_of_the_standard_library_may_be_the_apps() {
    let row = Todo {
        id: Uuid::from_u128(1),
        title: String(5),
        done: true,
        notes: None,
        draft: false,
        kind: Kind::Some,
        tags: std::collections::BTreeSet::new(),
    };
    let stored = crate::stored(&row);
    assert_eq!(stored, [Value::Integer(5), Value::Integer(1), Value::Null, Value::Text("Some".into())]);
    assert_eq!(crate::read::<Todo>(row.id, &stored), row);
    assert_ne!(row.kind, Kind::None);
    assert_eq!(crate::kept(row).title, String(5));
}
