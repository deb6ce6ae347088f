//! Queries of sets, maps and lists; and any filter, compared with what Rust says of each row.

use std::collections::{BTreeMap, BTreeSet};

use cfost::prelude::*;
use cfost::{Error, List};
use proptest::prelude::*;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    completed: bool,
    rank: Option<i64>,
    #[crdt(counter)]
    votes: i64,
    #[crdt(set)]
    tags: BTreeSet<String>,
    #[crdt(set)]
    #[synced(index)]
    indexed: BTreeSet<i64>,
    #[crdt(map)]
    scores: BTreeMap<String, Option<i64>>,
    #[crdt(list)]
    steps: List<String>,
}

type Columns = <Todo as Synced>::Columns;
type Filter = cfost::query::Filter<Todo>;

fn todo(title: &str, tags: &[&str], scores: &[(&str, Option<i64>)], steps: &[&str]) -> Todo {
    Todo {
        title: title.into(),
        tags: tags.iter().map(ToString::to_string).collect(),
        indexed: tags.iter().map(|tag| tag.len() as i64).collect(),
        scores: scores.iter().map(|(key, value)| (key.to_string(), *value)).collect(),
        steps: steps.iter().map(ToString::to_string).collect(),
        ..Todo::default()
    }
}

#[track_caller]
fn found(db: &Db, filter: impl FnOnce(Columns) -> Filter) -> String {
    let rows = Todo::query().filter(filter).order_by(|t| t.title.asc()).all(db).unwrap();
    rows.into_iter().map(|todo| todo.title).collect()
}

#[test]
fn rows_are_found_by_what_is_in_their_sets_maps_and_lists() {
    let db = Db::open_in_memory(models![Todo]).unwrap();
    let a = todo("a", &["red", "green"], &[("math", Some(3)), ("art", None)], &["cut", "glue"]);
    let a = db.insert(a).unwrap();
    db.insert(todo("b", &["red"], &[("math", Some(1))], &["glue", "glue"])).unwrap();
    db.insert(todo("c", &[], &[], &[])).unwrap();

    assert_eq!(found(&db, |t| t.tags.contains("red")), "ab");
    assert_eq!(found(&db, |t| !t.tags.contains("red")), "c");
    assert_eq!(found(&db, |t| t.tags.contains_all(["red", "green"])), "a");
    assert_eq!(found(&db, |t| t.tags.contains_any(["blue", "green"])), "a");
    assert_eq!(found(&db, |t| t.tags.contains(t.title)), "");
    assert_eq!(found(&db, |t| t.tags.is_empty()), "c");
    assert_eq!(found(&db, |t| t.tags.len().ge(1)), "ab");
    assert_eq!(found(&db, |t| t.indexed.contains(5)), "a");
    assert_eq!(found(&db, |t| !t.indexed.contains(3)), "c");
    assert_eq!(found(&db, |t| t.scores.contains_key("math")), "ab");
    assert_eq!(found(&db, |t| t.scores.key("math").gt(1)), "a");
    assert_eq!(found(&db, |t| t.scores.key("math").ne(3)), "bc");
    assert_eq!(found(&db, |t| t.scores.key("art").is_null()), "abc");
    assert_eq!(found(&db, |t| t.scores.contains_key("art") & t.scores.key("art").is_null()), "a");
    assert_eq!(found(&db, |t| t.steps.contains("glue")), "ab");
    assert_eq!(found(&db, |t| t.steps.len().eq(2) & t.steps.contains("cut")), "a");
    let best = Todo::query().order_by(|t| (t.scores.key("math").desc(), t.tags.len().asc()));
    let titles: String = best.all(&db).unwrap().into_iter().map(|todo| todo.title).collect();
    assert_eq!(titles, "abc");
    assert_eq!(best.limit(1).after(&a).first(&db).unwrap().unwrap().title, "b");

    // The rows come with their elements.
    assert_eq!(Todo::query().filter(|t| t.title.eq("a")).first(&db).unwrap(), Some(a.clone()));
    // An edit of an element alone is a change of its row.
    let mut watch = Todo::query().filter(|t| t.tags.contains("blue")).watch(&db);
    let mut changes = Todo::query().changes(&db);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        assert_eq!(watch.next().await.unwrap().unwrap(), []);
        let blue = db.update(a.id, |todo: &mut Todo| drop(todo.tags.replace("blue".into()))).unwrap();
        assert_eq!(watch.next().await.unwrap().unwrap(), std::slice::from_ref(&blue));
        let origin = cfost::Origin::Local;
        assert_eq!(changes.next().await.unwrap().unwrap(), cfost::RowChange::Update { old: a, new: blue, origin });
    });
}

#[test]
fn a_query_never_sees_half_of_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(dir.path().join("todo.db"), models![Todo]).unwrap();
    let ids = db.insert_all([todo("a", &[], &[], &[]), todo("b", &[], &[], &[])]).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..200 {
                let edit = |todo: &mut Todo| {
                    (todo.votes, todo.rank) = (n, Some(n));
                    todo.indexed = BTreeSet::from([n]);
                };
                db.write(|tx| ids.iter().try_for_each(|id| tx.update(*id, edit).map(drop))).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            let rows = Todo::query().all(&db).unwrap();
            let states: BTreeSet<_> = rows.iter().map(|todo| (todo.votes, todo.indexed.first().copied())).collect();
            assert!(states.len() == 1 && rows.iter().all(|todo| todo.indexed.len() <= 1), "{rows:?}");
            let (votes, element) = *states.first().unwrap();
            assert!(element.is_none_or(|element| element == votes), "{rows:?}");
        }
    });
}

#[test]
fn an_element_that_no_set_can_hold_is_an_error_that_names_the_field() {
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "numbers", version = 1)]
    struct Numbers {
        #[synced(id)]
        id: Uuid,
        #[crdt(map)]
        by_size: BTreeMap<u64, String>,
    }
    let db = Db::open_in_memory(models![Numbers]).unwrap();
    let error = Numbers::query().filter(|numbers| numbers.by_size.contains_key(u64::MAX)).all(&db).unwrap_err();
    assert!(matches!(error, Error::Unstorable { model: "Numbers", field: "by_size", .. }), "{error}");
    let error = Numbers::query().order_by(|numbers| numbers.by_size.key(u64::MAX).asc()).all(&db).unwrap_err();
    assert!(matches!(error, Error::Unstorable { model: "Numbers", field: "by_size", .. }), "{error}");
}

/// A condition, to be said of a row in Rust and in SQL.
#[derive(Clone, Debug)]
enum Condition {
    Completed(bool),
    Title(u8, String),
    Votes(u8, i64),
    Rank(u8, Option<i64>),
    RankIn(Vec<Option<i64>>),
    RankBetween(i64, i64),
    RankBeyondVotes,
    StartsWith(String),
    Contains(String),
    Tag(String),
    Indexed(i64),
    Score(u8, String, i64),
    Steps(i64),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
}

macro_rules! compared {
    ($how:expr, $column:expr, $value:expr) => {
        match $how % 6 {
            0 => $column.eq($value),
            1 => $column.ne($value),
            2 => $column.lt($value),
            3 => $column.le($value),
            4 => $column.gt($value),
            _ => $column.ge($value),
        }
    };
}

/// Whether an optional value compares so: `None` equals itself, and is neither greater nor less than anything.
fn compares(how: u8, left: Option<i64>, right: Option<i64>) -> bool {
    match (how % 6, left, right) {
        (0, left, right) => left == right,
        (1, left, right) => left != right,
        (how, Some(left), Some(right)) => compared!(how, Of(left), right),
        _ => false,
    }
}

/// Rust's comparisons under the names of the columns' methods.
struct Of<T>(T);

impl<T: PartialOrd> Of<T> {
    fn eq(&self, other: T) -> bool {
        self.0 == other
    }
    fn ne(&self, other: T) -> bool {
        self.0 != other
    }
    fn lt(&self, other: T) -> bool {
        self.0 < other
    }
    fn le(&self, other: T) -> bool {
        self.0 <= other
    }
    fn gt(&self, other: T) -> bool {
        self.0 > other
    }
    fn ge(&self, other: T) -> bool {
        self.0 >= other
    }
}

impl Condition {
    fn filter(&self, t: Columns) -> Filter {
        match self {
            Self::Completed(value) => t.completed.eq(value),
            Self::Title(how, value) => compared!(how, t.title, value.as_str()),
            Self::Votes(how, value) => compared!(how, t.votes, *value),
            Self::Rank(how, value) => compared!(how, t.rank, *value),
            Self::RankIn(values) => t.rank.in_(values.iter().copied()),
            Self::RankBetween(low, high) => t.rank.between(*low, *high),
            Self::RankBeyondVotes => t.rank.gt(t.votes),
            Self::StartsWith(text) => t.title.starts_with(text.as_str()),
            Self::Contains(text) => t.title.contains(text.as_str()),
            Self::Tag(tag) => t.tags.contains(tag),
            Self::Indexed(number) => t.indexed.contains(*number),
            Self::Score(how, key, value) => compared!(how, t.scores.key(key), *value),
            Self::Steps(count) => t.steps.len().eq(*count),
            Self::And(left, right) => left.filter(t) & right.filter(t),
            Self::Or(left, right) => left.filter(t) | right.filter(t),
            Self::Not(condition) => !condition.filter(t),
        }
    }

    fn holds(&self, todo: &Todo) -> bool {
        match self {
            Self::Completed(value) => todo.completed == *value,
            Self::Title(how, value) => compared!(how, Of(todo.title.as_str()), value.as_str()),
            Self::Votes(how, value) => compared!(how, Of(todo.votes), *value),
            Self::Rank(how, value) => compares(*how, todo.rank, *value),
            Self::RankIn(values) => values.contains(&todo.rank),
            Self::RankBetween(low, high) => todo.rank.is_some_and(|rank| (*low..=*high).contains(&rank)),
            Self::RankBeyondVotes => todo.rank.is_some_and(|rank| rank > todo.votes),
            Self::StartsWith(text) => todo.title.starts_with(text.as_str()),
            Self::Contains(text) => todo.title.contains(text.as_str()),
            Self::Tag(tag) => todo.tags.contains(tag),
            Self::Indexed(number) => todo.indexed.contains(number),
            Self::Score(how, key, value) => compares(*how, todo.scores.get(key).copied().flatten(), Some(*value)),
            Self::Steps(count) => todo.steps.len() as i64 == *count,
            Self::And(left, right) => left.holds(todo) && right.holds(todo),
            Self::Or(left, right) => left.holds(todo) || right.holds(todo),
            Self::Not(condition) => !condition.holds(todo),
        }
    }
}

fn short() -> impl Strategy<Value = String> {
    "[ab%_]{0,2}"
}

fn number() -> std::ops::Range<i64> {
    -1..3
}

fn condition() -> impl Strategy<Value = Condition> {
    let how = any::<u8>;
    let maybe = || prop::option::of(number());
    let leaf = prop_oneof![
        any::<bool>().prop_map(Condition::Completed),
        (how(), short()).prop_map(|(how, value)| Condition::Title(how, value)),
        (how(), number()).prop_map(|(how, value)| Condition::Votes(how, value)),
        (how(), maybe()).prop_map(|(how, value)| Condition::Rank(how, value)),
        prop::collection::vec(maybe(), 0..4).prop_map(Condition::RankIn),
        (number(), number()).prop_map(|(low, high)| Condition::RankBetween(low, high)),
        Just(Condition::RankBeyondVotes),
        short().prop_map(Condition::StartsWith),
        short().prop_map(Condition::Contains),
        short().prop_map(Condition::Tag),
        number().prop_map(Condition::Indexed),
        (how(), short(), number()).prop_map(|(how, key, value)| Condition::Score(how, key, value)),
        number().prop_map(Condition::Steps),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Condition::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Condition::Or(Box::new(a), Box::new(b))),
            inner.prop_map(|condition| Condition::Not(Box::new(condition))),
        ]
    })
}

fn row() -> impl Strategy<Value = Todo> {
    let sets = (prop::collection::btree_set(short(), 0..3), prop::collection::btree_set(number(), 0..3));
    let scores = prop::collection::btree_map(short(), prop::option::of(number()), 0..3);
    let steps = prop::collection::vec(short(), 0..3);
    (short(), any::<bool>(), prop::option::of(number()), number(), sets, scores, steps).prop_map(
        |(title, completed, rank, votes, (tags, indexed), scores, steps)| Todo {
            id: Uuid::nil(),
            title,
            completed,
            rank,
            votes,
            tags,
            indexed,
            scores,
            steps: steps.into(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_filter_finds_exactly_the_rows_of_which_it_holds(
        rows in prop::collection::vec(row(), 0..12),
        conditions in prop::collection::vec(condition(), 8),
    ) {
        let db = Db::open_in_memory(models![Todo]).unwrap();
        db.insert_all(rows).unwrap();
        let all = db.all::<Todo>().unwrap();
        for condition in conditions {
            let query = Todo::query().filter(|t| condition.filter(t));
            let expected: Vec<Todo> = all.iter().filter(|todo| condition.holds(todo)).cloned().collect();
            prop_assert_eq!(query.count(&db).unwrap(), expected.len() as u64, "{:?}", &condition);
            prop_assert_eq!(query.exists(&db).unwrap(), !expected.is_empty());
            prop_assert_eq!(query.first(&db).unwrap(), expected.first().cloned());
            prop_assert_eq!(query.all(&db).unwrap(), expected, "{:?}", condition);
        }
    }
}
