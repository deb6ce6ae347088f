//! Fields that can't name the space of a row.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(space = list)]
struct Misspelt {
    #[synced(id)]
    id: Uuid,
    lists: Uuid,
}

#[derive(Synced)]
#[synced(space = list_id)]
struct ByColumn {
    #[synced(id)]
    id: Uuid,
    #[synced(column = "list_id")]
    list: Uuid,
}

#[derive(Synced)]
#[synced(space = id)]
struct Itself {
    #[synced(id)]
    id: Uuid,
}

#[derive(Synced)]
#[synced(space = list)]
struct Skipped {
    #[synced(id)]
    id: Uuid,
    #[synced(skip)]
    list: Uuid,
}

#[derive(Synced)]
#[synced(space = list)]
struct Counted {
    #[synced(id)]
    id: Uuid,
    #[crdt(counter)]
    list: i64,
}

#[derive(Synced)]
#[synced(space = list, version = 2)]
struct CameLater {
    #[synced(id)]
    id: Uuid,
    #[synced(since = 2)]
    list: Option<Uuid>,
}

#[derive(Synced)]
#[synced(space = list, version = 2)]
struct Upgraded {
    #[synced(id)]
    id: Uuid,
    #[synced(upgrade(list, in = 2, with = Some))]
    list: Option<Uuid>,
}

#[derive(Synced)]
#[synced(space = list)]
struct Derived {
    #[synced(id(from(name)))]
    id: Uuid,
    list: Uuid,
    name: String,
}

fn main() {
    let _ = models![Misspelt, ByColumn, Itself, Skipped, Counted, CameLater, Upgraded, Derived];
}
