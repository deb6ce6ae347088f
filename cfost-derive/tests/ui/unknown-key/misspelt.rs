//! Misspelt options get the nearest one suggested; both errors come in one compile.

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

fn main() {
    let _ = models![Todo];
}
