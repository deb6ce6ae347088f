//! Queries find what they say, in the order asked for, and by indexes.

use cfost::prelude::*;
use cfost::{Error, Uuid};

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "lists", version = 1)]
struct List {
    #[synced(id)]
    id: Uuid,
    #[synced(index)]
    name: String,
    archived: bool,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1, index(completed, rank))]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(index, search)]
    title: String,
    #[synced(search)]
    note: Option<String>,
    completed: bool,
    #[synced(index)]
    rank: Option<i64>,
    weight: f64,
    #[crdt(counter)]
    votes: i64,
    #[synced(references = List, on_delete = keep)]
    list: Option<Uuid>,
    #[synced(references = Todo, on_delete = keep)]
    parent: Option<Uuid>,
}

fn todo(title: &str, rank: impl Into<Option<i64>>) -> Todo {
    Todo { title: title.into(), rank: rank.into(), ..Todo::default() }
}

/// Six todos: apple 3, banana none, cherry 1 (completed), date 2, elder none (completed), fig 2.
fn fruit() -> Db {
    let db = Db::open_in_memory(models![List, Todo]).unwrap();
    let fruit = [("apple", Some(3)), ("banana", None), ("cherry", Some(1)), ("date", Some(2)), ("elder", None)];
    let fruit = fruit.into_iter().chain([("fig", Some(2))]);
    for (n, (title, rank)) in fruit.enumerate() {
        let completed = title == "cherry" || title == "elder";
        db.insert(Todo { completed, weight: n as f64 / 2.0, votes: n as i64, ..todo(title, rank) }).unwrap();
    }
    db
}

type Columns = <Todo as Synced>::Columns;
type Filter = cfost::query::Filter<Todo>;
type Orders = Vec<cfost::query::Order<Todo>>;

#[track_caller]
fn found(db: &Db, filter: impl FnOnce(Columns) -> Filter) -> String {
    let rows = Todo::query().filter(filter).order_by(|t| t.title.asc()).all(db).unwrap();
    rows.iter().map(|todo| &todo.title[..1]).collect()
}

#[test]
fn a_comparison_finds_the_rows_of_which_it_holds_in_rust_as_well() {
    let db = fruit();
    assert_eq!(found(&db, |t| t.completed.eq(false)), "abdf");
    assert_eq!(found(&db, |t| t.title.eq("fig")), "f");
    assert_eq!(found(&db, |t| t.title.eq(String::from("fig"))), "f");
    let fig = String::from("fig");
    assert_eq!(found(&db, |t| t.title.ne(&fig)), "abcde");
    assert_eq!(found(&db, |t| t.votes.lt(2)), "ab");
    assert_eq!(found(&db, |t| t.votes.le(2)), "abc");
    assert_eq!(found(&db, |t| t.votes.gt(3)), "ef");
    assert_eq!(found(&db, |t| t.votes.ge(3)), "def");
    assert_eq!(found(&db, |t| t.weight.between(0.5, 1.5)), "bcd");
    assert_eq!(found(&db, |t| t.title.in_(["fig", "date", "grape"])), "df");
    assert_eq!(found(&db, |t| t.title.in_(Vec::<String>::new())), "");
    assert_eq!(found(&db, |t| t.rank.gt(t.votes)), "a");
}

#[test]
fn none_is_a_value_like_any_other_for_eq_and_ne_and_in() {
    let db = fruit();
    assert_eq!(found(&db, |t| t.rank.is_null()), "be");
    assert_eq!(found(&db, |t| t.rank.is_not_null()), "acdf");
    assert_eq!(found(&db, |t| t.rank.eq(None)), "be");
    assert_eq!(found(&db, |t| t.rank.eq(Some(2))), "df");
    assert_eq!(found(&db, |t| t.rank.eq(2)), "df");
    assert_eq!(found(&db, |t| t.rank.ne(2)), "abce");
    assert_eq!(found(&db, |t| t.rank.ne(None)), "acdf");
    assert_eq!(found(&db, |t| t.rank.in_([Some(1), None])), "bce");
    assert_eq!(found(&db, |t| t.rank.in_([1, 3])), "ac");
    // What isn't there is neither greater nor less; so its opposite holds.
    assert_eq!(found(&db, |t| t.rank.lt(3)), "cdf");
    assert_eq!(found(&db, |t| t.rank.lt(3).not()), "abe");
    assert_eq!(found(&db, |t| !(t.rank.lt(3) & t.rank.gt(1))), "abce");
}

#[test]
fn conditions_combine_as_in_rust() {
    let db = fruit();
    assert_eq!(found(&db, |t| t.completed.eq(true).and(t.rank.is_null())), "e");
    assert_eq!(found(&db, |t| t.completed.eq(true).or(t.rank.eq(2))), "cdef");
    assert_eq!(found(&db, |t| (t.title.eq("apple") | t.title.eq("fig")) & t.rank.eq(2)), "f");
    assert_eq!(found(&db, |t| t.title.eq("apple") | t.title.eq("fig") & t.rank.eq(3)), "a");
    assert_eq!(found(&db, |t| !!t.completed.eq(true)), "ce");
    assert_eq!(found(&db, |_| Filter::all([])), "abcdef");
    assert_eq!(found(&db, |_| Filter::any([])), "");
    let both = Todo::query().filter(|t| t.completed.eq(false)).filter(|t| t.votes.gt(2));
    assert_eq!(both.count(&db).unwrap(), 2);
    // A filter of very many parts is no deeper than SQLite allows.
    assert_eq!(found(&db, |t| Filter::any((2..5000).map(|n| t.votes.eq(n)))), "cdef");
}

#[test]
fn text_is_found_by_its_parts() {
    let db = Db::open_in_memory(models![List, Todo]).unwrap();
    for title in ["Apfel", "Äpfel", "apple 100%", "pineapple", "\u{10ffff}x", ""] {
        db.insert(todo(title, None)).unwrap();
    }
    let found = |filter: fn(Columns) -> Filter| {
        let rows = Todo::query().filter(filter).order_by(|t| t.title.asc()).all(&db).unwrap();
        rows.into_iter().map(|todo| todo.title).collect::<Vec<_>>()
    };
    assert_eq!(found(|t| t.title.contains("apple")), ["apple 100%", "pineapple"]);
    assert_eq!(found(|t| t.title.contains("Apple")), [""; 0]);
    assert_eq!(found(|t| t.title.contains("0%")), ["apple 100%"]);
    assert_eq!(found(|t| t.title.contains_ignore_case("äPF")), ["Äpfel"]);
    assert_eq!(found(|t| t.title.starts_with("ap")), ["apple 100%"]);
    assert_eq!(found(|t| t.title.starts_with("\u{10ffff}")), ["\u{10ffff}x"]);
    assert_eq!(found(|t| t.title.starts_with("")).len(), 6);
    assert_eq!(found(|t| t.title.ends_with("pfel")), ["Apfel", "Äpfel"]);
    assert_eq!(found(|t| t.title.ends_with("a longer text than any of them")), [""; 0]);
    assert_eq!(found(|t| t.title.like("AP_EL")), ["Apfel"]);
    assert_eq!(found(|t| t.title.like("%apple")), ["pineapple"]);
    assert_eq!(found(|t| t.note.contains("")), [""; 0]);
}

#[test]
fn rows_come_in_the_order_asked_for_and_then_by_their_ids() {
    let db = fruit();
    let order = |query: cfost::query::Query<Todo>| {
        query.all(&db).unwrap().iter().map(|todo| &todo.title[..1]).collect::<Vec<_>>().concat()
    };
    assert_eq!(order(Todo::query()), "abcdef");
    assert_eq!(order(Todo::query().order_by(|t| t.title.desc())), "fedcba");
    assert_eq!(order(Todo::query().order_by(|t| t.rank.asc())), "becdfa");
    assert_eq!(order(Todo::query().order_by(|t| t.rank.desc())), "afdceb");
    assert_eq!(order(Todo::query().order_by(|t| (t.rank.asc(), t.title.desc()))), "ebcfda");
    let twice = Todo::query().order_by(|t| t.completed.desc()).order_by(|t| t.rank.desc());
    assert_eq!(order(twice.clone()), "ceafdb");
    assert_eq!(order(twice.clone().limit(3)), "cea");
    assert_eq!(order(twice.clone().limit(3).offset(2)), "afd");
    assert_eq!(order(twice.clone().offset(4)), "db");
    assert_eq!((twice.clone().limit(4).count(&db).unwrap(), twice.clone().offset(5).count(&db).unwrap()), (4, 1));
    assert!(twice.exists(&db).unwrap() && !twice.clone().offset(6).exists(&db).unwrap());
    assert!(!twice.limit(0).exists(&db).unwrap());
}

#[test]
fn pages_that_follow_each_other_have_every_row_once_in_every_order() {
    let db = fruit();
    let orders: [fn(Columns) -> Orders; 8] = [
        |_| vec![],
        |t| vec![t.id.desc()],
        |t| vec![t.completed.asc(), t.title.asc()],
        |t| vec![t.completed.desc(), t.title.asc()],
        |t| vec![t.completed.desc(), t.rank.asc(), t.title.desc()],
        |t| vec![t.rank.asc()],
        |t| vec![t.rank.desc()],
        |t| vec![t.list.field(|list| list.name).asc(), t.rank.desc()],
    ];
    for (n, order) in orders.into_iter().enumerate() {
        let all = Todo::query().order_by(order).all(&db).unwrap();
        for size in 1..=4 {
            let (mut pages, mut query) = (Vec::new(), Todo::query().order_by(order).limit(size));
            loop {
                let page = query.all(&db).unwrap();
                let Some(last) = page.last() else { break };
                query = query.after(last);
                pages.extend(page);
            }
            assert_eq!(pages, all, "order {n}, pages of {size}");
        }
    }
}

#[test]
fn the_next_page_goes_by_the_values_of_a_row_that_may_be_gone() {
    let db = fruit();
    let page = Todo::query().order_by(|t| t.title.asc()).limit(2);
    let last = page.all(&db).unwrap().pop().unwrap();
    db.delete::<Todo>(last.id).unwrap();
    assert_eq!(page.after(&last).first(&db).unwrap().unwrap().title, "cherry");
}

#[test]
fn a_query_in_a_transaction_sees_what_the_transaction_wrote() {
    let db = fruit();
    let open = Todo::query().filter(|t| t.completed.eq(false));
    let seen = db.write(|tx| {
        tx.insert(todo("grape", None))?;
        let seen = (open.count(tx)?, open.all(tx)?.len(), open.ids(&*tx)?.len());
        assert!(matches!(open.count(&db), Err(Error::InsideWrite)));
        Ok(seen)
    });
    assert_eq!(seen.unwrap(), (5, 5, 5));
}

#[test]
fn references_join() {
    let db = Db::open_in_memory(models![List, Todo]).unwrap();
    let list = |name: &str, archived| db.insert(List { name: name.into(), archived, ..List::default() }).unwrap();
    let (home, work, empty) = (list("home", false), list("work", true), list("empty", false));
    let insert = |title: &str, list: Option<Uuid>, parent: Option<Uuid>| {
        db.insert(Todo { list, parent, ..todo(title, None) }).unwrap()
    };
    let a = insert("a", Some(home.id), None);
    insert("b", Some(work.id), Some(a.id));
    insert("c", None, Some(a.id));
    insert("d", Some(Uuid::from_u128(7)), None);

    assert_eq!(found(&db, |t| t.list.eq(home.id)), "a");
    assert_eq!(found(&db, |t| t.list.matches(|list| list.archived.eq(true))), "b");
    assert_eq!(found(&db, |t| !t.list.matches(|list| list.archived.eq(true))), "acd");
    assert_eq!(found(&db, |t| t.list.exists()), "ab");
    assert_eq!(found(&db, |t| t.list.is_not_null() & !t.list.exists()), "d");
    assert_eq!(found(&db, |t| t.list.field(|list| list.name).gt("home")), "b");
    assert_eq!(found(&db, |t| t.parent.matches(|t| t.list.matches(|list| list.name.eq("home")))), "bc");
    let by_list = Todo::query().order_by(|t| t.list.field(|list| list.name).desc());
    let titles: String = by_list.all(&db).unwrap().into_iter().map(|todo| todo.title).collect();
    assert_eq!(titles, "badc");

    let lists = |filter: fn(<List as Synced>::Columns) -> cfost::query::Filter<List>| {
        let lists = List::query().filter(filter).order_by(|list| list.name.asc()).all(&db).unwrap();
        lists.into_iter().map(|list| list.name).collect::<Vec<_>>()
    };
    assert_eq!(lists(|list| list.id.referenced_by(Todo::query(), |t| t.list)), ["home", "work"]);
    assert_eq!(lists(|list| !list.id.referenced_by(Todo::query(), |t| t.list)), [empty.name]);
    assert_eq!(lists(|list| list.id.referenced_by(Todo::query().filter(|t| t.title.eq("b")), |t| t.list)), ["work"]);

    let pairs = Todo::query().order_by(|t| t.title.desc()).with(|t| t.list);
    let names: Vec<_> = pairs.all(&db).unwrap().into_iter().map(|(todo, list)| todo.title + &list.name).collect();
    assert_eq!(names, ["bwork", "ahome"]);
    assert_eq!(pairs.first(&db).unwrap().unwrap().1, work);
    let children = Todo::query().with(|t| t.parent).all(&db).unwrap();
    assert!(children.iter().all(|(_, parent)| *parent == a) && children.len() == 2);
}

#[test]
fn words_are_found_in_the_fields_that_are_searched() {
    let db = Db::open_in_memory(models![List, Todo]).unwrap();
    let insert =
        |title: &str, note: Option<&str>| db.insert(Todo { note: note.map(Into::into), ..todo(title, None) }).unwrap();
    let milk = insert("apples and Milk", None);
    insert("bread", Some("not milk, but CAFÉ crème"));
    insert("cream", Some("fresh milk"));
    assert_eq!(found(&db, |t| t.title.matches("milk")), "a");
    assert_eq!(found(&db, |t| t.note.matches("MILK")), "bc");
    assert_eq!(found(&db, |t| t.title.matches("milk") | t.note.matches("milk")), "abc");
    assert_eq!(found(&db, |t| !t.note.matches("milk")), "a");
    assert_eq!(found(&db, |t| t.note.matches("cafe milk")), "b");
    assert_eq!(found(&db, |t| t.note.matches("\"fresh milk\"")), "c");
    assert_eq!(found(&db, |t| t.note.matches("\"milk fresh\"")), "");
    assert_eq!(found(&db, |t| t.note.matches("fre* mi*")), "c");
    assert_eq!(found(&db, |t| t.note.matches("fre")), "");
    for nothing in ["", "\"", "*", "AND NOT OR NEAR(", "-:^{}"] {
        assert_eq!(found(&db, |t| t.note.matches(nothing)), "", "{nothing:?}");
    }
    // The words follow the rows.
    db.update(milk.id, |todo: &mut Todo| todo.title = "apples and butter".into()).unwrap();
    assert_eq!(found(&db, |t| t.title.matches("milk")), "");
    assert_eq!(found(&db, |t| t.title.matches("butter")), "a");
    db.delete::<Todo>(milk.id).unwrap();
    assert_eq!(found(&db, |t| t.title.matches("butter")), "");
    db.insert(milk).unwrap();
    assert_eq!(found(&db, |t| t.title.matches("milk")), "a");
    assert!(db.verify().unwrap().is_sound());
}

mod plain {
    use super::*;

    /// The same table before its words were searched.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "notes", version = 1)]
    pub(crate) struct Note {
        #[synced(id)]
        pub(crate) id: Uuid,
        pub(crate) text: String,
    }
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "notes", version = 1)]
struct Note {
    #[synced(id)]
    id: Uuid,
    #[synced(search)]
    text: String,
}

#[test]
fn a_field_that_is_searched_from_now_on_has_the_words_of_the_rows_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.db");
    let before = Db::open(&path, models![plain::Note]).unwrap();
    before.insert(plain::Note { text: "buy milk".into(), ..plain::Note::default() }).unwrap();
    drop(before);
    for _ in 0..2 {
        let db = Db::open(&path, models![Note]).unwrap();
        assert_eq!(Note::query().filter(|note| note.text.matches("milk")).count(&db).unwrap(), 1);
    }
    // Without it the index goes, and what is written meanwhile is there when it is back.
    let without = Db::open(&path, models![plain::Note]).unwrap();
    without.insert(plain::Note { text: "more milk".into(), ..plain::Note::default() }).unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'cfost_search%'";
    assert_eq!(without.sql(tables).first::<(i64,)>().unwrap(), Some((0,)));
    drop(without);
    let db = Db::open(&path, models![Note]).unwrap();
    assert_eq!(Note::query().filter(|note| note.text.matches("milk")).count(&db).unwrap(), 2);
}

#[test]
fn what_cannot_be_asked_is_a_typed_error() {
    let db = fruit();
    let error = Todo::query().filter(|t| t.weight.lt(f64::NAN)).all(&db).unwrap_err();
    assert!(error.to_string().starts_with("can't store 'Todo.weight': NaN can't be stored"), "{error}");
    let error = List::query().filter(|list| list.name.matches("milk")).all(&db).unwrap_err();
    assert!(matches!(error, Error::NotSearchable { model: "List", field: "name" }), "{error}");
    let error = Todo::query().filter(|t| t.votes.in_(0..40_000)).all(&db).unwrap_err();
    assert!(matches!(error, Error::QueryTooLarge { values: 40_000, .. }), "{error}");
    let error = Note::query().all(&db).unwrap_err();
    assert!(matches!(error, Error::UnknownModel { model: "Note" }), "{error}");
    let lists = Db::open_in_memory(models![Todo]).unwrap();
    let error = Todo::query().filter(|t| t.list.exists()).count(&lists).unwrap_err();
    assert!(matches!(error, Error::UnknownModel { model: "List" }), "{error}");
}

#[test]
fn many_values_are_compared_with_in_one_statement() {
    let db = fruit();
    assert_eq!(found(&db, |t| t.votes.in_((3..30_003).chain([1]))), "bdef");
}
