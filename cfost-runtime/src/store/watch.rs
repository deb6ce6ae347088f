//! Noticing what other processes write to the file.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use super::{Store, StoreError, layout};

/// How often the file is asked whether another connection has committed. SQLite has no notification
/// between processes; asking takes microseconds.
const POLL_INTERVAL: Duration = Duration::from_millis(40);

/// Changes that wait for the clock are looked at every so many polls.
const WAITING_POLLS: u32 = 25;

/// Starts a thread that announces the commits of other processes, until the store is dropped.
pub(super) fn start(store: &Arc<Store>, path: &Path) -> Result<(), StoreError> {
    let conn = layout::connect_reader(path, layout::BUSY_TIMEOUT, store.safe.key())?;
    let store = Arc::downgrade(store);
    // Read here and not in the thread: what is committed before that begins to run is new as well.
    let seen = layout::pragma(&conn, "data_version")?;
    let spawned = thread::Builder::new().name("cfost-watch".into()).spawn(move || poll(&conn, &store, seen));
    spawned.map(|_| ()).map_err(|source| StoreError::Io { action: "starting the thread that watches the file", source })
}

fn poll(conn: &Connection, store: &Weak<Store>, seen: i64) {
    let mut seen = Some(seen);
    for round in 1_u32.. {
        thread::sleep(POLL_INTERVAL);
        let Some(store) = store.upgrade() else { return };
        let now = layout::pragma::<i64>(conn, "data_version").ok();
        if now != seen {
            seen = now;
            store.announce();
            if let Err(error) = store.notice_other_processes() {
                tracing::warn!(%error, "the file could not be asked for other processes' commits; trying again later");
                seen = None;
            }
        }
        if round.is_multiple_of(WAITING_POLLS)
            && let Err(error) = store.apply_waiting()
        {
            tracing::warn!(%error, "changes that had to wait could not be applied; trying again later");
        }
    }
}
