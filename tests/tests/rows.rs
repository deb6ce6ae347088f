//! One device: rows, transactions, SQL.

use cfost::prelude::*;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    completed: bool,
    #[crdt(counter)]
    votes: i64,
    note: Option<String>,
}

fn todo(title: &str) -> Todo {
    Todo { title: title.into(), ..Todo::default() }
}

#[test]
fn what_is_written_is_read_back_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let milk = {
        let db = Db::open(&path, models![Todo]).unwrap();
        let milk = db.write(|tx| tx.insert(todo("Buy milk"))).unwrap();
        assert!(!milk.id.is_nil());
        let edited = db
            .write(|tx| {
                tx.update(milk.id, |todo: &mut Todo| {
                    todo.completed = true;
                    todo.votes += 2;
                })
            })
            .unwrap();
        assert_eq!(db.get::<Todo>(milk.id).unwrap(), Some(edited.clone()));
        edited
    };
    let db = Db::open(&path, models![Todo]).unwrap();
    assert_eq!(db.all::<Todo>().unwrap(), std::slice::from_ref(&milk));
    assert_eq!(db.count::<Todo>().unwrap(), 1);
    let rows: Vec<(Uuid, i64)> = db.sql("SELECT id, votes FROM todos WHERE completed = ?").bind(true).rows().unwrap();
    assert_eq!(rows, [(milk.id, 2)]);
    let entries: Vec<_> = db.oplog().unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1].data_json(), r#"{"completed":1,"votes":{"add":2}}"#);
    let verification = db.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.differences);
    assert_eq!((verification.changes, verification.rows), (2, 1));
    db.delete::<Todo>(milk.id).unwrap();
    assert!(db.verify().unwrap().is_sound());
    let ops: Vec<(String, String)> = db.sql("SELECT op_type, data FROM cfost_oplog ORDER BY seq").rows().unwrap();
    assert_eq!(ops.iter().map(|(op, _)| op.as_str()).collect::<Vec<_>>(), ["create", "update", "delete"]);
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_a_new_database() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path().join("todo.db"), models![Todo]).unwrap();
    db.insert(todo("Buy milk")).unwrap();
    for name in ["todo.db", "todo.db-wal", "todo.db-shm"] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_transaction_of_one_op_takes_at_most_160_bytes_beyond_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let db = Db::open(&path, models![Todo]).unwrap();
    db.insert(todo("Buy milk")).unwrap();
    let file = rusqlite::Connection::open(&path).unwrap();
    let change = "SELECT length(change) FROM cfost_changes ORDER BY position DESC LIMIT 1";
    let bytes: usize = file.query_row(change, [], |row| row.get::<_, u32>(0)).unwrap() as usize;
    // The id, the title, a boolean, a counter, and no note.
    let data = 16 + "Buy milk".len() + 1 + 1;
    assert!(bytes <= data + 160, "{bytes} bytes for {data} of data");
}

#[test]
fn a_database_is_shared_among_threads() {
    fn shared<T: Clone + Send + Sync>(_: &T) {}

    let db = Db::open_in_memory(models![Todo]).unwrap();
    shared(&db);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..25).for_each(|n| drop(db.insert(todo(&n.to_string())).unwrap())));
        }
    });
    assert_eq!(db.count::<Todo>().unwrap(), 100);
    assert!(db.verify().unwrap().is_sound());
}
