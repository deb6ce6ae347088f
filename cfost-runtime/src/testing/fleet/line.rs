//! What is between two devices: good lines, and bad ones, which lose, double, reorder and cut off messages.

use std::fmt;

use super::super::devices::START_MS;
use super::super::random::Random;
use super::Fleet;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::sync::pipe::{End, Pipe};
use crate::sync::{CloseReason, Event, Refusal};

/// After so many turns of both ends a bad line breaks.
const TURNS_MAX: usize = 40;

/// The bytes that say how long a frame is.
const LENGTH_BYTES: usize = 4;

/// What a bad line did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    lost: u32,
    doubled: u32,
    reordered: u32,
    cut: bool,
}

impl Faults {
    pub(super) fn any(self) -> bool {
        self != Self::default()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = [(self.lost, "lost"), (self.doubled, "doubled"), (self.reordered, "out of order")];
        let counted = counted.into_iter().filter(|(count, _)| *count > 0);
        let parts = counted.map(|(count, what)| format!("{count} message{} {what}", if count == 1 { "" } else { "s" }));
        let parts: Vec<String> = parts.chain(self.cut.then(|| "broken off within a message".to_owned())).collect();
        f.write_str(&parts.join(", "))
    }
}

/// Connections that stay: what is written at one end reaches the other at once.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<Line>);

#[derive(Debug)]
struct Line {
    devices: [usize; 2],
    pipe: Pipe,
}

impl Lines {
    /// Connects two devices, unless they are.
    pub(super) fn connect(&mut self, fleet: &Fleet, [device, other]: [usize; 2]) -> Result<bool> {
        let ends = [device.min(other), device.max(other)];
        if self.0.iter().any(|line| line.devices == ends) {
            return Ok(false);
        }
        let pipe = connect(fleet.device(ends[0]).db(), fleet.device(ends[1]).db())?;
        self.0.push(Line { devices: ends, pipe });
        Ok(true)
    }

    /// Breaks the lines that aren't to be kept; says whether there were any.
    pub(super) fn keep(&mut self, keep: impl Fn([usize; 2]) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|line| keep(line.devices));
        self.0.len() < before
    }

    /// Brings whatever is new over all lines, until nothing is.
    pub(super) fn carry(&mut self) -> Result<()> {
        let mut new = true;
        while std::mem::take(&mut new) {
            for Line { pipe, .. } in &mut self.0 {
                End::BOTH.into_iter().for_each(|end| pipe.changed(end));
                pipe.run();
                new |= check_good(pipe)?;
            }
        }
        Ok(())
    }
}

/// Over a good line both ends come to hold the same, and know it. Says whether anything has come over it.
pub(super) fn check_good(pipe: &mut Pipe) -> Result<bool> {
    let applied = check(pipe, Faults::default())?;
    match End::BOTH.into_iter().find(|end| !pipe.session(*end).is_caught_up()) {
        None => Ok(applied),
        Some(end) => Err(Error::abort(format!("the session has come to rest, and the {end:?} isn't caught up"))),
    }
}

/// Connects two devices.
pub(super) fn connect(dialer: &Db, listener: &Db) -> Result<Pipe> {
    Pipe::connect(dialer.replica()?, listener.replica()?, START_MS).map_err(Error::abort)
}

/// Runs one session over a bad line, and breaks it.
pub(super) fn sync_badly(dialer: &Db, listener: &Db, mut random: Random) -> Result<Faults> {
    let mut pipe = connect(dialer, listener)?;
    let mut faults = Faults::default();
    for _ in 0..TURNS_MAX {
        let mut moved = false;
        for end in End::BOTH {
            moved |= pipe.wake(end);
            let flight = mangle(&pipe.intercept(end), &mut random, &mut faults);
            moved |= !flight.is_empty();
            pipe.inject(end, &flight);
            pipe.deliver(end, usize::MAX);
        }
        if faults.cut || !moved {
            break;
        }
        pipe.advance(random.below(3000) as u64);
    }
    pipe.disconnect();
    check(&mut pipe, faults)?;
    Ok(faults)
}

/// Deals with a flight of frames as a bad line does.
fn mangle(flight: &[u8], random: &mut Random, faults: &mut Faults) -> Vec<u8> {
    let mut frames = frames(flight);
    let mut at = 0;
    while at < frames.len() {
        match random.below(100) {
            0..6 => {
                frames.remove(at);
                faults.lost += 1;
                continue;
            }
            6..12 => {
                frames.insert(at, frames[at]);
                faults.doubled += 1;
                at += 1;
            }
            12..18 if at > 0 => {
                frames.swap(at - 1, at);
                faults.reordered += 1;
            }
            _ => {}
        }
        at += 1;
    }
    let mut bytes = frames.concat();
    if !bytes.is_empty() && random.percent(5) {
        bytes.truncate(random.below(bytes.len()));
        faults.cut = true;
    }
    bytes
}

/// The frames in a stream of whole ones.
fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() {
        let end = LENGTH_BYTES + u32::from_le_bytes(*length) as usize;
        let (frame, rest) = bytes.split_at(end.min(bytes.len()));
        frames.push(frame);
        bytes = rest;
    }
    frames
}

/// A bad line may end a session and keep a log from a device for that session; it never makes a fork, and a
/// good one ends nothing. Says whether anything has come over it.
pub(super) fn check(pipe: &mut Pipe, faults: Faults) -> Result<bool> {
    let mut applied = false;
    for end in End::BOTH {
        for event in pipe.take_events(end) {
            applied |= matches!(event, Event::Applied { .. });
            let expected = match &event {
                Event::Closed { reason: CloseReason::Disconnected } => true,
                Event::Closed { .. } => faults.any(),
                // Its author was introduced in a message that was lost.
                Event::LogSkipped { why, .. } => faults.any() && *why == Refusal::Author,
                Event::OwnLogBehind { .. } => false,
                _ => true,
            };
            if !expected {
                return Err(Error::abort(format!("the session took a wrong turn at the {end:?}: {event:?}")));
            }
        }
    }
    Ok(applied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_loses_doubles_and_reorders_whole_messages_and_says_so() {
        let message = |n: u8| [&3_u32.to_le_bytes()[..], &[n; 3]].concat();
        let flight: Vec<u8> = (0..200).flat_map(message).collect();
        let (mut random, mut faults) = (Random::new(1), Faults::default());
        let mangled = mangle(&flight, &mut random, &mut faults);
        let messages = frames(&mangled);
        let count = |n: u8| messages.iter().filter(|it| ***it == message(n)).count();
        assert_eq!((0..200).filter(|n| count(*n) == 0).count(), faults.lost as usize);
        assert_eq!((0..200).filter(|n| count(*n) == 2).count(), faults.doubled as usize);
        assert!(!faults.cut && faults.lost > 3 && faults.doubled > 3 && faults.reordered > 3, "{faults:?}");
        let told = faults.to_string();
        assert!(told.contains("messages lost, ") && told.ends_with("messages out of order"), "{told}");
        assert_eq!(
            Faults { lost: 1, cut: true, ..Faults::default() }.to_string(),
            "1 message lost, broken off within a message"
        );
    }
}
