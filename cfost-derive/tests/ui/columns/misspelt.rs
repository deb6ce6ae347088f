//! A column that isn't there: rustc knows the near name. One that can't be filtered has none.

use cfost::prelude::*;
use std::collections::BTreeSet;

#[derive(Synced)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(set)]
    tags: BTreeSet<String>,
    #[synced(skip)]
    draft: bool,
}

fn main() {
    let columns = Todo::MAPPING.columns;
    let _ = columns.titel;
    let _ = columns.tag;
    let _ = columns.draft;
}
