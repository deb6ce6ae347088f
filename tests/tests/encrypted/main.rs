//! Encrypted fields: who reads them, what is left of them where they can't be read, and that nothing else can tell what
//! is in them.

mod attacks;
mod damage;
mod own;
#[path = "../spaces/people.rs"]
#[allow(dead_code, reason = "these stories need some of it")]
mod people;
mod shared;
mod versions;

use std::fs;
use std::path::Path;

use cfost::host::{Host, ManualClock};
use cfost::identity::PasswordCost;
use cfost::prelude::*;
use cfost_tests::fleet::START_MS;
use rusqlite::Connection;

/// A visit of a patient, in a clinic's records.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "visits", version = 1)]
struct Visit {
    #[synced(id)]
    id: Uuid,
    patient: Option<Uuid>,
    reason: String,
    /// For the patient, whoever else has the row.
    #[synced(encrypted = patient)]
    finding: Encrypted<String>,
    /// For the devices of whoever wrote it.
    #[synced(encrypted)]
    note: Encrypted<Option<String>>,
    #[synced(encrypted, immutable)]
    number: Encrypted<i64>,
    #[synced(encrypted, default = 7)]
    pain: Encrypted<i64>,
}

const CANARY: &str = "the canary sings at midnight";
const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "correct horse";

fn visit(reason: &str) -> Visit {
    Visit {
        reason: reason.into(),
        finding: CANARY.to_owned().into(),
        note: Some(CANARY.to_owned()).into(),
        number: 4711.into(),
        ..Visit::default()
    }
}

fn cheap() -> PasswordCost {
    PasswordCost::new(64, 1, 1).unwrap()
}

fn open(path: &Path, seed: u64) -> Db {
    let host = Host::simulated(ManualClock::at(START_MS), seed);
    Db::options().host(host).open(path, models![Visit]).unwrap()
}

/// The bytes of a column as they are in the file.
fn stored(path: &Path, column: &str, id: Uuid) -> Option<Vec<u8>> {
    let conn = Connection::open(path).unwrap();
    let sql = format!("SELECT {column} FROM visits WHERE id = ?1");
    conn.query_row(&sql, [id.as_bytes()], |row| row.get(0)).unwrap()
}

/// Puts other bytes in their place.
fn put(path: &Path, column: &str, id: Uuid, bytes: Option<&[u8]>) {
    let conn = Connection::open(path).unwrap();
    let sql = format!("UPDATE visits SET {column} = ?2 WHERE id = ?1");
    assert_eq!(conn.execute(&sql, (id.as_bytes(), bytes)).unwrap(), 1);
}

/// Whether any file of the database has these bytes in it.
fn is_on_disk(path: &Path, secret: &[u8]) -> bool {
    let files = fs::read_dir(path.parent().unwrap()).unwrap();
    files
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .any(|bytes| bytes.windows(secret.len()).any(|window| window == secret))
}

fn ops(db: &Db) -> usize {
    db.oplog().unwrap().count()
}

#[track_caller]
fn assert_sound(db: &Db) {
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
}

/// A clinic, whose records its staff share.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "clinics", version = 1, space)]
struct Clinic {
    #[synced(id)]
    id: Uuid,
    name: String,
}

/// A patient, who chooses whom to be known to.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "patients", version = 1, space)]
struct Patient {
    #[synced(id)]
    id: Uuid,
    name: String,
}

/// A record, which all of the clinic have.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "records", version = 1, space = clinic)]
struct Record {
    #[synced(id)]
    id: Uuid,
    clinic: Uuid,
    patient: Option<Uuid>,
    reason: String,
    #[synced(encrypted = patient)]
    finding: Encrypted<String>,
    #[synced(encrypted)]
    memo: Encrypted<String>,
}

fn all_models() -> Vec<cfost::schema::Model> {
    models![Clinic, Patient, Record].to_vec()
}
