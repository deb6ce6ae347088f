//! Options that don't go with `encrypted`, and fields that name no space for its key.

use cfost::prelude::*;

#[derive(Synced)]
#[synced(version = 2, index(secret, name))]
struct Visit {
    #[synced(id(from(token, name)))]
    id: Uuid,
    name: String,
    #[synced(encrypted)]
    secret: Encrypted<String>,
    #[synced(encrypted)]
    token: Encrypted<String>,
    #[synced(encrypted, index)]
    indexed: Encrypted<String>,
    #[synced(encrypted, search)]
    searched: Encrypted<String>,
    #[synced(encrypted, references = Visit)]
    refers: Encrypted<Uuid>,
    #[synced(encrypted, skip)]
    skipped: Encrypted<i64>,
    #[synced(encrypted)]
    #[crdt(counter)]
    counted: Encrypted<i64>,
    #[synced(encrypted, upgrade(upgraded, in = 2, with = Encrypted::from))]
    upgraded: Encrypted<String>,
}

#[derive(Synced)]
struct Named {
    #[synced(id)]
    id: Uuid,
    patient: Uuid,
    #[synced(skip)]
    skipped: Uuid,
    #[synced(encrypted = patent)]
    misspelt: Encrypted<String>,
    #[synced(encrypted = id)]
    own: Encrypted<String>,
    #[synced(encrypted = skipped)]
    gone: Encrypted<String>,
    #[synced(encrypted = misspelt)]
    chain: Encrypted<String>,
    #[synced(encrypted = "patient")]
    quoted: Encrypted<String>,
    #[synced(encrypted(patient))]
    listed: Encrypted<String>,
    #[synced(secret)]
    other: Encrypted<String>,
}

#[derive(Synced)]
#[synced(space = list, encrypted)]
struct Task {
    #[synced(id)]
    id: Uuid,
    #[synced(encrypted)]
    list: Encrypted<Uuid>,
}

fn main() {
    let _ = models![Visit, Named, Task];
}
