//! On one device, whatever was written: an undo leads to what was before, and the next one back.

use cfost::Result;
use cfost::prelude::*;
use cfost_tests::fleet::Device;
use proptest::prelude::*;

use super::{Note, Project, Remark, Task, Todo};

/// A write of one of the stories below, on one of a few rows.
#[derive(Clone, Debug)]
enum Write {
    Insert,
    Title { note: usize, to: u8 },
    Tag { note: usize, tag: u8 },
    Rate { note: usize, key: u8, to: i64 },
    Line { note: usize, at: usize, to: u8 },
    MoveLine { note: usize, from: usize, to: usize },
    CutLine { note: usize, at: usize },
    Vote { todo: usize, by: i64 },
    Delete { note: usize },
    Task { project: usize },
    MoveTask { task: usize, project: usize },
    DeleteProject { project: usize },
}

fn write() -> impl Strategy<Value = Write> {
    let (note, at) = (0..3_usize, 0..4_usize);
    prop_oneof![
        2 => Just(Write::Insert),
        2 => (note.clone(), any::<u8>()).prop_map(|(note, to)| Write::Title { note, to }),
        3 => (note.clone(), 0..4_u8).prop_map(|(note, tag)| Write::Tag { note, tag }),
        3 => (note.clone(), 0..3_u8, any::<i64>()).prop_map(|(note, key, to)| Write::Rate { note, key, to }),
        3 => (note.clone(), at.clone(), any::<u8>()).prop_map(|(note, at, to)| Write::Line { note, at, to }),
        2 => (note.clone(), at.clone(), at.clone()).prop_map(|(note, from, to)| Write::MoveLine { note, from, to }),
        2 => (note.clone(), at).prop_map(|(note, at)| Write::CutLine { note, at }),
        2 => (note.clone(), any::<i64>()).prop_map(|(todo, by)| Write::Vote { todo, by }),
        2 => note.clone().prop_map(|note| Write::Delete { note }),
        2 => note.clone().prop_map(|project| Write::Task { project }),
        1 => (note.clone(), note.clone()).prop_map(|(task, project)| Write::MoveTask { task, project }),
        1 => note.prop_map(|project| Write::DeleteProject { project }),
    ]
}

fn carry_out(tx: &mut Tx<'_>, write: &Write) -> Result<()> {
    let (notes, todos) = (tx.all::<Note>()?, tx.all::<Todo>()?);
    let (projects, tasks) = (tx.all::<Project>()?, tx.all::<Task>()?);
    let mut edit = |note: usize, edit: &dyn Fn(&mut Note)| match notes.get(note) {
        Some(note) => tx.update(note.id, |note: &mut Note| edit(note)).map(|_| ()),
        None => Ok(()),
    };
    match *write {
        Write::Insert => {
            tx.insert(Note { tags: ["new".to_owned()].into(), ..Note::default() })?;
            tx.insert(Todo { title: "new".into(), ..Todo::default() })?;
            tx.insert(Project::default())?;
        }
        Write::Title { note, to } => edit(note, &|note| note.title = to.to_string())?,
        Write::Tag { note, tag } => edit(note, &|note| {
            if !note.tags.remove(&tag.to_string()) {
                note.tags.insert(tag.to_string());
            }
        })?,
        Write::Rate { note, key, to } => edit(note, &|note| {
            if note.ratings.remove(&key.to_string()).is_none() || to % 2 == 0 {
                note.ratings.insert(key.to_string(), to);
            }
        })?,
        Write::Line { note, at, to } => {
            edit(note, &|note| note.lines.insert(at.min(note.lines.len()), to.to_string()))?;
        }
        Write::MoveLine { note, from, to } => edit(note, &|note| {
            if from < note.lines.len() && to < note.lines.len() {
                note.lines.move_to(from, to);
            }
        })?,
        Write::CutLine { note, at } => edit(note, &|note| {
            if at < note.lines.len() {
                note.lines.remove(at);
            }
        })?,
        Write::Vote { todo, by } => {
            if let Some(todo) = todos.get(todo) {
                tx.update(todo.id, |todo: &mut Todo| todo.votes = todo.votes.wrapping_add(by))?;
            }
        }
        Write::Delete { note } => {
            if let Some(note) = notes.get(note) {
                tx.delete::<Note>(note.id)?;
            }
        }
        Write::Task { project } => {
            if let Some(project) = projects.get(project) {
                let task = tx.insert(Task { project: project.id, ..Task::default() })?;
                tx.insert(Remark { task: task.id, ..Remark::default() })?;
            }
        }
        Write::MoveTask { task, project } => {
            if let (Some(task), Some(project)) = (tasks.get(task), projects.get(project)) {
                tx.update(task.id, |task: &mut Task| task.project = project.id)?;
            }
        }
        Write::DeleteProject { project } => {
            if let Some(project) = projects.get(project) {
                tx.delete::<Project>(project.id)?;
            }
        }
    }
    Ok(())
}

type Shown = (Vec<Note>, Vec<Todo>, Vec<Project>, Vec<Task>, Vec<Remark>);

fn shown(db: &Db) -> Shown {
    (db.all().unwrap(), db.all().unwrap(), db.all().unwrap(), db.all().unwrap(), db.all().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn on_one_device_an_undo_leads_to_what_was_before_and_the_next_one_back(
        transactions in proptest::collection::vec(proptest::collection::vec(write(), 1..6), 1..12),
    ) {
        let device = Device::in_memory("phone", models![Note, Todo, Project, Task, Remark], 1).unwrap();
        let db = &device.db;
        for (n, writes) in transactions.iter().enumerate() {
            let (before, entries) = (shown(db), db.oplog().unwrap().count());
            db.write(|tx| writes.iter().try_for_each(|write| carry_out(tx, write))).unwrap();
            if db.oplog().unwrap().count() == entries {
                continue;
            }
            let after = shown(db);
            db.undo().unwrap();
            prop_assert_eq!(&shown(db), &before, "undo of transaction {}", n);
            if n % 3 == 2 {
                continue;
            }
            db.undo().unwrap();
            prop_assert_eq!(&shown(db), &after, "redo of transaction {}", n);
        }
        let verification = db.verify().unwrap();
        prop_assert!(verification.is_sound(), "{:?}", verification.differences);
    }
}
