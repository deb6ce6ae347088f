//! Final deletes, immutable fields, and ids that are made from values.

use cfost::oplog::Value;
use cfost::prelude::*;
use cfost::schema::{DeletePolicy, Model, ModelSchema, ValueRef};
use cfost::{Error, Result};
use cfost_tests::fleet::{self, Device};
use cfost_tests::meaning;
use proptest::prelude::*;

/// Known by the email, and once deleted never back.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "members", version = 1, delete = wins)]
struct Member {
    #[synced(id(from(email)))]
    id: Uuid,
    email: String,
    #[synced(immutable)]
    joined: i64,
    name: String,
    #[crdt(counter)]
    visits: i64,
}

/// Known by the email.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "guests", version = 1)]
struct Guest {
    #[synced(id(from(email)))]
    id: Uuid,
    email: String,
    #[synced(immutable)]
    joined: i64,
    name: String,
    #[crdt(counter)]
    visits: i64,
}

fn models() -> [Model; 2] {
    models![Member, Guest]
}

fn member(email: &str) -> Member {
    Member { email: email.into(), name: "new".into(), ..Member::default() }
}

fn guest(email: &str, joined: i64) -> Guest {
    Guest { email: email.into(), joined, name: "new".into(), ..Guest::default() }
}

fn two_devices(seed: u64) -> (Device, Device) {
    let mut devices = fleet::devices(2, &models(), seed).unwrap();
    let laptop = devices.remove(1);
    (devices.remove(0), laptop)
}

fn assert_sound(devices: &[&Device]) {
    for device in devices {
        let verification = device.db.verify().unwrap();
        assert!(verification.is_sound(), "{:?}", verification.differences);
    }
}

#[test]
fn a_final_delete_wins_over_an_edit_that_came_after_it_on_another_device() {
    let (phone, laptop) = two_devices(1);
    let ann = phone.db.insert(member("ann@example.org")).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();

    phone.db.delete::<Member>(ann.id).unwrap();
    laptop.clock.advance(1000);
    laptop.db.update(ann.id, |row: &mut Member| row.name = "Ann".into()).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    for device in [&phone, &laptop] {
        assert_eq!(device.db.all::<Member>().unwrap(), []);
        let again = device.db.insert(member("ann@example.org")).unwrap_err();
        assert!(matches!(again, Error::Deleted { table: "members", id } if id == ann.id), "{again}");
        assert!(again.to_string().contains("insert the row with another id"), "{again}");
    }
    assert_sound(&[&phone, &laptop]);
}

#[test]
fn without_it_the_later_edit_brings_the_row_back() {
    let (phone, laptop) = two_devices(2);
    let ann = phone.db.insert(guest("ann@example.org", 1)).unwrap();
    fleet::sync(&phone.db, &laptop.db).unwrap();
    phone.db.delete::<Guest>(ann.id).unwrap();
    laptop.clock.advance(1000);
    laptop.db.update(ann.id, |row: &mut Guest| row.name = "Ann".into()).unwrap();
    fleet::sync(&laptop.db, &phone.db).unwrap();
    for device in [&phone, &laptop] {
        assert_eq!(device.db.all::<Guest>().unwrap(), [Guest { name: "Ann".into(), ..ann.clone() }]);
    }
    assert_sound(&[&phone, &laptop]);
}

#[test]
fn the_same_email_on_two_devices_is_one_row_that_keeps_what_was_immutable_first() {
    let (phone, laptop) = two_devices(3);
    let first = phone.db.insert(Guest { visits: 2, ..guest("ann@example.org", 1) }).unwrap();
    laptop.clock.advance(1000);
    let second = laptop.db.insert(Guest { name: "Ann".into(), visits: 3, ..guest("ann@example.org", 2) }).unwrap();
    assert_eq!((first.id, first.id.get_version_num()), (second.id, 8));
    fleet::sync(&phone.db, &laptop.db).unwrap();
    let merged = Guest { joined: 1, visits: 5, ..second };
    for device in [&phone, &laptop] {
        assert_eq!(device.db.all::<Guest>().unwrap(), std::slice::from_ref(&merged));
    }
    let again = phone.db.insert(guest("ann@example.org", 1)).unwrap_err();
    assert!(matches!(again, Error::Exists { table: "guests", .. }), "{again}");
    assert_sound(&[&phone, &laptop]);
}

#[test]
fn an_immutable_field_is_refused_another_value_by_an_update_and_by_an_insert_over_a_deleted_row() {
    let (phone, laptop) = two_devices(4);
    let ann = phone.db.insert(guest("ann@example.org", 1)).unwrap();
    let joined = phone.db.update(ann.id, |row: &mut Guest| row.joined = 2).unwrap_err();
    assert!(matches!(joined, Error::Immutable { model: "Guest", field: "joined", id } if id == ann.id), "{joined}");
    let email = phone.db.update(ann.id, |row: &mut Guest| row.email = "bob@example.org".into()).unwrap_err();
    assert!(matches!(email, Error::Immutable { field: "email", .. }), "{email}");

    phone.db.delete::<Guest>(ann.id).unwrap();
    let other = phone.db.insert(guest("ann@example.org", 2)).unwrap_err();
    assert!(matches!(other, Error::Immutable { field: "joined", .. }), "{other}");
    // Nothing was written: the transaction goes on.
    let back = phone.db.write(|tx| {
        assert!(tx.insert(guest("ann@example.org", 2)).is_err());
        tx.insert(guest("ann@example.org", 1))
    });
    assert_eq!(back.unwrap(), ann);
    fleet::sync(&laptop.db, &phone.db).unwrap();
    assert_eq!(laptop.db.all::<Guest>().unwrap(), [ann]);
    assert_sound(&[&phone, &laptop]);
}

#[test]
fn an_id_other_than_the_one_the_values_give_is_refused() {
    let (phone, laptop) = two_devices(5);
    let ann = phone.db.insert(guest("ann@example.org", 1)).unwrap();
    // With its own id, as an export would have it.
    laptop.db.insert(ann.clone()).unwrap();
    let refused = laptop.db.insert(Guest { id: ann.id, ..guest("bob@example.org", 1) }).unwrap_err();
    assert!(matches!(refused, Error::NotDerived { model: "Guest", given, .. } if given == ann.id), "{refused}");
    // The table is a part of what the id is made from.
    assert_ne!(phone.db.insert(member("ann@example.org")).unwrap().id, ann.id);
}

#[test]
fn the_document_shows_an_id_as_it_is_made() {
    let db = Db::open_in_memory(models()).unwrap();
    let id = db.insert(guest("ann@example.org", 1)).unwrap().id;
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/merge.md")).unwrap();
    assert!(document.contains(&format!("`{id}`")), "docs/merge.md lacks {id}");
    assert!(document.contains(&format!("`{}`", cfost::schema::ROW_ID_CONTEXT)));
    let input = [b"guests\0".as_slice(), &[3, 15], b"ann@example.org"].concat();
    let hash = blake3::Hasher::new_derive_key(cfost::schema::ROW_ID_CONTEXT).update(&input).finalize();
    let first: [u8; 16] = hash.as_bytes()[..16].try_into().unwrap();
    assert_eq!(uuid::Builder::from_custom_bytes(first).into_uuid(), id);
}

#[test]
fn a_model_that_says_otherwise_of_its_rows_is_another_model() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guests.db");
    drop(Db::open(&path, models![Guest]).unwrap());
    const SCHEMA: &ModelSchema = &ModelSchema { delete: DeletePolicy::Wins, ..*<Guest as Synced>::SCHEMA };
    let error = Db::open(&path, [Model { schema: SCHEMA }]).unwrap_err();
    assert!(error.to_string().contains("a delete is now final"), "{error}");
}

/// A step of a story; rows are named by their email.
#[derive(Clone, Debug)]
enum Step {
    Insert { joined: i64, visits: i8 },
    Rename { to: u8 },
    Visit { by: i8 },
    Join { at: i64 },
    Delete,
}

#[derive(Clone, Debug)]
enum Event {
    Write { device: usize, member: bool, email: u8, step: Step },
    Sync { from: usize, to: usize },
    Wait { device: usize, ms: u64 },
}

fn event(devices: usize) -> impl Strategy<Value = Event> {
    let step = prop_oneof![
        4 => (0..3_i64, any::<i8>()).prop_map(|(joined, visits)| Step::Insert { joined, visits }),
        2 => any::<u8>().prop_map(|to| Step::Rename { to }),
        1 => any::<i8>().prop_map(|by| Step::Visit { by }),
        1 => (0..3_i64).prop_map(|at| Step::Join { at }),
        2 => Just(Step::Delete),
    ];
    prop_oneof![
        8 => (0..devices, any::<bool>(), 0..3_u8, step)
            .prop_map(|(device, member, email, step)| Event::Write { device, member, email, step }),
        2 => (0..devices, 0..devices).prop_map(|(from, to)| Event::Sync { from, to }),
        1 => (0..devices, 0..10_000_u64).prop_map(|(device, ms)| Event::Wait { device, ms }),
    ]
}

fn write(db: &Db, member: bool, email: u8, step: &Step) -> Result<()> {
    let schema = if member { Member::SCHEMA } else { Guest::SCHEMA };
    let email = format!("{email}@example.org");
    let mut values = vec![ValueRef::Null; 4];
    values[0] = ValueRef::Text(email.as_str().into());
    let Some(id) = cfost::schema::derived_id(schema, &values)? else { return Ok(()) };
    macro_rules! edit {
        (|$row:ident| $edit:expr) => {
            if member {
                db.update(id, |$row: &mut Member| $edit).map(drop)
            } else {
                db.update(id, |$row: &mut Guest| $edit).map(drop)
            }
        };
    }
    match *step {
        Step::Insert { joined, visits } if member => {
            let (name, visits) = ("new".to_owned(), visits.into());
            db.insert(Member { id: Uuid::nil(), email, joined, name, visits }).map(drop)
        }
        Step::Insert { joined, visits } => {
            let (name, visits) = ("new".to_owned(), visits.into());
            db.insert(Guest { id: Uuid::nil(), email, joined, name, visits }).map(drop)
        }
        Step::Rename { to } => edit!(|row| row.name = to.to_string()),
        Step::Visit { by } => edit!(|row| row.visits += i64::from(by)),
        Step::Join { at } => edit!(|row| row.joined = at),
        Step::Delete if member => db.delete::<Member>(id),
        Step::Delete => db.delete::<Guest>(id),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn devices_show_what_their_ops_mean_whatever_they_wrote_and_whenever_they_met(
        seed in any::<u32>(),
        events in proptest::collection::vec(event(3), 1..50),
    ) {
        let devices = fleet::devices(3, &models(), u64::from(seed)).unwrap();
        for event in &events {
            match *event {
                Event::Write { device, member, email, ref step } => match write(&devices[device].db, member, email, step) {
                    Ok(()) | Err(Error::Exists { .. } | Error::NotFound { .. } | Error::Immutable { .. }) => {}
                    Err(Error::Deleted { .. }) if member => {}
                    Err(error) => panic!("{error}"),
                },
                Event::Sync { from, to } if from != to => {
                    fleet::sync(&devices[from].db, &devices[to].db).unwrap();
                }
                Event::Sync { .. } => {}
                Event::Wait { device, ms } => devices[device].clock.advance(ms),
            }
        }
        for _ in 0..2 {
            for device in &devices[1..] {
                fleet::sync(&devices[0].db, &device.db).unwrap();
            }
        }
        for device in &devices {
            let meant = meaning::meant(&device.db, &models()).unwrap();
            prop_assert_eq!(&meaning::shown::<Member>(&device.db).unwrap(), &meant["members"]);
            prop_assert_eq!(&meaning::shown::<Guest>(&device.db).unwrap(), &meant["guests"]);
            let verification = device.db.verify().unwrap();
            prop_assert!(verification.is_sound(), "{:?}", verification.differences);
        }
        let rows = |device: &Device| device.db.all::<Member>().unwrap();
        prop_assert_eq!(rows(&devices[0]), rows(&devices[1]));
        prop_assert_eq!(rows(&devices[0]), rows(&devices[2]));
    }
}

#[test]
fn values_that_look_alike_give_other_ids() {
    let id = |value: ValueRef<'_>| {
        let values = [value, ValueRef::Null, ValueRef::Null, ValueRef::Null];
        cfost::schema::derived_id(Guest::SCHEMA, &values).unwrap().unwrap()
    };
    let values =
        [Value::Null, Value::Integer(1), Value::Text("1".into()), Value::Blob(b"1".to_vec()), Value::Real(1.0)];
    let ids: std::collections::BTreeSet<_> = values.iter().map(|value| id(value.as_ref())).collect();
    assert_eq!(ids.len(), values.len());
}
