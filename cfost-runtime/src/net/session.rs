//! One sync session over one stream.
//!
//! Three tasks a session: a reader, a writer, and between them the state machine, which runs where
//! it may block, since it calls the database. Reader and writer never wait for each other, so two
//! peers that both have much to send can't block each other. What is read ahead is bounded here,
//! what is written behind is bounded by the state machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use libp2p::PeerId;
use libp2p::futures::io::{ReadHalf, WriteHalf};
use libp2p::futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::swarm::{ConnectionId, Stream};
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::event::NodeEvent;
use super::limits::{DRAIN_TIMEOUT, READ_BYTES, READ_CHUNKS_MAX, WRITE_STALL_TIMEOUT};
use super::swarm::{Control, Opened, Report, ReportKind, Stop};
use super::transport;
use crate::sync::limits::INPUT_BYTES_MAX;
use crate::sync::{Build, CloseReason, Copied, Event, Input, Output, Replica, Session, SyncError};

/// What all sessions of a node share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) replica: Arc<dyn Replica>,
    /// Counts up when the replica changed.
    pub(crate) changed: watch::Sender<u64>,
    /// Woken when the identity log may have changed.
    pub(crate) identities: Arc<Notify>,
    pub(crate) events: broadcast::Sender<NodeEvent>,
    /// The clock of all sessions starts here.
    pub(crate) started: Instant,
    /// Held by every task that uses the replica: [`super::Node::stop`] waits until all are gone.
    pub(crate) _alive: mpsc::Sender<()>,
}

impl Shared {
    fn tell(&self, event: NodeEvent) {
        // Nobody has to listen.
        let _ = self.events.send(event);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Serves one stream until the session, the stream or the node ends.
pub(crate) async fn run(shared: Shared, opened: Opened) {
    let Opened { peer, connection, speaks_first, stream, control, reports, .. } = opened;
    let reporter = Reporter { connection, reports };
    let reason = match transport::transport_key(&peer) {
        Some(key) => {
            let now_ms = shared.now_ms();
            let session = if speaks_first { Session::dial(key, now_ms) } else { Session::listen(key, now_ms) };
            let (read, write) = stream.stream.split();
            let (chunk_sender, chunks) = mpsc::channel(READ_CHUNKS_MAX);
            let outbox = Outbox::start(write);
            let reader = tokio::spawn(read_all(read, chunk_sender, control.clone(), reporter.clone()));
            let worker = Worker {
                changed: shared.changed.subscribe(),
                shared,
                session: Some(session),
                reporter: reporter.clone(),
                chunks,
                outbox,
                stop: control.stop,
                busy_since: Some(Instant::now()),
                draining: None,
            };
            let reason = worker.run(peer).await;
            reader.abort();
            reason
        }
        None => "its peer id is not made of an Ed25519 key".into(),
    };
    reporter.report(ReportKind::Ended(reason)).await;
}

#[derive(Clone)]
struct Reporter {
    connection: ConnectionId,
    reports: mpsc::Sender<Report>,
}

impl Reporter {
    async fn report(&self, kind: ReportKind) {
        // The swarm's task is gone only when the whole node is.
        let _ = self.reports.send(Report { connection: self.connection, kind }).await;
    }
}

/// Reads until the stream ends. Stops reading while the session has enough to do.
async fn read_all(mut read: ReadHalf<Stream>, chunks: mpsc::Sender<Vec<u8>>, control: Control, reporter: Reporter) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match read.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(n) => {
                if control.prove.swap(false, Ordering::AcqRel) {
                    reporter.report(ReportKind::Heard).await;
                }
                if chunks.send(buffer[..n].to_vec()).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The way out: bytes queue up here, one task writes them and flushes once the queue is empty.
struct Outbox {
    queue: mpsc::UnboundedSender<Vec<u8>>,
    state: Arc<OutboxState>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct OutboxState {
    /// Written since the session was last told.
    written: AtomicUsize,
    /// Queued and not yet written.
    pending: AtomicUsize,
    /// The stream takes no more.
    failed: AtomicBool,
    progress: Notify,
}

impl Outbox {
    fn start(write: WriteHalf<Stream>) -> Self {
        // Bounded by the session, which ends when too much of what it gave out is not written.
        let (queue, chunks) = mpsc::unbounded_channel();
        let state = Arc::new(OutboxState::default());
        let task = tokio::spawn(write_all(write, chunks, Arc::clone(&state)));
        Self { queue, state, task }
    }

    fn push(&self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.state.pending.fetch_add(bytes.len(), Ordering::AcqRel);
            // The writer is gone once it has failed, which the worker notices next.
            let _ = self.queue.send(bytes);
        }
    }

    fn has_failed(&self) -> bool {
        self.state.failed.load(Ordering::Acquire)
    }

    fn is_empty(&self) -> bool {
        self.state.pending.load(Ordering::Acquire) == 0
    }

    /// Writes what is queued, closes this direction of the stream, and gives up after `limit`.
    async fn finish(self, limit: Duration) {
        drop(self.queue);
        let mut task = self.task;
        if timeout(limit, &mut task).await.is_err() {
            task.abort();
        }
    }
}

async fn write_all(
    mut write: WriteHalf<Stream>,
    mut chunks: mpsc::UnboundedReceiver<Vec<u8>>,
    state: Arc<OutboxState>,
) {
    while let Some(chunk) = chunks.recv().await {
        let more = !chunks.is_empty();
        if write_chunk(&mut write, &chunk, more, &state).await.is_none() {
            state.failed.store(true, Ordering::Release);
            state.progress.notify_one();
            return;
        }
    }
    let _ = timeout(WRITE_STALL_TIMEOUT, write.close()).await;
}

/// `None` if the stream failed, or made no progress for too long.
async fn write_chunk(write: &mut WriteHalf<Stream>, chunk: &[u8], more: bool, state: &OutboxState) -> Option<()> {
    let mut rest = chunk;
    while !rest.is_empty() {
        let n = timeout(WRITE_STALL_TIMEOUT, write.write(rest)).await.ok()?.ok()?;
        if n == 0 {
            return None;
        }
        rest = &rest[n..];
        state.written.fetch_add(n, Ordering::AcqRel);
        state.pending.fetch_sub(n, Ordering::AcqRel);
        state.progress.notify_one();
    }
    match more {
        true => Some(()),
        false => timeout(WRITE_STALL_TIMEOUT, write.flush()).await.ok()?.ok(),
    }
}

/// What woke the worker.
enum Woken {
    Bytes(Vec<u8>),
    Changed,
    Tick,
    Disconnected,
    /// Bytes were written: the session may give out more.
    Written,
    Stop,
}

struct Worker {
    shared: Shared,
    /// Always there but while it runs elsewhere.
    session: Option<Session>,
    reporter: Reporter,
    chunks: mpsc::Receiver<Vec<u8>>,
    outbox: Outbox,
    changed: watch::Receiver<u64>,
    stop: watch::Receiver<Stop>,
    /// Since when the two sides have something to exchange.
    busy_since: Option<Instant>,
    /// Until when what is on its way may still arrive, once the session is to stop.
    draining: Option<Instant>,
}

impl Worker {
    /// Drives the session to its end and returns why it ended.
    async fn run(mut self, peer: PeerId) -> String {
        let mut closed = None;
        let mut last_words = false;
        while closed.is_none() {
            let woken = self.wait().await;
            if let Woken::Stop = woken
                && (self.is_cut_off() || self.is_drained())
            {
                break;
            }
            let Some(output) = self.step(woken).await else { break };
            last_words = !output.bytes.is_empty();
            closed = self.give_out(output).await;
        }
        tracing::debug!(%peer, reason = closed.as_deref().unwrap_or("stopped"), "session over");
        if closed.is_none() {
            // Notes when the device was last seen.
            let _ = self.step(Woken::Disconnected).await;
        }
        let limit = match self.draining {
            _ if self.is_cut_off() => Duration::ZERO,
            Some(until) => until.saturating_duration_since(Instant::now()),
            None => DRAIN_TIMEOUT,
        };
        self.outbox.finish(limit).await;
        if last_words {
            // A QUIC connection that is closed forgets what is on its way: the peer hangs up first.
            let hung_up = async { while self.chunks.recv().await.is_some() {} };
            let _ = timeout(DRAIN_TIMEOUT, hung_up).await;
        }
        closed.unwrap_or_else(|| "the session was stopped".into())
    }

    /// Waits for the next thing to do.
    async fn wait(&mut self) -> Woken {
        let Some(session) = &self.session else { return Woken::Stop };
        let wake_ms = session.wakes_at();
        let wake = self.shared.started + Duration::from_millis(wake_ms.min(FAR_MS));
        if self.is_drained() {
            return Woken::Stop;
        }
        if self.outbox.has_failed() {
            return Woken::Disconnected;
        }
        tokio::select! {
            biased;
            () = stopped(&mut self.stop, self.draining) => Woken::Stop,
            chunk = self.chunks.recv() => match chunk {
                Some(first) => Woken::Bytes(gather(first, &mut self.chunks)),
                None => Woken::Disconnected,
            },
            Ok(()) = self.changed.changed() => Woken::Changed,
            () = sleep_until(wake) => Woken::Tick,
            () = self.outbox.state.progress.notified() => Woken::Written,
        }
    }

    /// Whether the connection is closed under the session.
    fn is_cut_off(&self) -> bool {
        *self.stop.borrow() == Stop::Now || self.stop.has_changed().is_err()
    }

    /// Whether all that this side had to send has arrived, or had its time.
    fn is_drained(&self) -> bool {
        let Some(until) = self.draining else { return false };
        let idle = self
            .session
            .as_ref()
            .is_none_or(|session| session.bytes_in_flight() == 0 && session.wakes_at() > self.shared.now_ms());
        until <= Instant::now() || idle && self.outbox.is_empty()
    }

    /// Runs the session on one input, off the async threads. `None` if that panicked.
    async fn step(&mut self, woken: Woken) -> Option<Output> {
        if let Woken::Stop = woken {
            self.draining = Some(Instant::now() + DRAIN_TIMEOUT);
        }
        let mut session = self.session.take()?;
        session.written(self.outbox.state.written.swap(0, Ordering::AcqRel));
        if let Woken::Written = woken
            && session.wakes_at() > self.shared.now_ms()
        {
            self.session = Some(session);
            return Some(Output::default());
        }
        let level = session.is_caught_up();
        let began = Instant::now();
        let replica = Arc::clone(&self.shared.replica);
        let now_ms = self.shared.now_ms();
        let run = tokio::task::spawn_blocking(move || {
            let input = match &woken {
                Woken::Bytes(bytes) => Input::Bytes(bytes),
                // Before it stops, a session sends what was written last.
                Woken::Changed | Woken::Stop => Input::Changed,
                Woken::Tick | Woken::Written => Input::Tick,
                Woken::Disconnected => Input::Disconnected,
            };
            let output = session.handle(&*replica, now_ms, input);
            (session, output)
        });
        let (session, output) = run.await.ok()?;
        if level && self.busy_since.is_none() {
            self.busy_since = Some(began);
        }
        if session.is_caught_up() && !output.events.iter().any(|e| matches!(e, Event::CaughtUp { .. })) {
            self.busy_since = None;
        }
        self.session = Some(session);
        Some(output)
    }

    /// Passes on what the session gave out; returns why it is over, if it is.
    async fn give_out(&mut self, output: Output) -> Option<String> {
        self.outbox.push(output.bytes);
        let mut closed = None;
        for event in output.events {
            match event {
                Event::PeerReady { user, device } => {
                    if let Some(build) = self.session.as_ref().and_then(Session::peer_build).cloned() {
                        self.reporter.report(ReportKind::Runs(device, build)).await;
                    }
                    self.reporter.report(ReportKind::Ready(user, device)).await;
                }
                Event::Applied { device, changes, ops } => {
                    if changes > 0 {
                        self.shared.changed.send_modify(|count| *count += 1);
                    }
                    self.shared.tell(NodeEvent::Applied { device, changes, ops });
                }
                Event::IdentitiesLearned { user, device, entries } => {
                    self.shared.identities.notify_one();
                    self.shared.changed.send_modify(|count| *count += 1);
                    self.shared.tell(NodeEvent::IdentitiesLearned { user, device, entries });
                }
                Event::Acknowledged { device, heads } => {
                    self.shared.tell(NodeEvent::Acknowledged { device, heads });
                }
                Event::CaughtUp { device, received, sent } => {
                    let elapsed = self.busy_since.take().map_or(Duration::ZERO, |since| since.elapsed());
                    self.shared.tell(NodeEvent::CaughtUp { device, received, sent, elapsed });
                }
                Event::LogSkipped { space, log, why } => {
                    tracing::warn!(%space, %log, ?why, "changes of a log can't be applied");
                    self.shared.tell(NodeEvent::LogSkipped { space, log, why });
                }
                Event::LogWaits { space, log, why } => {
                    tracing::warn!(%space, %log, %why, "changes of a log wait for an update of this app");
                    self.shared.tell(NodeEvent::LogWaits { space, log, why });
                }
                Event::OwnLogBehind { space, log } => {
                    self.shared.tell(NodeEvent::OwnLogBehind { space, log });
                    // The peer leaves the log out of this session; the next one brings both ways together.
                    closed = Some("a log of this device took two ways: the next session settles it".to_owned());
                }
                Event::Copied(Copied { log, pairs_again }) => {
                    tracing::warn!(%log, pairs_again, "another database is in use with this device's keys");
                    self.shared.tell(NodeEvent::CopiedDevice { log, pairs_again });
                }
                Event::Closed { reason } => {
                    if let CloseReason::Failed(SyncError::Version { device, theirs }) = &reason {
                        self.reporter.report(ReportKind::Runs(*device, Build::clone(theirs))).await;
                    }
                    closed = Some(describe(&reason));
                }
            }
        }
        closed
    }
}

/// Returns when the session is to stop; once it drains, when it has to end.
async fn stopped(stop: &mut watch::Receiver<Stop>, draining: Option<Instant>) {
    // An error means that the connection is gone, or the node: stop all the same.
    let _ = match draining {
        None => stop.wait_for(|stop| *stop != Stop::No).await.map(drop),
        Some(until) => tokio::time::timeout_at(until, stop.wait_for(|stop| *stop == Stop::Now))
            .await
            .map_or(Ok(()), |now| now.map(drop)),
    };
}

/// Sleeping that long is as good as forever, and does not overflow a clock: a year.
const FAR_MS: u64 = 365 * 24 * 3600 * 1000;

/// Takes along what else has arrived, so that it is applied together.
fn gather(mut bytes: Vec<u8>, chunks: &mut mpsc::Receiver<Vec<u8>>) -> Vec<u8> {
    while bytes.len() + READ_BYTES <= INPUT_BYTES_MAX
        && let Ok(more) = chunks.try_recv()
    {
        bytes.extend_from_slice(&more);
    }
    bytes
}

fn describe(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Disconnected => "the connection was closed".into(),
        CloseReason::ByPeer(code) => format!("the peer closed: {code}"),
        CloseReason::Failed(error) => error.to_string(),
    }
}
