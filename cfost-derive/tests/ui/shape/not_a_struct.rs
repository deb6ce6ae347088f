//! Shapes that are no models.

use cfost::prelude::*;

#[derive(Synced)]
struct Tuple(Uuid, String);

#[derive(Synced)]
struct Unit;

#[derive(Synced)]
enum Priority {
    Low,
}

#[derive(Synced)]
union Either {
    a: i64,
    b: u64,
}

struct NotDerived;

fn main() {
    let _ = (models![Tuple], models![Unit], models![Priority], models![Either], Priority::Low);
    let _ = models![NotDerived];
}
