//! Types that name no space.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(space = list)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    list: String,
}

#[derive(Synced)]
#[synced(space = list)]
struct Task {
    #[synced(id)]
    id: Uuid,
    list: Option<i64>,
}

fn main() {
    let _ = models![Todo, Task];
}
