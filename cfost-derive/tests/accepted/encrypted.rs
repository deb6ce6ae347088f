//! Encrypted fields: what is derived of them, and that rows come back.

use cfost::prelude::*;
use cfost::schema::{Constant, EncryptedFor, SqlType, Value};

use super::{columns, kept};

#[derive(SyncedValue, Debug, Clone, Copy, Default, PartialEq, Eq)]
struct PatientId(Uuid);

type Secret<T> = Encrypted<T>;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(version = 3)]
struct Visit {
    #[synced(id)]
    id: Uuid,
    #[synced(column = "for_patient")]
    patient: Option<PatientId>,
    reason: String,
    /// By another name, in an alias.
    #[synced(encrypted = patient, renamed_from("finding", in = 2), column = "diagnosis")]
    found: Secret<String>,
    #[synced(encrypted, immutable)]
    weight: Encrypted<f64>,
    #[synced(encrypted, since = 2)]
    note: Encrypted<Option<String>>,
    #[synced(encrypted, since = 3, backfill = -1)]
    pain: Encrypted<i64>,
    #[synced(encrypted, default = "none")]
    allergy: Encrypted<String>,
    #[synced(encrypted)]
    photo: Encrypted<Vec<u8>>,
}

#[test]
fn an_encrypted_field_is_bytes_to_the_database_and_says_what_is_inside() {
    let names = ["for_patient", "reason", "diagnosis", "weight", "allergy", "photo", "note", "pain"];
    assert_eq!(columns::<Visit>(), names);
    let column = |name: &str| Visit::SCHEMA.columns.iter().find(|column| column.name == name).unwrap();
    for name in &names[2..] {
        assert_eq!((column(name).sql_type, column(name).nullable, column(name).default), (SqlType::Blob, true, None));
    }
    let inside = |name: &str| column(name).encrypted.unwrap();
    assert_eq!(inside("diagnosis").key, EncryptedFor::Column("for_patient"));
    assert_eq!(inside("note").key, EncryptedFor::Home);
    assert_eq!((inside("note").sql_type, inside("note").nullable), (SqlType::Text, true));
    assert_eq!((inside("weight").sql_type, inside("weight").nullable), (SqlType::Real, false));
    assert_eq!(
        (inside("pain").default, inside("allergy").default),
        (Some(Constant::Integer(-1)), Some(Constant::Text("none")))
    );
    assert!(column("weight").immutable && !column("note").immutable);
    assert!(column("for_patient").immutable, "what was sealed stays sealed for one space");
    assert_eq!(column("diagnosis").op_name, "finding", "a rename moves no value");
}

#[test]
fn a_row_comes_back_as_it_was_written() {
    let visit = Visit {
        reason: "cough".into(),
        found: "a cold".to_owned().into(),
        weight: 71.5.into(),
        note: Some("call back".to_owned()).into(),
        pain: 3.into(),
        photo: vec![0, 1, 2].into(),
        ..Visit::default()
    };
    let found = kept(visit.clone());
    assert_eq!(Visit { id: visit.id, ..found }, visit);
}

#[test]
fn the_table_has_nothing_of_the_value() {
    let db = cfost::Db::open_in_memory(models![Visit]).unwrap();
    db.insert(Visit { note: Some("call back".to_owned()).into(), ..Visit::default() }).unwrap();
    let bytes: Vec<(Vec<u8>,)> = db.sql("SELECT note FROM visit").rows().unwrap();
    assert_eq!(bytes[0].0[0], 1, "the version of the layout");
    assert!(!bytes[0].0.windows(9).any(|part| part == b"call back"));
    let ops = db.oplog().unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let data = &ops[0].data.iter().find(|(name, _)| name == "note").unwrap().1;
    assert_eq!(data, &cfost::store::OpData::Write(Value::Blob(bytes[0].0.clone())));
}
