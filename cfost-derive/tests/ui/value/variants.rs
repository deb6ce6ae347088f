//! Variants that can't be told apart, that carry data, that have unknown options.

use cfost::prelude::*;

#[derive(SyncedValue)]
enum Priority {
    #[synced(rename = "High")]
    Low,
    High,
    Custom(i64),
    #[synced(other)]
    Other,
    #[synced(other)]
    Unknown,
    #[synced(renam = "x")]
    Misspelt,
    #[synced(skip)]
    Skipped,
    #[synced(rename)]
    Bare,
}

#[derive(SyncedValue)]
struct Pair(i64, i64);

#[derive(SyncedValue)]
#[synced(table = "x")]
struct Label(#[synced(skip)] String);

fn main() {}
