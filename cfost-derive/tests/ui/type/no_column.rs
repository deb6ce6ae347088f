//! Types that no column holds: one error for each, on the type.

use cfost::prelude::*;

struct Address;

#[derive(Synced)]
struct User {
    #[synced(id)]
    id: Uuid,
    home: Address,
    work: Option<Address>,
    nested: Option<Option<i64>>,
    names: Vec<String>,
    huge: u128,
}

fn main() {
    let _ = models![User];
}
