//! Time: heartbeats, silence, deadlines.

use super::super::SyncError;
use super::super::limits::{FRAME_MS_MAX, HANDSHAKE_MS_MAX, HEARTBEAT_MS, PINGS_MAX, SILENCE_MS_MAX, STALL_MS};

/// When what happened last, in milliseconds of the driver's clock.
#[derive(Debug)]
pub(super) struct Liveness {
    now: u64,
    opened: u64,
    heard: u64,
    sent: u64,
    /// When the unfinished frame began.
    frame_begun: Option<u64>,
    /// When changes arrived last, or were last asked for.
    progressed: u64,
    pings_since: u64,
    pings: u32,
    ping_number: u64,
}

impl Liveness {
    pub(super) fn new(now: u64) -> Self {
        Self {
            now,
            opened: now,
            heard: now,
            sent: now,
            frame_begun: None,
            progressed: now,
            pings_since: now,
            pings: 0,
            ping_number: 0,
        }
    }

    /// The clock shows `now`. A session is called at every heartbeat; if nobody did so for much longer,
    /// this device slept or was busy: what the peer sent meanwhile waits in the connection, so its silence
    /// is counted anew.
    pub(super) fn wake(&mut self, now: u64) {
        let now = now.max(self.now);
        if now - self.now > SILENCE_MS_MAX - HEARTBEAT_MS {
            self.heard = now;
            self.frame_begun = self.frame_begun.map(|_| now);
            self.progressed = now;
        }
        self.now = now;
    }

    /// Bytes arrived; `frame_has_begun` if they end within a frame.
    pub(super) fn heard(&mut self, frame_has_begun: bool) {
        self.heard = self.now;
        self.frame_begun = frame_has_begun.then(|| self.frame_begun.unwrap_or(self.now));
    }

    /// A frame is complete: the next one has its own time.
    pub(super) fn frame_done(&mut self) {
        self.frame_begun = None;
    }

    /// Bytes are about to be sent.
    pub(super) fn sent(&mut self) {
        self.sent = self.now;
    }

    /// Changes arrived, or were asked for.
    pub(super) fn progressed(&mut self) {
        self.progressed = self.now;
    }

    /// Whether changes that were told of fail to come.
    pub(super) fn is_stalled(&self) -> bool {
        self.now >= self.progressed + STALL_MS
    }

    pub(super) fn heartbeat_is_due(&self) -> bool {
        self.now >= self.sent + HEARTBEAT_MS
    }

    pub(super) fn next_ping(&mut self) -> u64 {
        self.ping_number += 1;
        self.ping_number
    }

    /// Counts a ping to be answered: a pong each is cheap for the peer to ask for.
    pub(super) fn count_ping(&mut self) -> Result<(), SyncError> {
        if self.now >= self.pings_since + HEARTBEAT_MS {
            self.pings_since = self.now;
            self.pings = 0;
        }
        self.pings += 1;
        if self.pings > PINGS_MAX {
            return Err(SyncError::Unexpected { message: "Ping", why: "it sends far more of them than it needs" });
        }
        Ok(())
    }

    /// Fails when the peer has missed a deadline.
    pub(super) fn check(&self, handshaking: bool) -> Result<(), SyncError> {
        let late = |since: u64, limit_ms: u64| self.now >= since + limit_ms;
        if handshaking && late(self.opened, HANDSHAKE_MS_MAX) {
            return Err(SyncError::TooSlow { what: "the handshake", limit_ms: HANDSHAKE_MS_MAX });
        }
        if late(self.heard, SILENCE_MS_MAX) {
            return Err(SyncError::Silent { silence_ms: self.now - self.heard });
        }
        if self.frame_begun.is_some_and(|begun| late(begun, FRAME_MS_MAX)) {
            return Err(SyncError::TooSlow { what: "a frame", limit_ms: FRAME_MS_MAX });
        }
        Ok(())
    }

    /// The next moment at which something is due.
    pub(super) fn deadline(&self, handshaking: bool, waiting: bool) -> u64 {
        let mut deadline = self.heard + SILENCE_MS_MAX;
        if handshaking {
            deadline = deadline.min(self.opened + HANDSHAKE_MS_MAX);
        } else {
            deadline = deadline.min(self.sent + HEARTBEAT_MS);
        }
        if let Some(begun) = self.frame_begun {
            deadline = deadline.min(begun + FRAME_MS_MAX);
        }
        if waiting {
            deadline = deadline.min(self.progressed + STALL_MS);
        }
        deadline
    }
}
