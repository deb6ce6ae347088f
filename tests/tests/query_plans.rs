//! Queries of the usual shapes are found by indexes, and sorted by them.

use std::collections::{BTreeMap, BTreeSet};

use cfost::prelude::*;
use cfost::query::Query;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "lists", version = 1)]
struct Project {
    #[synced(id)]
    id: Uuid,
    #[synced(index)]
    name: String,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1, index(completed, rank))]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[synced(index, search)]
    title: String,
    completed: bool,
    rank: i64,
    plain: i64,
    #[synced(index, references = Project, on_delete = keep)]
    project: Option<Uuid>,
    #[crdt(set)]
    #[synced(index)]
    tags: BTreeSet<String>,
    #[crdt(set)]
    plain_tags: BTreeSet<String>,
    #[crdt(map)]
    scores: BTreeMap<String, i64>,
}

fn plan(query: &Query<Todo>) -> String {
    let db = Db::open_in_memory(models![Todo, Project]).unwrap();
    query.plan(&db).unwrap().join("\n")
}

/// The plan has these steps, in this order, and goes through no table from end to end, nor sorts.
#[track_caller]
fn by_index(query: &Query<Todo>, steps: &[&str]) {
    let plan = plan(query);
    let mut rest = plan.as_str();
    for step in steps {
        rest = rest.split_once(step).unwrap_or_else(|| panic!("no step `{step}` in:\n{plan}")).1;
    }
    let all = |line: &str| line.starts_with("SCAN") && !line.contains("VIRTUAL TABLE") && !line.contains("USING");
    assert!(!plan.lines().any(all), "a table is gone through:\n{plan}");
    assert!(!plan.contains("TEMP B-TREE"), "it is sorted:\n{plan}");
}

#[test]
fn a_row_is_found_by_its_id() {
    by_index(&Todo::query().filter(|t| t.id.eq(Uuid::max())), &["SEARCH t0 USING PRIMARY KEY (id=?)"]);
    by_index(&Todo::query().filter(|t| t.id.in_([Uuid::max(); 3])), &["SEARCH t0 USING PRIMARY KEY (id=?)"]);
    // A table is in the order of its ids.
    assert_eq!(plan(&Todo::query().limit(10)), "SCAN t0");
}

#[test]
fn rows_are_found_and_sorted_by_an_index() {
    let index = "SEARCH t0 USING INDEX todos_by_title";
    by_index(&Todo::query().filter(|t| t.title.eq("a")), &[&format!("{index} (title=?)")]);
    let range = |query: Query<Todo>| query.filter(|t| t.title.gt("a"));
    let found = format!("{index} (title>?)");
    by_index(&range(Todo::query()).order_by(|t| t.title.asc()), &[&found]);
    by_index(&range(Todo::query()).order_by(|t| t.title.desc()), &[&found]);
    let between = format!("{index} (title>? AND title<?)");
    by_index(&Todo::query().filter(|t| t.title.starts_with("a")).order_by(|t| t.title.asc()), &[&between]);
    by_index(&Todo::query().filter(|t| t.title.between("a", "b")).order_by(|t| t.title.asc()), &[&between]);
    by_index(&Todo::query().order_by(|t| t.title.desc()).limit(10), &["SCAN t0 USING INDEX todos_by_title"]);
    // Equal in the first column, and sorted by the second.
    let open = Todo::query().filter(|t| t.completed.eq(false)).order_by(|t| t.rank.desc()).limit(100);
    by_index(&open, &["SEARCH t0 USING INDEX todos_by_completed_rank (completed=?)"]);
    // The order by ids that nobody asked for doesn't keep SQLite from the index.
    by_index(&range(Todo::query()), &[&found]);
    // A range of one column and an order by another one can't both be by an index.
    let sorted = plan(&range(Todo::query()).order_by(|t| t.plain.asc()));
    assert!(sorted.contains(&found) && sorted.contains("USE TEMP B-TREE FOR ORDER BY"), "{sorted}");
    assert!(plan(&Todo::query().filter(|t| t.plain.eq(1))).contains("SCAN t0"));
}

#[test]
fn the_next_page_begins_where_the_last_one_ended() {
    let last = Todo { id: Uuid::max(), title: "m".into(), ..Todo::default() };
    by_index(&Todo::query().after(&last), &["SEARCH t0 USING PRIMARY KEY (id>?)"]);
    let by_title = Todo::query().order_by(|t| t.title.asc()).after(&last).limit(10);
    by_index(&by_title, &["SEARCH t0 USING INDEX todos_by_title ((title,id)>(?,?))"]);
    let backwards = Todo::query().order_by(|t| t.title.desc()).after(&last).limit(10);
    by_index(&backwards, &["SEARCH t0 USING INDEX todos_by_title ((title,id)<(?,?))"]);
    let open = Todo::query().filter(|t| t.completed.eq(false)).order_by(|t| t.rank.asc()).after(&last).limit(10);
    by_index(&open, &["SEARCH t0 USING INDEX todos_by_completed_rank (completed=? AND (rank,id)>(?,?))"]);
    // In directions that differ the index still leads to the page, though not within it.
    let mixed = Todo::query().order_by(|t| (t.title.asc(), t.plain.desc())).after(&last).limit(10);
    assert!(plan(&mixed).contains("SEARCH t0 USING INDEX todos_by_title (title>?)"), "{}", plan(&mixed));
}

#[test]
fn rows_are_found_by_their_elements() {
    let tagged = Todo::query().filter(|t| t.tags.contains("a"));
    by_index(
        &tagged,
        &["SEARCH t0 USING PRIMARY KEY (id=?)", "SEARCH t1 USING COVERING INDEX todos_tags_by_element (element=?)"],
    );
    // Without an index over the elements they are looked up in the rows that are found otherwise.
    let tagged = Todo::query().filter(|t| t.title.eq("a") & t.plain_tags.contains("a"));
    by_index(
        &tagged,
        &["SEARCH t0 USING INDEX todos_by_title (title=?)", "SEARCH t1 EXISTS USING PRIMARY KEY (row=? AND element=?)"],
    );
    let scored = Todo::query().filter(|t| t.title.eq("a") & t.scores.key("math").gt(3));
    by_index(
        &scored,
        &["SEARCH t0 USING INDEX todos_by_title (title=?)", "SEARCH t1 USING PRIMARY KEY (row=? AND key=?)"],
    );
}

#[test]
fn rows_are_found_by_the_rows_that_they_refer_to() {
    let query = Todo::query().filter(|t| t.project.matches(|project| project.name.eq("home")));
    let reference = "SEARCH t0 USING INDEX todos_by_project (project=?)";
    let parent = "SEARCH t1 USING COVERING INDEX lists_by_name (name=?)";
    let plan = plan(&query);
    assert!(plan.contains(reference) && plan.contains(parent), "{plan}");
    let named = Todo::query().filter(|t| t.title.eq("a") & t.project.field(|project| project.name).eq("home"));
    by_index(&named, &["SEARCH t0 USING INDEX todos_by_title", "SEARCH t1 USING PRIMARY KEY (id=?)"]);
}

#[test]
fn rows_are_found_by_their_words() {
    let query = Todo::query().filter(|t| t.title.matches("milk"));
    by_index(&query, &["SEARCH t0 USING PRIMARY KEY (id=?)", "VIRTUAL TABLE INDEX", "USING INTEGER PRIMARY KEY"]);
}
