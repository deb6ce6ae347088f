//! What rows, indexes and words are after a migration.

use std::collections::BTreeMap;
use std::path::Path;

use cfost::prelude::*;
use cfost_tests::fleet::{self, Device, START_MS};
use cfost_tests::meaning;
use rusqlite::Connection;

use super::apps::{App, copy, day, fill, models, v1, v2, v3, v4, v5};

/// The row as version 5 shows it.
fn upgraded(todo: v1::Todo) -> v5::Todo {
    v5::Todo {
        id: todo.id,
        heading: todo.title,
        due: day(todo.due) as f64,
        rank: todo.rank.unwrap_or(-1),
        likes: todo.votes,
        left: todo.left,
        right: todo.right,
        labels: todo.tags,
        effort: 5,
        steps: List::default(),
    }
}

/// All tables, indexes and triggers of a model in a file: the SQL that made each, a table's as the columns that it has.
fn made_of(path: &Path) -> BTreeMap<String, String> {
    let conn = Connection::open(path).unwrap();
    let mut select = conn
        .prepare(
            "SELECT name, type, sql FROM sqlite_schema WHERE name LIKE '%todos%' AND sql IS NOT NULL ORDER BY name",
        )
        .unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let columns = |table: &str| {
        let mut select =
            conn.prepare("SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?1)").unwrap();
        let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
            let default: Option<String> = row.get(3)?;
            let (name, kind): (String, String) = (row.get(0)?, row.get(1)?);
            Ok(format!("{name} {kind} {} {default:?} {}", row.get::<_, i64>(2)?, row.get::<_, i64>(4)?))
        };
        let mut columns: Vec<String> = select.query_map([table], read).unwrap().map(Result::unwrap).collect();
        columns.sort();
        columns.join("\n")
    };
    rows.map(Result::<(String, String, String), _>::unwrap)
        .filter(|(name, ..)| !name.starts_with("cfost_search_") || !name.contains("_todos_"))
        .map(|(name, kind, sql)| if kind == "table" { (name.clone(), columns(&name)) } else { (name, sql) })
        .collect()
}

#[test]
fn a_database_comes_along_over_any_number_of_versions_and_shows_what_its_oplog_gives() {
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join("v1.db");
    let mut app = App::new(first.clone(), models(1));
    fill(app.db());
    let wanted: Vec<v1::Todo> = app.db().all().unwrap();
    app.close();
    // All ways from the first version to the last, each with what it skips.
    for skipped in 0..8_u32 {
        let path = dir.path().join(format!("{skipped}.db"));
        copy(&first, &path);
        let mut app = App::reopened(path, models(1));
        let way = (2..=4).filter(|version| skipped >> (version - 2) & 1 == 0).chain([5]);
        for version in way {
            app.open(models(version));
            app.assert_sound();
            let shown = match version {
                2 => meaning::shown::<v2::Todo>(app.db()),
                3 => meaning::shown::<v3::Todo>(app.db()),
                4 => meaning::shown::<v4::Todo>(app.db()),
                _ => meaning::shown::<v5::Todo>(app.db()),
            };
            let meant = meaning::meant(app.db(), &models(version)).unwrap();
            assert_eq!(shown.unwrap(), meant["todos"], "version {version}");
        }
        let shown: Vec<v5::Todo> = app.db().all().unwrap();
        let kept: Vec<v5::Todo> = shown.into_iter().filter(|todo| wanted.iter().any(|it| it.id == todo.id)).collect();
        assert_eq!(kept, wanted.iter().cloned().map(upgraded).collect::<Vec<_>>());
    }
}

#[test]
fn rows_that_were_hidden_with_their_parent_are_shown_once_the_reference_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut app = App::new(dir.path().join("todo.db"), models(1));
    let ids = fill(app.db());
    let shown =
        |app: &App, id: Uuid| app.db().sql("SELECT 1 FROM todos WHERE id = ?").bind(id).rows::<(i64,)>().unwrap().len();
    assert_eq!((shown(&app, ids[3]), shown(&app, ids[19])), (0, 0));
    app.open(models(4));
    assert_eq!((shown(&app, ids[3]), shown(&app, ids[19])), (0, 0));
    app.open(models(5));
    assert_eq!((shown(&app, ids[3]), shown(&app, ids[19]), shown(&app, ids[0])), (1, 1, 0));
    app.assert_sound();
}

#[test]
fn a_row_that_was_deleted_before_and_comes_back_after_a_migration_has_what_later_versions_made_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut app = App::new(dir.path().join("todo.db"), models(1));
    let other = Device::in_memory("other", models(1), 9).unwrap();
    fleet::pair(app.db(), &other.db, &other.host).unwrap();
    let todo = v1::Todo { due: "day 5".into(), votes: 4, tags: ["tag".into()].into(), ..v1::Todo::default() };
    let id = app.db().insert(todo).unwrap().id;
    fleet::sync(app.db(), &other.db).unwrap();
    app.db().delete::<v1::Todo>(id).unwrap();
    app.open(models(3));
    app.open(models(5));
    assert_eq!(app.db().get::<v5::Todo>(id).unwrap(), None);
    // A later edit on a device that knew of no delete, and has the first version still.
    other.clock.set(START_MS + 60_000);
    other.db.update(id, |todo: &mut v1::Todo| (todo.title, todo.votes) = ("back".into(), 6)).unwrap();
    fleet::sync(app.db(), &other.db).unwrap();
    let back = app.db().get::<v5::Todo>(id).unwrap().unwrap();
    assert_eq!((back.heading.as_str(), back.due, back.likes, back.rank), ("back", 5.0, 6, -1));
    assert_eq!(back.labels, ["tag".to_owned()].into());
    app.assert_sound();
}

#[test]
fn a_migrated_file_has_the_tables_the_indexes_and_the_words_of_its_model_and_no_others() {
    let dir = tempfile::tempdir().unwrap();
    for to in 2..=5 {
        let fresh = dir.path().join(format!("fresh {to}.db"));
        drop(App::new(fresh.clone(), models(to)));
        for from in 1..to {
            let path = dir.path().join(format!("{from} to {to}.db"));
            let mut app = App::new(path.clone(), models(1));
            fill(app.db());
            app.open(models(from));
            app.open(models(to));
            assert_eq!(made_of(&path), made_of(&fresh), "from {from} to {to}");
            let words = "SELECT count(*) FROM cfost_search_todos WHERE cfost_search_todos MATCH 'many'";
            let found = app.db().sql(words).rows::<(i64,)>().unwrap();
            let rows = app.db().sql("SELECT count(*) FROM todos").rows::<(i64,)>().unwrap();
            assert_eq!(found, rows, "from {from} to {to}");
        }
    }
}

mod swapped {
    use std::collections::BTreeMap;

    use cfost::prelude::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "pairs", version = 2)]
    pub(super) struct Pair {
        #[synced(id)]
        pub(super) id: Uuid,
        #[synced(index, renamed_from("left", in = 2))]
        pub(super) right: String,
        #[synced(index, renamed_from("right", in = 2))]
        pub(super) left: String,
        #[crdt(set)]
        #[synced(renamed_from("first", in = 2))]
        pub(super) second: std::collections::BTreeSet<u8>,
        #[crdt(set)]
        #[synced(renamed_from("second", in = 2))]
        pub(super) first: std::collections::BTreeSet<u8>,
        #[crdt(map)]
        #[synced(column = "Scores", renamed_from("scores", in = 2))]
        pub(super) scores: BTreeMap<u8, u8>,
        #[synced(column = "Note", renamed_from("note", in = 2))]
        pub(super) note: String,
    }
}

#[test]
fn fields_can_swap_their_names_and_write_them_in_other_letters() {
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "pairs", version = 1)]
    struct Pair {
        #[synced(id)]
        id: Uuid,
        #[synced(index)]
        left: String,
        #[synced(index)]
        right: String,
        #[crdt(set)]
        first: std::collections::BTreeSet<u8>,
        #[crdt(set)]
        second: std::collections::BTreeSet<u8>,
        #[crdt(map)]
        scores: BTreeMap<u8, u8>,
        note: String,
    }
    let dir = tempfile::tempdir().unwrap();
    let mut app = App::new(dir.path().join("pairs.db"), models![Pair]);
    let pair = Pair {
        left: "l".into(),
        right: "r".into(),
        first: [1].into(),
        second: [2].into(),
        scores: [(3, 4)].into(),
        note: "n".into(),
        ..Pair::default()
    };
    let id = app.db().insert(pair).unwrap().id;
    app.open(models![swapped::Pair]);
    let pair: swapped::Pair = app.db().get(id).unwrap().unwrap();
    assert_eq!((pair.left.as_str(), pair.right.as_str()), ("r", "l"));
    assert_eq!((pair.first, pair.second), ([2].into(), [1].into()));
    assert_eq!((pair.scores, pair.note.as_str()), ([(3, 4)].into(), "n"));
    app.assert_sound();
    let plan = "EXPLAIN QUERY PLAN SELECT id FROM pairs WHERE \"left\" = 'r'";
    let plan = app.db().sql(plan).rows::<(i64, i64, i64, String)>().unwrap();
    assert!(plan[0].3.contains("INDEX"), "{plan:?}");
}

#[test]
fn what_newer_apps_wrote_before_the_upgrade_is_there_after_it_whatever_versions_are_in_between() {
    let dir = tempfile::tempdir().unwrap();
    for way in [vec![5], vec![2, 5], vec![3, 5], vec![2, 3, 4, 5]] {
        let mut app = App::new(dir.path().join(format!("{way:?}.db")), models(1));
        let newest = Device::in_memory("newest", models(5), 9).unwrap();
        fleet::pair(app.db(), &newest.db, &newest.host).unwrap();
        let ids = fill(app.db());
        fleet::sync(app.db(), &newest.db).unwrap();
        newest.clock.set(START_MS + 60_000);
        let edit = |id: Uuid, edit: &dyn Fn(&mut v5::Todo)| _ = newest.db.update(id, |todo| edit(todo)).unwrap();
        edit(ids[1], &|todo| todo.due = 31.0);
        edit(ids[2], &|todo| (todo.rank, todo.likes) = (6, todo.likes + 9));
        edit(ids[4], &|todo| _ = (todo.labels.insert("new".into()), todo.steps.push("first".into())));
        edit(ids[7], &|todo| (todo.heading, todo.effort) = ("by the newest".into(), 8));
        newest.db.delete::<v5::Todo>(ids[8]).unwrap();
        newest.db.insert(v5::Todo { heading: "new".into(), due: 12.0, ..v5::Todo::default() }).unwrap();
        fleet::sync(app.db(), &newest.db).unwrap();
        // The first version reads what leads back to it.
        let shown = |id: Uuid| app.db().get::<v1::Todo>(id).unwrap().unwrap();
        assert_eq!((shown(ids[1]).due, shown(ids[2]).rank), ("day 31".into(), Some(6)));
        assert_eq!((shown(ids[4]).tags, shown(ids[7]).title), (["new".into()].into(), "by the newest".into()));
        for version in way {
            app.open(models(version));
            app.assert_sound();
        }
        assert_eq!(app.db().all::<v5::Todo>().unwrap(), newest.db.all::<v5::Todo>().unwrap());
    }
}

mod ruled {
    use cfost::prelude::*;

    /// A number of version 1.
    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "posts", version = 1)]
    pub(super) struct Post {
        #[synced(id)]
        pub(super) id: Uuid,
        pub(super) title: String,
        pub(super) votes: i64,
    }

    pub(super) mod counted {
        use cfost::prelude::*;

        #[derive(Synced, Debug, Clone, Default, PartialEq)]
        #[synced(table = "posts", version = 2)]
        pub(in super::super) struct Post {
            #[synced(id)]
            pub(in super::super) id: Uuid,
            pub(in super::super) title: String,
            #[crdt(counter, changed_from(lww, in = 2))]
            pub(in super::super) votes: i64,
        }
    }

    pub(super) mod renamed {
        use cfost::prelude::*;

        #[derive(Synced, Debug, Clone, Default, PartialEq)]
        #[synced(table = "posts", version = 3)]
        pub(in super::super) struct Post {
            #[synced(id)]
            pub(in super::super) id: Uuid,
            pub(in super::super) title: String,
            #[crdt(counter, changed_from(lww, in = 2))]
            #[synced(renamed_from("votes", in = 3))]
            pub(in super::super) likes: i64,
        }
    }

    pub(super) mod removed {
        use cfost::prelude::*;

        #[derive(Synced, Debug, Clone, Default, PartialEq)]
        #[synced(table = "posts", version = 4)]
        #[synced(removed(#[crdt(counter)] likes, in = 4, renamed_from("votes", in = 3)))]
        pub(in super::super) struct Post {
            #[synced(id)]
            pub(in super::super) id: Uuid,
            pub(in super::super) title: String,
        }
    }
}

#[test]
fn a_number_that_became_a_counter_keeps_its_sum_under_another_name_and_leaves_nothing_behind_when_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let mut app = App::new(dir.path().join("posts.db"), models![ruled::Post]);
    let post = ruled::Post { votes: 7, ..ruled::Post::default() };
    let [id, deleted] = [post.clone(), post].map(|post| app.db().insert(post).unwrap().id);
    app.db().delete::<ruled::Post>(deleted).unwrap();
    app.open(models![ruled::counted::Post]);
    app.assert_sound();
    app.db().update(id, |post: &mut ruled::counted::Post| post.votes += 2).unwrap();
    app.open(models![ruled::renamed::Post]);
    app.assert_sound();
    let shown = app.db().update(id, |post: &mut ruled::renamed::Post| post.likes += 1).unwrap();
    assert_eq!(shown.likes, 10);
    app.open(models![ruled::removed::Post]);
    app.assert_sound();
    let kept = app.db().sql("SELECT count(*) FROM cfost_bases").rows::<(i64,)>().unwrap();
    assert_eq!((app.db().count::<ruled::removed::Post>().unwrap(), kept), (1, vec![(0,)]));
}

#[cfg(feature = "text")]
mod texts {
    use super::*;

    #[derive(Synced, Debug, Clone, Default, PartialEq)]
    #[synced(table = "notes", version = 1)]
    struct Note {
        #[synced(id)]
        id: Uuid,
        #[crdt(text)]
        body: Text,
        #[crdt(text)]
        draft: Text,
        #[crdt(text)]
        scratch: Text,
        rank: i64,
    }

    mod renamed {
        use cfost::prelude::*;

        #[derive(Synced, Debug, Clone, Default, PartialEq)]
        #[synced(table = "notes", version = 2)]
        pub(super) struct Note {
            #[synced(id)]
            pub(super) id: Uuid,
            #[synced(search, renamed_from("body", in = 2))]
            #[crdt(text)]
            pub(super) content: Text,
            #[crdt(text)]
            pub(super) draft: Text,
            #[crdt(text)]
            pub(super) scratch: Text,
            pub(super) rank: i64,
        }
    }

    mod removed {
        use cfost::prelude::*;

        #[derive(Synced, Debug, Clone, Default, PartialEq)]
        #[synced(table = "notes", version = 3, removed(#[crdt(text)] scratch, in = 3))]
        pub(super) struct Note {
            #[synced(id)]
            pub(super) id: Uuid,
            #[synced(search, renamed_from("body", in = 2))]
            #[crdt(text)]
            pub(super) content: Text,
            #[synced(renamed_from("draft", in = 3))]
            #[crdt(text)]
            pub(super) sketch: Text,
            pub(super) rank: i64,
        }
    }

    #[test]
    fn texts_are_written_on_under_their_new_names_and_those_that_go_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let mut app = App::new(dir.path().join("notes.db"), models![Note]);
        let other = Device::in_memory("other", models![Note], 9).unwrap();
        fleet::pair(app.db(), &other.db, &other.host).unwrap();
        let note = Note { body: "body".into(), draft: "draft".into(), scratch: "scratch".into(), ..Note::default() };
        let [id, deleted] = [note.clone(), note].map(|note| app.db().insert(note).unwrap().id);
        app.db().update(id, |note: &mut Note| note.body.push_str(", and more")).unwrap();
        app.db().delete::<Note>(deleted).unwrap();
        fleet::sync(app.db(), &other.db).unwrap();
        other.db.update(id, |note: &mut Note| note.body.insert(0, "the ")).unwrap();

        app.open(models![renamed::Note]);
        app.assert_sound();
        app.db().update(id, |note: &mut renamed::Note| note.content.push_str(".")).unwrap();
        app.open(models![removed::Note]);
        app.assert_sound();
        app.db().update(id, |note: &mut removed::Note| note.sketch.push_str("!")).unwrap();
        fleet::sync(app.db(), &other.db).unwrap();
        app.assert_sound();
        let shown: removed::Note = app.db().get(id).unwrap().unwrap();
        assert_eq!((&*shown.content, &*shown.sketch), ("the body, and more.", "draft!"));
        assert_eq!(&*other.db.get::<Note>(id).unwrap().unwrap().body, "the body, and more.");
        assert_eq!(removed::Note::query().filter(|note| note.content.matches("more")).count(app.db()).unwrap(), 1);
        let conn = Connection::open(&app.path).unwrap();
        let mut names = conn.prepare("SELECT DISTINCT column_name FROM cfost_texts ORDER BY 1").unwrap();
        let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(names, ["content", "sketch"]);
    }
}
