//! A library that knows CFOST as `facade`, exports models and denies missing docs: the derives' code
//! names no crate that isn't there, and needs no docs beyond the app's own.
#![deny(missing_docs, missing_debug_implementations, unreachable_pub, unused_qualifications, warnings)]

pub mod reexport {
    //! CFOST as other crates of the app see it.
    pub use facade;
}

use std::collections::{BTreeMap, BTreeSet};

use facade::prelude::*;

/// How far a task is.
#[derive(SyncedValue, Debug, Clone, Copy, PartialEq, Eq)]
#[synced(crate = facade)]
pub enum State {
    /// Not begun.
    Open,
    /// Anything else.
    #[synced(other)]
    Other,
}

/// A task's id.
#[derive(SyncedValue, Debug, Clone, Copy, PartialEq, Eq)]
#[synced(crate = "facade")]
pub struct TaskId(Uuid);

/// What only this module knows of.
#[derive(SyncedValue, Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[synced(crate = facade)]
struct Label(String);

/// What only this module knows of, as a model.
#[derive(Synced, Debug)]
#[synced(crate = facade)]
struct Owner {
    #[synced(id)]
    id: Uuid,
}

/// A task.
#[derive(Synced, Debug, Clone, PartialEq, Eq)]
#[synced(crate = crate::reexport::facade, version = 2, delete = wins)]
pub struct Task {
    /// Its id.
    #[synced(id)]
    pub id: TaskId,
    /// How far it is.
    #[synced(default = "Open", index)]
    pub state: State,
    #[crdt(counter)]
    votes: i64,
    /// What it waits for.
    #[synced(references = Self, on_delete = keep)]
    pub after: Option<TaskId>,
    /// Its words.
    #[synced(search)]
    pub title: String,
    /// Its labels.
    #[crdt(set)]
    pub tags: BTreeSet<String>,
    #[crdt(set)]
    labels: BTreeSet<Label>,
    #[synced(references = Owner)]
    owner: Option<Uuid>,
    /// Minutes per person.
    #[crdt(map)]
    pub minutes: BTreeMap<String, i64>,
}

/// The models of the app.
pub fn models() -> [facade::Model; 2] {
    models![Task, Owner]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_works_with_the_crate_under_another_name() {
        let [model, _] = models();
        assert_eq!((model.schema.table, model.schema.version), ("task", 2));
        let mut task = Task {
            id: TaskId(Uuid::nil()),
            state: State::Open,
            votes: 1,
            after: None,
            title: "Derive".into(),
            tags: ["rust".into()].into(),
            labels: BTreeSet::new(),
            owner: None,
            minutes: BTreeMap::new(),
        };
        (Task::MAPPING.set_id)(&mut task, TaskId(Uuid::from_u128(1)));
        assert_eq!((Task::MAPPING.id)(&task), TaskId(Uuid::from_u128(1)));
        assert_eq!((task.state, task.votes), (State::Open, 1));
        let columns = Task::MAPPING.columns;
        assert_eq!((columns.after.name(), columns.tags.name(), columns.minutes.name()), ("after", "tags", "minutes"));
    }
}
