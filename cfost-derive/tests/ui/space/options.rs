//! Spaces that are written in the wrong way or place.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(space)]
struct Derived {
    #[synced(id(from(name)))]
    id: Uuid,
    name: String,
}

#[derive(Synced)]
#[synced(space, space = list)]
struct Both {
    #[synced(id)]
    id: Uuid,
    list: Uuid,
}

#[derive(Synced)]
#[synced(space = "list")]
struct Quoted {
    #[synced(id)]
    id: Uuid,
    list: Uuid,
}

#[derive(Synced)]
#[synced(space(list))]
struct Listed {
    #[synced(id)]
    id: Uuid,
    list: Uuid,
}

#[derive(Synced)]
struct OnTheField {
    #[synced(id)]
    id: Uuid,
    #[synced(space)]
    list: Uuid,
}

#[derive(Synced)]
#[synced(spaces = list)]
struct Misspelt {
    #[synced(id)]
    id: Uuid,
    list: Uuid,
}

fn main() {
    let _ = models![Derived, Both, Quoted, Listed, OnTheField, Misspelt];
}
