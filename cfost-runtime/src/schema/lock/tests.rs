//! What a lock says of an app's models: nothing while they are what it records, and else what to write.

use proptest::prelude::*;

use super::{Bless, Lock, LockError};

const HEAD: &str = "lock 1\n\n";

fn lock(sections: &str) -> Lock {
    format!("{HEAD}{sections}").parse().unwrap_or_else(|error| panic!("{error}"))
}

/// What is told of an app whose attributes tell `app`, where `recorded` is recorded.
fn told(recorded: &str, app: &str) -> String {
    let problems = lock(recorded).compare(&lock(app));
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

const V1: &str = "[todos 1]\nid id\ncolumn title TEXT NOT NULL lww\ncolumn rank INTEGER NOT NULL lww\n\
                  column votes INTEGER NOT NULL counter\nelements tags set TEXT\n";

fn v1_with(from: &str, to: &str) -> String {
    assert!(V1.contains(from), "{from}");
    V1.replace(from, to)
}

#[test]
fn the_text_of_a_lock_is_read_as_it_was_written() {
    let sections = "[lists 1]\nid id\ncolumn name TEXT NOT NULL lww\n\n[lists removed]\n\n[todos 1]\nid id\n\
                    column heading TEXT NOT NULL lww\ncolumn rank TEXT lww ?\nindex ?\n\n[todos 3]\nid id\n\
                    column title TEXT NOT NULL lww called heading\ncolumn rank INTEGER NOT NULL lww called rank@3\n\
                    column votes INTEGER NOT NULL counter\n\
                    upgraded rank INTEGER NOT NULL from rank TEXT and back by \"with = |rank| 0, back = g\"\n\
                    removed note leaving \"a\\nb\"\nmerges votes counter from lww and back\n";
    let lock = lock(sections);
    let text = lock.to_string();
    assert!(text.ends_with(&format!("lock 1\n\n{sections}")), "{text}");
    assert_eq!(text.parse(), Ok(lock.clone()));
    assert_eq!(text.replace('\n', "\r\n").parse(), Ok(lock), "git may write other ends of lines");
}

#[test]
fn models_that_are_what_is_recorded_are_not_spoken_of() {
    assert_eq!(told(V1, V1), "");
    assert_eq!(told(&format!("{V1}\n[lists 1]\nid id\n\n[lists removed]\n"), V1), "");
}

#[test]
fn what_is_new_is_recorded_by_1() {
    let app = format!("{V1}\n[todos 2]\nid id\ncolumn title TEXT NOT NULL lww\n\n[lists 1]\nid id\n");
    let app = app.replace("index ?\n", "");
    assert_eq!(told(V1, &app), "version 2 of 'todos' isn't recorded yet\nmodel 'lists' isn't recorded yet\n");
    let recorded = lock(V1).record(&lock(&app), Bless::New).unwrap();
    assert_eq!(recorded, lock(&app));
}

#[test]
fn a_shape_that_changed_under_its_version_needs_a_new_one() {
    let app = v1_with("column votes", "column open INTEGER NOT NULL lww\ncolumn votes");
    assert_eq!(
        told(V1, &app),
        "version 1 of 'todos': column 'open' is new: `open INTEGER NOT NULL lww`\n  \
         write: `version = 2` in the struct's `#[synced(..)]`\n  \
         write: `#[synced(since = 2, backfill = 0)]` on the field `open`, or make it an Option\n"
    );
    assert!(lock(V1).record(&lock(&app), Bless::New).is_err());
    assert_eq!(lock(V1).record(&lock(&app), Bless::Unreleased), Ok(lock(&app)), "it is the newest version");
}

/// An app at version 2 whose attributes say of version 1 what they say of its own.
fn at_2(shape: &str) -> String {
    format!("{shape}\n{}", shape.replace("[todos 1]", "[todos 2]"))
}

#[test]
fn each_change_that_no_attribute_tells_is_met_with_the_line_to_write() {
    let cases = [
        (
            ("column votes", "column open INTEGER NOT NULL lww\ncolumn votes"),
            "write: `#[synced(since = 2, backfill = 0)]` on the field `open`, or make it an Option",
        ),
        (("column votes", "column note TEXT lww\ncolumn votes"), "write: `#[synced(since = 2)]` on the field `note`"),
        (
            ("elements tags", "elements steps list BLOB TEXT\nelements tags"),
            "write: `#[synced(since = 2)]` on the field `steps`",
        ),
        (
            ("column title TEXT NOT NULL lww\n", ""),
            "write: `removed(title: String = \"\", in = 2)` in the struct's `#[synced(..)]`",
        ),
        (
            ("column votes INTEGER NOT NULL counter\n", ""),
            "write: `removed(#[crdt(counter)] votes, in = 2)` in the struct's `#[synced(..)]`",
        ),
        (
            ("elements tags set TEXT\n", ""),
            "write: `removed(#[crdt(set)] tags, in = 2)` in the struct's `#[synced(..)]`",
        ),
        (
            ("column title", "column name"),
            "or, if it is `title` by another name: `#[synced(renamed_from(\"title\", in = 2))]` on the field `name`",
        ),
        (
            ("rank INTEGER", "rank TEXT"),
            "write: `#[synced(since = 2, upgrade(rank, with = f, back = g))]` on the field `rank`\n  where `fn f(old: \
             i64) -> String` and, for older devices, `fn g(new: String) -> i64`",
        ),
        (
            ("rank INTEGER NOT NULL", "rank INTEGER"),
            "write: `#[synced(since = 2, upgrade(rank, with = Some, back = |rank| rank.unwrap_or(0)))]` on the field `rank`",
        ),
        (
            ("rank INTEGER NOT NULL lww", "rank INTEGER NOT NULL counter"),
            "write: `#[crdt(counter, changed_from(lww, in = 2))]` on the field `rank`",
        ),
        (
            ("title TEXT NOT NULL lww", "title TEXT NOT NULL text"),
            "write: `#[crdt(text, changed_from(lww, in = 2))]` on the field `title`",
        ),
        (
            ("votes INTEGER NOT NULL counter", "votes INTEGER NOT NULL lww"),
            "write: `#[crdt(counter)]` on the field `votes`: what it holds can't become a lww; another field with \
             `since = 2` can be one",
        ),
        (
            ("title TEXT NOT NULL lww", "title TEXT NOT NULL lww default \"x\""),
            "write: no `default` on the field `title`",
        ),
        (
            ("title TEXT NOT NULL lww", "title TEXT NOT NULL lww immutable"),
            "write: the attributes of the field `title` as they were, or another field with `since = 2`, and \
             `removed(title: String = \"\", in = 2)` in the struct's `#[synced(..)]`",
        ),
        (
            ("set TEXT", "set INTEGER"),
            "write: the field `tags` as it was; one with other elements is another field, with `since = 2`",
        ),
        (("id id", "id key"), "write: `#[synced(column = \"id\")]` on the id; its column keeps its name"),
        (
            (
                "column title TEXT NOT NULL lww\ncolumn rank INTEGER NOT NULL lww\n",
                "column rank INTEGER NOT NULL lww\ncolumn title TEXT NOT NULL lww\n",
            ),
            "write: the fields in the order title, rank, votes",
        ),
        (
            ("elements tags set TEXT\n", "elements tags set TEXT\ndelete wins\n"),
            "write: the attribute as it was; rows are what they are by it on every device, so it is for a model of another name",
        ),
    ];
    for ((from, to), line) in cases {
        let app = at_2(&v1_with(from, to));
        let told = told(V1, &app);
        assert!(told.contains(&format!("\n  {line}\n")), "{from:?} became {to:?}, which is told as:\n{told}");
        for bless in [Bless::New, Bless::Unreleased] {
            assert!(lock(V1).record(&lock(&app), bless).is_err(), "{bless:?} recorded version 1 anew, with {to:?}");
        }
    }
}

#[test]
fn a_name_that_another_column_had_is_refused() {
    let v2 = v1_with("column rank INTEGER NOT NULL lww\n", "").replace("[todos 1]", "[todos 2]");
    let recorded = format!("{V1}\n{v2}removed rank leaving 0\n");
    // The field is a new one, and what was removed isn't spoken of any more.
    let v1 = v1_with("column rank INTEGER NOT NULL lww\n", "");
    let v3 = V1.replace("[todos 1]", "[todos 3]");
    let told_of = told(&recorded, &format!("{v1}\n{v3}"));
    let lines = "the field `rank` of version 3 has its name: devices on version 1 would take its values for those of their \
                 own\n  write: another name or `column = \"..\"` for the new field, and of the old one\n  write: \
                 `removed(rank: i64 = 0, in = 2)` in the struct's `#[synced(..)]`";
    assert!(told_of.contains(lines), "{told_of}");
    // It is said to have been there all the time.
    let told_of = told(&recorded, &format!("{V1}\n{v3}"));
    let lines = "version 1 had another column of this name, which version 2 has removed";
    assert!(told_of.contains(lines) && told_of.contains("write: `removed(rank: i64 = 0, in = 2)`"), "{told_of}");
}

#[test]
fn a_backfill_stays_as_it_was() {
    let of = |backfill| {
        let v2 = v1_with("column votes", &format!("column open INTEGER NOT NULL lww{backfill}\ncolumn votes"));
        format!("{V1}\n{}", v2.replace("[todos 1]", "[todos 2]"))
    };
    let told = told(&of(" default 1"), &of(" default 0"));
    let expected = "version 2 of 'todos': column 'open' had the default 1 and has 0\n  write: `backfill = 1` on the field `open`\n";
    assert!(told.starts_with(expected), "{told}");
}

#[test]
fn an_upgrade_keeps_its_types_and_may_change_its_name() {
    let of = |step: &str| {
        let v2 = v1_with("rank INTEGER NOT NULL lww", "rank REAL NOT NULL lww called rank@2");
        format!("{V1}\n{}{step}\n\n[todos 3]\nid id\n", v2.replace("[todos 1]", "[todos 2]"))
    };
    let was = of("upgraded rank REAL NOT NULL from rank INTEGER NOT NULL by \"with = f\"");
    let other_type = of("upgraded rank REAL NOT NULL from rank TEXT NOT NULL by \"with = f\"");
    let told_of = told(&was, &other_type);
    assert_eq!(
        told_of,
        "version 2 of 'todos' was recorded with `upgraded rank REAL NOT NULL from rank INTEGER NOT NULL by \"with = f\"` and \
         says `upgraded rank REAL NOT NULL from rank TEXT NOT NULL by \"with = f\"`\n  write: the attribute as it was; another \
         upgrade belongs to another version\n"
    );
    assert!(lock(&was).record(&lock(&other_type), Bless::Unreleased).is_err());
    let other_name = of("upgraded rank REAL NOT NULL from rank INTEGER NOT NULL and back by \"with = g, back = h\"");
    assert!(told(&was, &other_name).contains("what devices have read so far stays as it is"));
    assert_eq!(lock(&was).record(&lock(&other_name), Bless::New), Ok(lock(&other_name)));
}

#[test]
fn a_model_that_is_listed_no_more_is_told_and_then_remembered() {
    let recorded = format!("[lists 1]\nid id\n\n{V1}");
    assert!(told(&recorded, V1).starts_with("model 'lists' is recorded, and listed no more"));
    let without = lock(&recorded).record(&lock(V1), Bless::New).unwrap();
    assert_eq!(without, lock(&format!("[lists 1]\nid id\n\n[lists removed]\n\n{V1}")));
    assert_eq!(without.compare(&lock(V1)), []);
    assert_eq!(without.record(&lock(&recorded), Bless::New), Ok(lock(&recorded)), "it is back");
    let other = format!("[lists 1]\nid id\ncolumn name TEXT lww\n\n{V1}");
    assert!(without.record(&lock(&other), Bless::New).is_err(), "another model has its name");
}

#[test]
fn a_version_does_not_go_back_but_for_a_newest_one_that_nobody_has() {
    let v2 = at_2(V1);
    let v3 = format!("{v2}\n{}", V1.replace("[todos 1]", "[todos 3]"));
    assert!(told(&v2, V1).starts_with("version 2 of 'todos' is recorded, and the model says `version = 1`"));
    assert!(lock(&v2).record(&lock(V1), Bless::New).is_err());
    assert_eq!(lock(&v2).record(&lock(V1), Bless::Unreleased), Ok(lock(V1)));
    assert!(lock(&v3).record(&lock(V1), Bless::Unreleased).is_err(), "two versions are gone");
}

#[test]
fn indexes_of_earlier_versions_are_recorded_and_not_compared() {
    let recorded = format!("{V1}index rank\n");
    let app = format!("{V1}index ?\n\n{}index title\n", V1.replace("[todos 1]", "[todos 2]"));
    assert_eq!(told(&recorded, &app), "version 2 of 'todos' isn't recorded yet\n");
    let kept = lock(&recorded).record(&lock(&app), Bless::New).unwrap();
    assert!(kept.to_string().contains("index rank\n"), "{kept}");
    let told = told(&recorded, &format!("{V1}index title\n"));
    assert!(told.contains("the index over rank is gone\n  write: `version = 2`"), "{told}");
}

#[test]
fn what_is_no_lock_is_refused_with_the_line() {
    let refused = |text: &str| text.parse::<Lock>().unwrap_err();
    let conflict = format!("{HEAD}{V1}\n<<<<<<< HEAD\n[todos 2]\n=======\n[todos 2]\n>>>>>>> other\n");
    assert_eq!(refused(&conflict), LockError::Conflict { line: 10 });
    assert!(refused(&conflict).to_string().contains("two branches have made the same version"));
    assert_eq!(refused("lock 2\nwhat nobody knows yet"), LockError::Newer { found: 2 });
    assert_eq!(refused(""), LockError::NoLock);
    assert_eq!(refused("# a comment\n[todos 1]\n"), LockError::NoLock);
    let line = |text: &str| match refused(&format!("{HEAD}{text}")) {
        LockError::Line { line, what } => format!("{line}: {what}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(line("id id\n"), "3: `id id` is of no version of a model");
    assert_eq!(line("[todos]\n"), "3: `[todos]`: the version is missing");
    assert_eq!(line("[todos 0]\n"), "3: `[todos 0]`: the version is missing");
    assert_eq!(line("[todos removed]\n"), "3: `[todos removed]`: a model is removed of which there is no version");
    assert!(line(&format!("{V1}{V1}")).ends_with("the version is there twice, as a merge may leave it"));
    assert!(line("[todos 1]\n").contains("a shape begins with `id`"));
    assert!(line("[todos 1]\nid id\ncolumn a BOOL lww\n").contains("the type is missing"));
    assert!(line("[todos 1]\nid id\nremoved a\ncolumn b TEXT lww\n").contains("in another place"));
    assert!(line("[todos 1]\nid id\nupgraded a TEXT from\n").contains("is not complete"));
    assert!(line("[todos 1]\nid \"id\n").contains("a quote that isn't closed"));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(lock [0-3]\n|\\[[a-c] ([0-9]|removed)\\]\n|(id|column|elements|index|upgraded|removed|merges|\"|<<<<<<<)[ a-cTEXlw\"\\\\u{}?]{0,12}\n){0,8}") {
        if let Ok(lock) = text.parse::<Lock>() {
            prop_assert_eq!(lock.to_string().parse::<Lock>(), Ok(lock));
        }
    }
}
