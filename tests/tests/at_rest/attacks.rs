//! A flipped page is an error, never wrong data.

use std::fs;

use cfost::prelude::*;

use super::*;

const PAGE_BYTES: usize = 4096;

/// Whether the file is blamed, and not the app's statement or the disk.
fn is_damage(error: &Error) -> bool {
    let Error::Store(error) = error else { return false };
    matches!(
        error,
        StoreError::Corrupt { .. }
            | StoreError::DamagedChange { .. }
            | StoreError::AtRest(AtRestError::WrongKey { .. })
    )
}

#[test]
fn a_byte_that_is_flipped_on_any_page_is_an_error_and_never_wrong_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let db = encrypted().open(&path, models![Todo]).unwrap();
    db.insert_all((0..300).map(|n| todo(&format!("{CANARY} {n}")))).unwrap();
    let rows = db.all::<Todo>().unwrap();
    drop(db);
    let good = fs::read(&path).unwrap();
    let (pages, marker) = (good.len() / PAGE_BYTES, fs::read(beside(&path, "-marker")).unwrap());
    let (mut refused_at_opening, mut refused_later) = (0, 0);
    for page in 0..pages {
        let mut bad = good.clone();
        // Another place on each page: its start, its content, its nonce and MAC at the end.
        bad[page * PAGE_BYTES + (page * 977 + 40) % PAGE_BYTES] ^= 1 << (page % 8);
        fs::write(&path, &bad).unwrap();
        fs::write(beside(&path, "-marker"), &marker).unwrap();
        match Db::open(&path, models![Todo]) {
            Err(error) => {
                refused_at_opening += 1;
                assert!(is_damage(&error), "page {page}: {error:?}");
            }
            Ok(db) => {
                let read = db.all::<Todo>();
                let found = read.as_ref().map(|read| *read == rows).unwrap_or(true);
                assert!(found, "page {page}: other rows than were written");
                let verified = db.verify();
                let errors = [read.as_ref().err(), verified.as_ref().err()];
                assert!(errors.into_iter().flatten().all(is_damage), "page {page}: {errors:?}");
                refused_later += u64::from(read.is_err() || verified.is_err());
            }
        }
        for ending in ["-wal", "-shm"] {
            let _ = fs::remove_file(beside(&path, ending));
        }
    }
    assert!(refused_at_opening > 0 && refused_later > 0, "{refused_at_opening} {refused_later} of {pages}");
    fs::write(&path, &good).unwrap();
    assert_eq!(Db::open(&path, models![Todo]).unwrap().all::<Todo>().unwrap(), rows);
}

#[test]
fn pages_that_are_swapped_or_taken_from_another_database_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, other) = (dir.path().join("app.db"), dir.path().join("other.db"));
    for path in [&path, &other] {
        encrypted().open(path, models![Todo]).unwrap().insert_all((0..300).map(|n| todo(&format!("{n}")))).unwrap();
    }
    let (good, others) = (fs::read(&path).unwrap(), fs::read(&other).unwrap());
    let page = |n: usize| n * PAGE_BYTES..(n + 1) * PAGE_BYTES;
    let mut swapped = good.clone();
    swapped[page(2)].copy_from_slice(&good[page(3)]);
    swapped[page(3)].copy_from_slice(&good[page(2)]);
    let mut mixed = good.clone();
    mixed[page(2)].copy_from_slice(&others[page(2)]);
    mixed[page(3)].copy_from_slice(&others[page(3)]);
    for bad in [swapped, mixed] {
        fs::write(&path, &bad).unwrap();
        let outcome = Db::open(&path, models![Todo]).and_then(|db| db.verify());
        assert!(outcome.as_ref().is_err_and(is_damage), "{outcome:?}");
    }
}
