//! Live queries: rows now and whenever they change, and changes one by one.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use cfost::prelude::*;
use cfost::query::Query;
use cfost::{Changes, Error, Origin, RowChange, Watch};
use cfost_tests::fleet::{self, Device};
use proptest::prelude::*;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "lists", version = 1)]
struct List {
    #[synced(id)]
    id: Uuid,
    name: String,
    archived: bool,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    completed: bool,
    #[crdt(counter)]
    votes: i64,
    #[synced(references = List, on_delete = keep)]
    list: Option<Uuid>,
}

fn todo(title: &str) -> Todo {
    Todo { title: title.into(), ..Todo::default() }
}

fn db() -> Db {
    Db::open_in_memory(models![Todo, List]).unwrap()
}

fn open() -> Query<Todo> {
    Todo::query().filter(|t| t.completed.eq(false)).order_by(|t| t.title.asc())
}

/// What the future gives if it is ready now.
fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// The titles that the watch gives now, or `-` if nothing is new.
#[track_caller]
fn titles(watch: &mut Watch<Todo>) -> String {
    let Some(rows) = now(watch.next()) else { return "-".into() };
    rows.unwrap().unwrap().iter().map(|todo| todo.title.as_str()).collect::<Vec<_>>().join(" ")
}

/// The changes that there are now.
fn all(changes: &mut Changes<Todo>) -> Vec<RowChange<Todo>> {
    std::iter::from_fn(|| now(changes.next())).map(|change| change.unwrap().unwrap()).collect()
}

#[test]
fn a_watch_gives_the_rows_now_and_after_each_commit_that_changes_them() {
    let db = db();
    db.insert(todo("b")).unwrap();
    let mut watch = open().watch(&db);
    assert_eq!((titles(&mut watch).as_str(), titles(&mut watch).as_str()), ("b", "-"));
    let a = db.insert(todo("a")).unwrap();
    assert_eq!((titles(&mut watch).as_str(), titles(&mut watch).as_str()), ("a b", "-"));
    // Several commits are one change for who comes late.
    db.update(a.id, |todo: &mut Todo| todo.title = "c".into()).unwrap();
    db.insert(todo("d")).unwrap();
    assert_eq!((titles(&mut watch).as_str(), titles(&mut watch).as_str()), ("b c d", "-"));
    db.update(a.id, |todo: &mut Todo| todo.completed = true).unwrap();
    assert_eq!(titles(&mut watch), "b d");
    db.delete::<Todo>(open().first(&db).unwrap().unwrap().id).unwrap();
    assert_eq!(titles(&mut watch), "d");
}

#[test]
fn what_a_query_does_not_read_does_not_wake_it() {
    let db = db();
    let done = db.insert(Todo { completed: true, ..todo("done") }).unwrap();
    let mut watch = open().watch(&db);
    assert_eq!(titles(&mut watch), "");
    let woken = Arc::new(CountedWaker::default());
    let waker = Waker::from(Arc::clone(&woken));
    let poll = |watch: &mut Watch<Todo>| pin!(watch.next()).poll(&mut Context::from_waker(&waker)).is_ready();
    assert!(!poll(&mut watch));
    db.insert(List::default()).unwrap();
    assert_eq!(woken.count(), 0, "a commit to another table");
    // A row that isn't found, neither before nor after, wakes the task but is passed over.
    db.update(done.id, |todo: &mut Todo| todo.votes += 1).unwrap();
    assert_eq!(woken.count(), 1);
    assert!(!poll(&mut watch));
    // What is rolled back is nothing.
    db.write(|tx| tx.insert(todo("never")).and(Err::<(), _>(Error::abort("no")))).unwrap_err();
    assert!(!poll(&mut watch) && woken.count() == 1);
    db.insert(todo("open")).unwrap();
    assert!(poll(&mut watch) && woken.count() == 2);
}

#[derive(Default)]
struct CountedWaker(AtomicUsize);

impl CountedWaker {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for CountedWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_watch_sees_what_comes_into_its_page_and_what_its_parents_become() {
    let db = db();
    let list = db.insert(List { name: "home".into(), ..List::default() }).unwrap();
    for title in ["a", "b", "d"] {
        db.insert(Todo { list: Some(list.id), ..todo(title) }).unwrap();
    }
    let mut page = open().limit(2).watch(&db);
    let mut second = open().limit(2).offset(1).watch(&db);
    let mut active = open().filter(|t| t.list.matches(|list| list.archived.eq(false))).watch(&db);
    assert_eq!([titles(&mut page), titles(&mut second), titles(&mut active)], ["a b", "b d", "a b d"]);
    let c = db.insert(Todo { list: Some(list.id), ..todo("c") }).unwrap();
    // The first page asks whether `c` is in the way; it reads again, and shows the same.
    assert_eq!([titles(&mut page), titles(&mut second), titles(&mut active)], ["a b", "b c", "a b c d"]);
    db.update(list.id, |list: &mut List| list.archived = true).unwrap();
    assert_eq!([titles(&mut page), titles(&mut second), titles(&mut active)], ["-", "-", ""]);
    db.update(list.id, |list: &mut List| list.archived = false).unwrap();
    assert_eq!(titles(&mut active), "a b c d");
    db.delete::<Todo>(c.id).unwrap();
    assert_eq!([titles(&mut second), titles(&mut active)], ["b d", "a b d"]);
}

/// A part of a todo, which is shown while its todo is.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "parts", version = 1)]
struct Part {
    #[synced(id)]
    id: Uuid,
    #[synced(references = Todo)]
    todo: Uuid,
}

#[test]
fn rows_that_are_hidden_with_the_one_that_they_refer_to_are_told_as_gone() {
    let db = Db::open_in_memory(models![Todo, List, Part]).unwrap();
    let milk = db.insert(todo("milk")).unwrap();
    let part = db.insert(Part { todo: milk.id, ..Part::default() }).unwrap();
    let (mut watch, mut changes) = (Part::query().watch(&db), Part::query().changes(&db));
    let rows = |watch: &mut Watch<Part>| now(watch.next()).map(|rows| rows.unwrap().unwrap());
    assert_eq!(rows(&mut watch), Some(vec![part.clone()]));
    db.delete::<Todo>(milk.id).unwrap();
    assert_eq!(rows(&mut watch), Some(vec![]));
    let gone = now(changes.next()).unwrap().unwrap().unwrap();
    assert_eq!(gone, RowChange::Delete { old: part.clone(), origin: Origin::Local });
    db.insert(milk).unwrap();
    assert_eq!(rows(&mut watch), Some(vec![part]));
}

#[test]
fn changes_tell_old_and_new_and_where_they_came_from() {
    let devices = fleet::devices(2, &models![Todo, List], 11).unwrap();
    let (phone, laptop) = (&devices[0].db, &devices[1].db);
    let kept = phone.insert(todo("kept")).unwrap();
    let mut changes = open().changes(phone);
    assert_eq!(all(&mut changes), []);

    let milk = phone.insert(todo("milk")).unwrap();
    let soy = phone.update(milk.id, |todo: &mut Todo| todo.title = "soy milk".into()).unwrap();
    // Two commits before the first look are one change.
    assert_eq!(all(&mut changes), [RowChange::Insert { new: soy.clone(), origin: Origin::Local }]);
    let voted = phone.update(milk.id, |todo: &mut Todo| todo.votes = 2).unwrap();
    let update = RowChange::Update { old: soy, new: voted.clone(), origin: Origin::Local };
    assert_eq!(all(&mut changes), [update]);

    fleet::sync(laptop, phone).unwrap();
    assert_eq!(all(&mut changes), [], "the laptop has written nothing");
    laptop.update(milk.id, |todo: &mut Todo| todo.completed = true).unwrap();
    laptop.delete::<Todo>(kept.id).unwrap();
    let bread = laptop.insert(todo("bread")).unwrap();
    fleet::sync(phone, laptop).unwrap();
    let origin = Origin::Device(laptop.devices().unwrap().iter().find(|device| device.is_this).unwrap().id);
    let told = all(&mut changes);
    assert_eq!(
        told,
        [
            RowChange::Delete { old: voted, origin },
            RowChange::Delete { old: kept, origin },
            RowChange::Insert { new: bread, origin },
        ]
    );
    // A row that was written and written back is no change.
    phone
        .write(|tx| {
            let id = tx.insert(todo("brief"))?.id;
            tx.delete::<Todo>(id)
        })
        .unwrap();
    assert_eq!(all(&mut changes), []);
}

#[test]
fn more_rows_than_are_told_of_one_by_one_are_told_all_the_same() {
    let db = db();
    let mut changes = open().changes(&db);
    let mut watch = Todo::query().limit(1).watch(&db);
    assert_eq!(titles(&mut watch), "");
    let ids = db.insert_all((0..5000).map(|n| todo(&format!("{n:04}")))).unwrap();
    assert_eq!(titles(&mut watch), "0000");
    assert_eq!(all(&mut changes).len(), 5000);
    db.write(|tx| ids.iter().try_for_each(|id| tx.delete::<Todo>(*id))).unwrap();
    let told = all(&mut changes);
    assert!(told.len() == 5000 && told.iter().all(|change| matches!(change, RowChange::Delete { .. })));
}

#[test]
fn another_process_with_the_same_file_is_noticed_within_100_ms() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("todo.db");
    let models = models![Todo, List];
    // Two handles that know nothing of each other, as two processes do.
    let (ours, theirs) = (Db::open(&path, models).unwrap(), Db::open(&path, models).unwrap());
    let (mut watch, mut changes) = (open().watch(&ours), open().changes(&ours));
    assert_eq!(titles(&mut watch), "");
    let milk = theirs.insert(todo("milk")).unwrap();
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let rows = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), watch.next()).await });
    let took = started.elapsed();
    assert_eq!(rows.unwrap().unwrap().unwrap(), std::slice::from_ref(&milk));
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(all(&mut changes), [RowChange::Insert { new: milk, origin: Origin::Process }]);

    // What this process writes is told once, and not again as another one's.
    ours.insert(todo("bread")).unwrap();
    assert_eq!(titles(&mut watch), "bread milk");
    assert_eq!(all(&mut changes)[0].origin(), Origin::Local);
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(titles(&mut watch), "-");
}

#[test]
fn a_watch_ends_when_its_database_is_closed_and_keeps_none_open() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path().join("todo.db"), models![Todo, List]).unwrap();
    let mut watch = open().watch(&db);
    let mut changes = open().changes(&db);
    assert_eq!(titles(&mut watch), "");
    let waiting = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { watch.next().await.is_none() && changes.next().await.is_none() })
    });
    std::thread::sleep(Duration::from_millis(20));
    drop(db);
    assert!(waiting.join().unwrap());
}

#[test]
fn what_cannot_be_watched_says_so_once() {
    let db = Db::open_in_memory(models![List]).unwrap();
    let mut watch = open().watch(&db);
    assert!(matches!(now(watch.next()), Some(Some(Err(Error::UnknownModel { model: "Todo" })))));
    assert!(matches!(now(watch.next()), Some(None)));
    let mut changes = open().filter(|t| t.list.exists()).changes(&db);
    assert!(matches!(now(changes.next()), Some(Some(Err(Error::UnknownModel { model: "Todo" })))));
    assert!(matches!(now(changes.next()), Some(None)));
    let mut unsearchable = List::query().filter(|list| list.name.matches("x")).watch(&db);
    assert!(matches!(now(unsearchable.next()), Some(Some(Err(Error::NotSearchable { .. })))));
    assert!(matches!(now(unsearchable.next()), Some(None)));
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "things", version = 1)]
struct Thing {
    #[synced(id)]
    id: Uuid,
    weight: u8,
}

mod wider {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "things", version = 1)]
    pub(crate) struct Thing {
        #[synced(id)]
        pub(crate) id: Uuid,
        pub(crate) weight: i64,
    }
}

#[test]
fn a_row_that_cannot_be_read_is_told_and_the_watch_goes_on_when_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("things.db");
    let (ours, theirs) = (Db::open(&path, models![Thing]).unwrap(), Db::open(&path, models![wider::Thing]).unwrap());
    let heavy = ours.insert(Thing { weight: 200, ..Thing::default() }).unwrap();
    let (mut watch, mut changes) = (Thing::query().watch(&ours), Thing::query().changes(&ours));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut next = || runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), watch.next()).await });
    assert_eq!(next().unwrap().unwrap().unwrap(), std::slice::from_ref(&heavy));
    let odd = theirs.insert(wider::Thing { weight: 300, ..wider::Thing::default() }).unwrap();
    assert!(matches!(next().unwrap().unwrap(), Err(Error::Unreadable { field: "weight", .. })));
    assert!(matches!(now(changes.next()), Some(Some(Err(Error::Unreadable { .. })))));
    theirs.delete::<wider::Thing>(odd.id).unwrap();
    assert_eq!(next().unwrap().unwrap().unwrap(), [heavy]);
    assert!(now(changes.next()).is_none(), "what was never told needs no taking back");
}

#[test]
fn a_slow_reader_is_behind_but_never_misses_the_last_state() {
    let db = db();
    let mut watch = Todo::query().watch(&db);
    let mut changes = Todo::query().changes(&db);
    let last = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let db = &db;
                scope.spawn(move || {
                    let id = db.insert(todo("row")).unwrap().id;
                    for n in 1..=500 {
                        db.update(id, |todo: &mut Todo| todo.title = format!("{writer} {n}")).unwrap();
                    }
                })
            })
            .collect();
        let reading = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                loop {
                    let rows = tokio::time::timeout(Duration::from_secs(20), watch.next()).await;
                    let rows = rows.expect("the last state was missed").unwrap().unwrap();
                    if rows.len() == 2 && rows.iter().all(|todo| todo.title.ends_with(" 500")) {
                        break rows;
                    }
                }
            })
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        reading.join().unwrap()
    });
    assert_eq!(last, db.all::<Todo>().unwrap());
    let mut rows = BTreeMap::new();
    all(&mut changes).into_iter().for_each(|change| take_over(&mut rows, change));
    assert_eq!(rows.into_values().collect::<Vec<_>>(), last);
}

/// Does to `rows` what a change says; what it says of the row before must be so.
fn take_over(rows: &mut BTreeMap<Uuid, Todo>, change: RowChange<Todo>) {
    match change {
        RowChange::Insert { new, .. } => assert_eq!(rows.insert(new.id, new), None),
        RowChange::Update { old, new, .. } => assert_eq!(rows.insert(new.id, new), Some(old)),
        RowChange::Delete { old, .. } => assert_eq!(rows.remove(&old.id), Some(old)),
    }
}

/// A step of a story on two devices.
#[derive(Clone, Debug)]
enum Step {
    Insert { device: usize, title: u8 },
    Complete { device: usize, row: usize, completed: bool },
    Vote { device: usize, row: usize },
    Move { device: usize, row: usize, list: Option<usize> },
    Archive { device: usize, list: usize, archived: bool },
    Delete { device: usize, row: usize },
    Sync,
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    let (device, row) = (0..2_usize, 0..8_usize);
    prop_oneof![
        3 => (device.clone(), any::<u8>()).prop_map(|(device, title)| Step::Insert { device, title }),
        3 => (device.clone(), row.clone(), any::<bool>())
            .prop_map(|(device, row, completed)| Step::Complete { device, row, completed }),
        2 => (device.clone(), row.clone()).prop_map(|(device, row)| Step::Vote { device, row }),
        2 => (device.clone(), row.clone(), prop::option::of(0..2_usize))
            .prop_map(|(device, row, list)| Step::Move { device, row, list }),
        1 => (device.clone(), 0..2_usize, any::<bool>())
            .prop_map(|(device, list, archived)| Step::Archive { device, list, archived }),
        2 => (device, row).prop_map(|(device, row)| Step::Delete { device, row }),
        3 => Just(Step::Sync),
        3 => Just(Step::Look),
    ]
}

fn play(step: &Step, devices: &[Device], lists: &[Uuid]) {
    let nth = |device: usize, row: usize| {
        let ids = Todo::query().ids(&devices[device].db).unwrap();
        (!ids.is_empty()).then(|| ids[row % ids.len()])
    };
    let edit = |device: usize, row: usize, edit: &dyn Fn(&mut Todo)| {
        if let Some(id) = nth(device, row) {
            devices[device].db.update(id, |todo: &mut Todo| edit(todo)).unwrap();
        }
    };
    match *step {
        Step::Insert { device, title } => drop(devices[device].db.insert(todo(&title.to_string())).unwrap()),
        Step::Complete { device, row, completed } => edit(device, row, &|todo| todo.completed = completed),
        Step::Vote { device, row } => edit(device, row, &|todo| todo.votes += 1),
        Step::Move { device, row, list } => edit(device, row, &|todo| todo.list = list.map(|list| lists[list])),
        Step::Archive { device, list, archived } => {
            drop(devices[device].db.update(lists[list], |list: &mut List| list.archived = archived).unwrap());
        }
        Step::Delete { device, row } => {
            if let Some(id) = nth(device, row) {
                devices[device].db.delete::<Todo>(id).unwrap();
            }
        }
        Step::Sync => {
            fleet::sync(&devices[0].db, &devices[1].db).unwrap();
        }
        Step::Look => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whoever_looks_whenever_has_the_rows_of_the_query_in_the_end(
        steps in prop::collection::vec(step(), 1..40),
        limit in 1_u64..4,
    ) {
        let devices = fleet::devices(2, &models![Todo, List], 5).unwrap();
        let db = &devices[0].db;
        let lists: Vec<Uuid> = (0..2).map(|_| db.insert(List::default()).unwrap().id).collect();
        fleet::sync(&devices[1].db, db).unwrap();
        let queries = [
            open(),
            open().limit(limit),
            open().limit(limit).offset(1),
            Todo::query().order_by(|t| (t.votes.desc(), t.title.asc())).limit(limit),
            Todo::query().filter(|t| t.list.matches(|list| list.archived.eq(true)) | t.votes.gt(0)),
        ];
        let mut watches: Vec<_> = queries.iter().map(|query| (query.watch(db), Vec::new())).collect();
        let mut changes: Vec<_> = queries.iter().map(|query| (query.changes(db), BTreeMap::new())).collect();
        for step in steps.iter().chain([&Step::Sync, &Step::Look]) {
            play(step, &devices, &lists);
            if !matches!(step, Step::Look) {
                continue;
            }
            for (query, ((watch, rows), (changes, told))) in queries.iter().zip(watches.iter_mut().zip(&mut changes)) {
                if let Some(new) = now(watch.next()) {
                    *rows = new.unwrap().unwrap();
                }
                let expected = query.all(db).unwrap();
                prop_assert_eq!(&*rows, &expected);
                all(changes).into_iter().for_each(|change| take_over(told, change));
                let mut expected: Vec<_> = expected.into_iter().collect();
                expected.sort_by_key(|todo| todo.id);
                prop_assert_eq!(told.values().cloned().collect::<Vec<_>>(), expected);
            }
        }
    }
}
