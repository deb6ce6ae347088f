//! Queries that would need to look into an encrypted field.

use cfost::prelude::*;

#[derive(Synced)]
struct Visit {
    #[synced(id)]
    id: Uuid,
    #[synced(encrypted)]
    note: Encrypted<String>,
}

fn main() {
    let _ = Visit::query().filter(|visit| visit.note.eq("call back"));
    let _ = Visit::query().filter(|visit| visit.note.contains("call"));
    let _ = Visit::query().order_by(|visit| visit.note.asc());
}
