//! Where a list's element is: positions between which there is always another.
//!
//! A position is a path of *steps*, each a counter and a random number; positions compare step by step,
//! and a path comes before those that continue it. That is the ordered tree of ORDPATH (O'Neil et al.,
//! "ORDPATHs: Insert-Friendly XML Node Labels", SIGMOD 2004), whose careful insertion never relabels; the
//! random number in each step is Logoot's (Weiss, Urso, Molli, ICDCS 2009), so that two devices that
//! insert at one place at the same time get two positions.
//!
//! - After the last, or before the first: the outermost counter, plus or minus one.
//! - Between two: a counter between theirs if there is one, else a step below the left one, after what is
//!   below it already.
//! - A run that is inserted at once is one new path and what is below it. What another device inserts at
//!   the same place is before or after all of that, so runs don't interleave.
//!
//! Inserting always behind, before, or next to what was inserted last only moves a counter on, so a
//! position grows with the logarithm of the number of inserts. Inserting again and again between the two
//! latest elements adds a step for every other insert. When a position would be longer than
//! [`POSITION_BYTES_MAX`], there is none, and the list is numbered anew.
//!
//! In bytes, each number is written so that bytes compare as the numbers do; so positions compare as
//! bytes, in SQLite too:
//!
//! | number | first byte | bytes after it |
//! | --- | --- | --- |
//! | 0 to 63 | `0x80` + number | |
//! | greater | `0xBF` + n | the number, n bytes, big endian, as few as possible |
//! | -64 to -1 | `0x80` + number | |
//! | smaller | `0x40` - n | the complement of (-1 - number), n bytes, big endian, as few as possible |

/// The most bytes of a position.
pub const POSITION_BYTES_MAX: usize = 255;

/// Random numbers in steps are below this: two devices that insert at one place at the same time draw the
/// same one once in 16 million times, and then the ids of the elements decide.
const RANDOM_END: u32 = 1 << 24;

/// One level of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    counter: i64,
    random: i64,
}

/// Whether the bytes are a position.
pub fn is_position(bytes: &[u8]) -> bool {
    parse(bytes).is_some()
}

/// `count` ascending positions after `left` and before `right`, where `None` is the beginning or the end of
/// the list. `random` tells them from those that another device makes at the same place.
///
/// Returns `None` if there is no room: a position would be too long, or what is given isn't in order (two
/// devices drew the same random number, or a position isn't one).
pub fn between(left: Option<&[u8]>, right: Option<&[u8]>, count: usize, random: u32) -> Option<Vec<Vec<u8>>> {
    let left = left.map_or(Some(Vec::new()), parse)?;
    let right = right.map_or(Some(Vec::new()), parse)?;
    let random = i64::from(random % RANDOM_END);
    let path = path_between(&left, &right, &|counter| Step { counter, random })?;
    let positions = run(&path, count);
    positions.last().is_none_or(|last| last.len() <= POSITION_BYTES_MAX).then_some(positions)
}

/// The positions of a list of `count` elements that is numbered anew.
pub fn numbered(count: usize, random: u32) -> Vec<Vec<u8>> {
    run(&[Step { counter: 0, random: i64::from(random % RANDOM_END) }], count)
}

/// A path, and then what is below it, in order: ascending in length too.
fn run(path: &[Step], count: usize) -> Vec<Vec<u8>> {
    let mut first = Vec::new();
    path.iter().for_each(|step| push_step(&mut first, *step));
    let mut positions = Vec::with_capacity(count);
    for counter in -1..i64::try_from(count).unwrap_or(i64::MAX) - 1 {
        let mut position = Vec::with_capacity(first.len() + 4);
        position.extend_from_slice(&first);
        if counter >= 0 {
            push_step(&mut position, Step { counter, random: 0 });
        }
        positions.push(position);
    }
    positions
}

/// The path for what comes after `left` and before `right`; an empty one stands for the list's end on that side.
fn path_between(left: &[Step], right: &[Step], step: &impl Fn(i64) -> Step) -> Option<Vec<Step>> {
    let same = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    let (prefix, last) = match (left.get(same), right.get(same)) {
        (None, None) if left.is_empty() => (&[][..], step(0)),
        (None, None) => return None,
        // `right` continues `left`, or there is no left: before its step.
        (None, Some(right)) => (&left[..same], step(right.counter.checked_sub(1)?)),
        (Some(end), None) if right.is_empty() => (&left[..same], step(end.counter.checked_add(1)?)),
        (Some(before), Some(after)) if before < after => {
            if before.counter.checked_add(1)? < after.counter {
                (&left[..same], step(before.counter + 1))
            } else {
                // Below the left one, after what is there.
                let next = left.get(same + 1).map_or(Some(0), |below| below.counter.checked_add(1))?;
                (&left[..=same], step(next))
            }
        }
        (Some(_), _) => return None,
    };
    let mut path = prefix.to_vec();
    path.push(last);
    Some(path)
}

fn push_step(out: &mut Vec<u8>, step: Step) {
    push_number(out, step.counter);
    push_number(out, step.random);
}

/// The numbers that one byte holds are those from -64 to 63.
const SHORT: i64 = 64;

fn push_number(out: &mut Vec<u8>, number: i64) {
    if (-SHORT..SHORT).contains(&number) {
        out.push((0x80 + number) as u8);
        return;
    }
    let magnitude = if number < 0 { !number } else { number };
    let bytes = magnitude.to_be_bytes();
    let skip = magnitude.leading_zeros() as usize / 8;
    let len = (8 - skip) as u8;
    if number < 0 {
        out.push(0x40 - len);
        out.extend(bytes[skip..].iter().map(|byte| !byte));
    } else {
        out.push(0xBF + len);
        out.extend_from_slice(&bytes[skip..]);
    }
}

fn parse(mut bytes: &[u8]) -> Option<Vec<Step>> {
    if bytes.is_empty() || bytes.len() > POSITION_BYTES_MAX {
        return None;
    }
    let mut path = Vec::new();
    while !bytes.is_empty() {
        path.push(Step { counter: next_number(&mut bytes)?, random: next_number(&mut bytes)? });
    }
    Some(path)
}

fn next_number(bytes: &mut &[u8]) -> Option<i64> {
    let (&first, rest) = bytes.split_first()?;
    let (len, flip) = match first {
        0x40..=0xBF => {
            *bytes = rest;
            return Some(i64::from(first) - 0x80);
        }
        0xC0..=0xC7 => (first - 0xBF, 0),
        0x38..=0x3F => (0x40 - first, 0xFF),
        _ => return None,
    };
    let (taken, rest) = rest.split_at_checked(usize::from(len))?;
    let magnitude = taken.iter().fold(0_u64, |number, byte| number << 8 | u64::from(byte ^ flip));
    // The shortest form only: no leading zero, and nothing that one byte could say.
    let shortest = taken.first().is_some_and(|byte| byte ^ flip != 0) && magnitude >= SHORT as u64;
    let magnitude = i64::try_from(magnitude).ok().filter(|_| shortest)?;
    *bytes = rest;
    Some(if flip == 0 { magnitude } else { !magnitude })
}

#[cfg(test)]
mod tests;
