//! What the chapters show is what the tests of the guide run.

use cfost::prelude::*;

/// The models of a source, from their derive to their end, a line each without what is around it.
fn models(source: &str) -> Vec<Vec<&str>> {
    let mut models = Vec::new();
    let mut lines = source.lines().map(str::trim).filter(|line| !line.starts_with("#[expect"));
    while let Some(line) = lines.find(|line| line.starts_with("#[derive(Synced")) {
        let rest = lines.by_ref().take_while(|line| *line != "}");
        models.push(std::iter::once(line).chain(rest).collect());
    }
    models
}

#[test]
fn the_chapter_on_changing_models_shows_the_versions_that_its_story_plays() {
    let shown = models(include_str!("../chapters/changing-models.md"));
    let played = models(include_str!("../src/todo.rs"));
    assert_eq!(played.len(), 3);
    for model in played {
        assert!(shown.contains(&model), "the chapter has no such model: {model:#?}");
    }
}

mod required {
    use cfost::prelude::*;

    #[derive(Synced, Default)]
    #[synced(table = "todos", version = 1)]
    pub(crate) struct Todo {
        #[synced(id)]
        pub(crate) id: Uuid,
        pub(crate) rank: i64,
    }
}

mod optional {
    use cfost::prelude::*;

    #[derive(Synced, Debug, Default, PartialEq)]
    #[synced(table = "todos", version = 2)]
    pub(crate) struct Todo {
        #[synced(id)]
        pub(crate) id: Uuid,
        #[synced(upgrade(rank, in = 2, with = Some, back = Option::unwrap_or_default))]
        pub(crate) rank: Option<i64>,
    }
}

#[test]
fn the_chapters_line_for_a_field_that_is_no_longer_required_works() {
    assert!(
        include_str!("../chapters/changing-models.md")
            .contains("`upgrade(rank, in = 2, with = Some, back = Option::unwrap_or_default)`")
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("todo.db");
    let row = required::Todo { rank: 3, ..required::Todo::default() };
    let id = Db::open(&path, models![required::Todo]).unwrap().insert(row).unwrap().id;
    let db = Db::open(&path, models![optional::Todo]).unwrap();
    assert_eq!(db.get(id).unwrap(), Some(optional::Todo { id, rank: Some(3) }));
}
