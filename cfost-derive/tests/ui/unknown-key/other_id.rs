//! A misspelt `id` is one error, not two.

use cfost::prelude::*;

#[derive(Synced)]
struct Page {
    #[synced(primary_key)]
    id: Uuid,
}

fn main() {
    let _ = models![Page];
}
