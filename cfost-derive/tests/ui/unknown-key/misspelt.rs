//! Misspelt options get the nearest one suggested, all in one compile, and what the app does with the
//! model is no error.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(tabel = "todos", vresion = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    #[crdt(conter)]
    votes: i64,
    #[synced(defualt = 0)]
    rank: i64,
    #[synced(idnex)]
    title: String,
}

fn main() -> cfost::Result<()> {
    let db = Db::open_in_memory(models![Todo])?;
    let todo = Todo { id: Uuid::nil(), votes: 0, rank: 0, title: String::new() };
    let todo = db.write(|tx| tx.insert(todo))?;
    db.write(|tx| tx.update(todo.id, |todo: &mut Todo| todo.votes += todo.rank))?;
    let titles: Vec<String> = db.all::<Todo>()?.into_iter().map(|todo| todo.title).collect();
    println!("{titles:?} {:?}", db.get::<Todo>(todo.id)?.map(|todo| todo.votes));
    Ok(())
}
