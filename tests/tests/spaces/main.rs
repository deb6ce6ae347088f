//! Rows that live in spaces other than home: lists that are shared, and what is in them.

mod apply;
mod attacks;
mod convergence;
mod keys;
mod moving;
mod people;
mod roles;
mod sync;
mod write;

use cfost::prelude::*;

/// A list, which is a space.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "lists", version = 1, space)]
pub(crate) struct List {
    #[synced(id)]
    pub(crate) id: Uuid,
    pub(crate) name: String,
    #[crdt(set)]
    pub(crate) labels: std::collections::BTreeSet<String>,
}

/// What is to be done, in the space of its list.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1, space = list_id)]
pub(crate) struct Todo {
    #[synced(id)]
    pub(crate) id: Uuid,
    #[synced(references = List, on_delete = cascade)]
    pub(crate) list_id: Uuid,
    pub(crate) title: String,
    pub(crate) done: bool,
    #[crdt(counter)]
    pub(crate) votes: i64,
    #[crdt(set)]
    pub(crate) tags: std::collections::BTreeSet<String>,
}

/// A note, in a list's space or in no list's.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "notes", version = 1, space = list_id)]
pub(crate) struct Note {
    #[synced(id)]
    pub(crate) id: Uuid,
    pub(crate) list_id: Option<Uuid>,
    pub(crate) body: String,
}

/// What is in nobody's list.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "settings", version = 1)]
pub(crate) struct Setting {
    #[synced(id)]
    pub(crate) id: Uuid,
    pub(crate) name: String,
}

/// What a member is to be reminded of, and by which of the own settings.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "reminders", version = 1, space = list_id)]
pub(crate) struct Reminder {
    #[synced(id)]
    pub(crate) id: Uuid,
    pub(crate) list_id: Uuid,
    #[synced(references = Setting, on_delete = cascade)]
    pub(crate) setting: Option<Uuid>,
}

/// The models of these stories.
pub(crate) fn all_models() -> Vec<cfost::schema::Model> {
    models![List, Todo, Note, Setting, Reminder].to_vec()
}

pub(crate) fn list(name: &str) -> List {
    List { name: name.into(), ..List::default() }
}

pub(crate) fn todo(list: Uuid, title: &str) -> Todo {
    Todo { list_id: list, title: title.into(), ..Todo::default() }
}

pub(crate) fn note(list: Option<Uuid>, body: &str) -> Note {
    Note { list_id: list, body: body.into(), ..Note::default() }
}

pub(crate) fn setting(name: &str) -> Setting {
    Setting { name: name.into(), ..Setting::default() }
}

pub(crate) fn assert_sound(db: &Db) {
    let verified = db.verify().unwrap();
    assert!(verified.is_sound(), "{:?}", verified.differences);
}
