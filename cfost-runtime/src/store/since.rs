//! Ending a device from a time on: it was in other hands for a while before anybody noticed.

use std::ops::ControlFlow;

use rusqlite::Connection;

use super::registry::LogRow;
use super::state::State;
use super::{Store, StoreError, changes, standing};
use crate::error::Result;
use crate::identity::Frontiers;
use crate::oplog::{DeviceId, Head, LogId, Opener, SegmentReader};

impl Store {
    /// Ends a device: what is held here of the changes that it made before a time counts, in Unix milliseconds.
    pub(crate) fn end_device_since(&self, device: DeviceId, since_ms: u64) -> Result<()> {
        let counted = self.with_state(|conn, state| {
            state.secrets.opened()?;
            Ok(held_before(conn, state, device, since_ms)?)
        })?;
        self.end_device_at(device, |_| counted)
    }
}

fn held_before(conn: &Connection, state: &State, device: DeviceId, since_ms: u64) -> Result<Frontiers, StoreError> {
    let (held, mut before) = (standing::held_of(state, |of| of == device), Frontiers::new());
    for log in state.registry.iter().filter(|log| log.device == device) {
        let last = held.head(log.space, log.id);
        before.advance(log.space, log.id, last_before(conn, state, log, last, since_ms)?);
    }
    // What it said of the members of spaces has no time that it couldn't have made up: that stays.
    for space in state.secrets.spaces.keys() {
        before.advance(*space, LogId::MEMBERS, held.head(*space, LogId::MEMBERS));
    }
    Ok(before)
}

/// The end of the last transaction of a log, up to `last`, that was begun before a time, as were all before it.
fn last_before(conn: &Connection, state: &State, log: &LogRow, last: Head, since_ms: u64) -> Result<Head, StoreError> {
    let (mut before, mut opener) = (log.base(), Opener::new());
    changes::walk(conn, log, &state.secrets, log.base(), last.seq, |stored| {
        let header = stored.header;
        let Some(epoch) = state.secrets.epoch(header.space(), header.epoch()) else {
            return Ok(ControlFlow::Break(()));
        };
        for (index, sealed) in stored.change.segments.iter().enumerate() {
            let base = opener.open(epoch, header, index, sealed).and_then(SegmentReader::new).map(|it| it.base());
            if base.is_ok_and(|base| base.ms() >= since_ms) {
                return Ok(ControlFlow::Break(()));
            }
        }
        if !header.flags().continues() {
            before = Head { seq: header.seq(), id: stored.id };
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(before)
}
