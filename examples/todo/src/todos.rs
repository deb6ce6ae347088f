//! The commands that read and write todos. None of them needs a network.

use cfost::prelude::*;

use crate::failure::Failure;
use crate::model::Todo;
use crate::pick::{pick, short_ids};
use crate::term::{Look, Screen, Table, counted, printable};

/// The todos in the order of the list: by time of creation, which is the order of their ids.
pub(crate) fn in_order(db: &Db) -> Result<Vec<Todo>, Failure> {
    let mut todos = db.all::<Todo>()?;
    todos.sort_by_key(|todo| todo.id);
    Ok(todos)
}

/// Adds a todo.
pub(crate) fn add(db: &Db, words: &[String], screen: &mut Screen) -> Result<(), Failure> {
    let title = title(words)?;
    let todo = db.write(|tx| tx.insert(Todo { title, ..Todo::default() }))?;
    tell(db, screen, "added", &[todo])
}

/// Completes todos, or opens them again.
pub(crate) fn complete(db: &Db, names: &[String], completed: bool, screen: &mut Screen) -> Result<(), Failure> {
    let todos = pick_all(names, &in_order(db)?)?;
    let (changed, same): (Vec<Todo>, Vec<Todo>) = todos.into_iter().partition(|todo| todo.completed != completed);
    let changed = db.write(|tx| {
        let edit = |todo: Todo| tx.update(todo.id, |todo: &mut Todo| todo.completed = completed);
        changed.into_iter().map(edit).collect::<cfost::Result<Vec<Todo>>>()
    })?;
    tell(db, screen, if completed { "done" } else { "open again" }, &changed)?;
    tell(db, screen, if completed { "was done already" } else { "was open already" }, &same)
}

/// Gives a todo another title.
pub(crate) fn rename(db: &Db, name: &str, words: &[String], screen: &mut Screen) -> Result<(), Failure> {
    let title = title(words)?;
    let id = pick(name, &in_order(db)?)?.id;
    let todo = db.write(|tx| tx.update(id, |todo: &mut Todo| todo.title = title))?;
    tell(db, screen, "renamed", &[todo])
}

/// Adds `votes` to those of a todo.
pub(crate) fn vote(db: &Db, name: &str, votes: i64, screen: &mut Screen) -> Result<(), Failure> {
    let id = pick(name, &in_order(db)?)?.id;
    let todo = db.write(|tx| tx.update(id, |todo: &mut Todo| todo.votes = todo.votes.saturating_add(votes)))?;
    let count = match todo.votes {
        1 | -1 => format!("{} vote", todo.votes),
        votes => format!("{votes} votes"),
    };
    tell(db, screen, &count, &[todo])
}

/// Removes todos.
pub(crate) fn remove(db: &Db, names: &[String], screen: &mut Screen) -> Result<(), Failure> {
    let before = in_order(db)?;
    let todos = pick_all(names, &before)?;
    db.write(|tx| todos.iter().try_for_each(|todo| tx.delete::<Todo>(todo.id).map(drop)))?;
    for todo in &todos {
        screen.line(format!("{}  {}", screen.paint(Look::Good, "removed"), printable(&todo.title)))?;
    }
    Ok(())
}

/// Shows the list.
pub(crate) fn list(db: &Db, only_open: bool, screen: &mut Screen) -> Result<(), Failure> {
    let todos = in_order(db)?;
    if todos.is_empty() {
        return screen.line("Nothing to do. Add something with 'todo add TITLE'.");
    }
    let mut table = Table::new(&[">#", "ID", ">VOTES", "", "TITLE"]);
    for (index, (todo, id)) in todos.iter().zip(short_ids(todos.iter().map(|todo| todo.id))).enumerate() {
        if only_open && todo.completed {
            continue;
        }
        let votes = if todo.votes == 0 { String::new() } else { todo.votes.to_string() };
        let (mark, look) = if todo.completed { ("[x]", Look::Struck) } else { ("[ ]", Look::Plain) };
        table.row([
            (Look::Bold, (index + 1).to_string()),
            (Look::Accent, id),
            (Look::Plain, votes),
            (if todo.completed { Look::Good } else { Look::Plain }, mark.to_owned()),
            (look, todo.title.clone()),
        ]);
    }
    screen.table(&table)?;
    let done = todos.iter().filter(|todo| todo.completed).count();
    let summary = format!("{} open, {done} done", todos.len() - done);
    screen.line("")?;
    screen.line(screen.paint(Look::Dim, summary))
}

/// Says what happened to `todos`, each with its number, if it has one, and its id.
fn tell(db: &Db, screen: &mut Screen, what: &str, todos: &[Todo]) -> Result<(), Failure> {
    if todos.is_empty() {
        return Ok(());
    }
    let all = in_order(db)?;
    let ids = short_ids(all.iter().map(|todo| todo.id));
    for todo in todos {
        let at = all.iter().position(|it| it.id == todo.id);
        let (number, id) = at.map_or_else(Default::default, |at| (format!("#{}", at + 1), ids[at].clone()));
        let (what, id) = (screen.paint(Look::Good, what), screen.paint(Look::Accent, id));
        screen.line(format!("{what}  {number} {id}  {}", printable(&todo.title)))?;
    }
    Ok(())
}

fn pick_all(names: &[String], todos: &[Todo]) -> Result<Vec<Todo>, Failure> {
    let mut picked: Vec<Todo> = Vec::with_capacity(names.len());
    for name in names {
        let todo = pick(name, todos)?;
        if picked.iter().all(|it| it.id != todo.id) {
            picked.push(todo.clone());
        }
    }
    Ok(picked)
}

fn title(words: &[String]) -> Result<String, Failure> {
    let title = words.join(" ").trim().to_owned();
    if title.is_empty() {
        return Err(Failure::new("the title is empty", "say what to do: todo add Buy milk"));
    }
    if title.chars().any(char::is_control) {
        return Err(Failure::new("the title has a control character", "titles are one line of text"));
    }
    Ok(title)
}

/// The todos as lines of a short list, for the demo.
pub(crate) fn lines(db: &Db) -> Result<Vec<String>, Failure> {
    let line = |todo: Todo| {
        let mark = if todo.completed { "[x]" } else { "[ ]" };
        let votes = usize::try_from(todo.votes).unwrap_or_default();
        let votes = if votes == 0 { String::new() } else { format!("  ({})", counted(votes, "vote")) };
        format!("{mark} {}{votes}", printable(&todo.title))
    };
    Ok(in_order(db)?.into_iter().map(line).collect())
}
