//! Types that don't go with `encrypted`.

use std::thread::Thread;

use cfost::prelude::*;

#[derive(Synced)]
struct Plain {
    #[synced(id)]
    id: Uuid,
    #[synced(encrypted)]
    note: String,
    #[synced(encrypted)]
    maybe: Option<Encrypted<String>>,
}

#[derive(Synced)]
struct Unsaid {
    #[synced(id)]
    id: Uuid,
    note: Encrypted<String>,
}

#[derive(Synced)]
struct NoColumn {
    #[synced(id)]
    id: Uuid,
    #[synced(encrypted)]
    thread: Encrypted<Thread>,
}

#[derive(Synced)]
struct ForNobody {
    #[synced(id)]
    id: Uuid,
    patient: String,
    #[synced(encrypted = patient)]
    note: Encrypted<String>,
}

#[derive(Synced)]
#[synced(version = 2)]
struct NoOldValue {
    #[synced(id)]
    id: Uuid,
    #[synced(encrypted, since = 2)]
    note: Encrypted<String>,
}

#[derive(Synced)]
struct OtherDefault {
    #[synced(id)]
    id: Uuid,
    #[synced(encrypted, default = 7)]
    note: Encrypted<String>,
}

fn main() {
    let _ = models![Plain, Unsaid, NoColumn, ForNobody, NoOldValue, OtherDefault];
}
