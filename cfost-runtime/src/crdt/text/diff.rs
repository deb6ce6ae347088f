//! The smallest edit from one text to another: Myers' O(ND) difference, by lines first and then by
//! characters within the lines that differ.
//!
//! Source: E. W. Myers, "An O(ND) Difference Algorithm and Its Variations", Algorithmica 1 (1986). Both
//! searches give up at a bound, beyond which a place counts as replaced whole: two texts that have
//! nothing in common are no edit of each other.

use std::ops::Range;

/// The most insertions and deletions of lines that are looked for.
const LINES_CHANGED_MAX: usize = 1000;

/// The most insertions and deletions of characters that are looked for in one place.
const CHARACTERS_CHANGED_MAX: usize = 256;

/// A range of the old text and what comes in its place, as a range of the new text.
pub(super) type Hunk = (Range<usize>, Range<usize>);

/// What to replace in `old` to get `new`: ascending, apart from each other, at boundaries of characters as a
/// reader sees them (a letter and its accents, an emoji of several parts).
pub(super) fn hunks(old: &str, new: &str) -> Vec<Hunk> {
    let lines = |text| pieces(text, |line: &str| line.find('\n').map_or(line.len(), |end| end + 1));
    let mut found = Vec::new();
    for (gone, came) in differences(&lines(old), &lines(new), LINES_CHANGED_MAX) {
        if gone.is_empty() || came.is_empty() {
            found.push((gone, came));
            continue;
        }
        let (from, to) = (&old[gone.clone()], &new[came.clone()]);
        for (inner_gone, inner_came) in differences(&clusters(from), &clusters(to), CHARACTERS_CHANGED_MAX) {
            found.push((shifted(inner_gone, gone.start), shifted(inner_came, came.start)));
        }
    }
    found
}

fn shifted(range: Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}

/// The pieces that a text falls into; `length` gives that of the first of a text that isn't empty.
fn pieces(text: &str, length: impl Fn(&str) -> usize) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(length(rest));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

fn clusters(text: &str) -> Vec<&str> {
    pieces(text, |rest| {
        let mut characters = rest.char_indices();
        let mut flags = 0;
        let mut previous = '\0';
        if let Some((_, first)) = characters.next() {
            previous = first;
            flags = usize::from(is_flag(first));
        }
        for (at, next) in characters {
            let pair = flags == 1 && is_flag(next);
            if !pair && !extends(next) && previous != ZERO_WIDTH_JOINER {
                return at;
            }
            flags += usize::from(pair);
            previous = next;
        }
        rest.len()
    })
}

const ZERO_WIDTH_JOINER: char = '\u{200d}';

/// Half of a flag: a regional indicator.
fn is_flag(character: char) -> bool {
    ('\u{1f1e6}'..='\u{1f1ff}').contains(&character)
}

/// Whether a character belongs to the one before it. The combining marks of the scripts that are most
/// written, emoji modifiers and joiners; a cluster that this takes for two is still never cut inside a
/// character.
fn extends(character: char) -> bool {
    matches!(character,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{900}'..='\u{903}' | '\u{93a}'..='\u{94f}' | '\u{e31}' | '\u{e34}'..='\u{e3a}'
        | '\u{e47}'..='\u{e4e}' | '\u{1160}'..='\u{11ff}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{200c}' | ZERO_WIDTH_JOINER | '\u{20d0}'..='\u{20ff}' | '\u{302a}'..='\u{302f}'
        | '\u{3099}' | '\u{309a}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}'
        | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Where two lists of pieces differ, in bytes; the whole middle once `changed_max` is exceeded.
fn differences(old: &[&str], new: &[&str], changed_max: usize) -> Vec<Hunk> {
    let prefix = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old[prefix..], &new[prefix..]);
    let suffix = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&old_rest[..old_rest.len() - suffix], &new_rest[..new_rest.len() - suffix]);
    if old_rest.is_empty() && new_rest.is_empty() {
        return Vec::new();
    }
    let one = [(0..old_rest.len(), 0..new_rest.len())];
    let found = if old_rest.is_empty() || new_rest.is_empty() { None } else { myers(old_rest, new_rest, changed_max) };
    let (old_at, new_at) = (offsets(old), offsets(new));
    let in_bytes = |at: &[usize], range: &Range<usize>| at[prefix + range.start]..at[prefix + range.end];
    let found: &[Hunk] = found.as_deref().unwrap_or(&one);
    found.iter().map(|(gone, came)| (in_bytes(&old_at, gone), in_bytes(&new_at, came))).collect()
}

/// Where each piece begins, and where the last one ends.
fn offsets(pieces: &[&str]) -> Vec<usize> {
    let mut at = 0;
    let ends = pieces.iter().map(|piece| {
        at += piece.len();
        at
    });
    std::iter::once(0).chain(ends).collect()
}

/// The shortest edit script, as ranges of pieces that differ; `None` if it has more than `changed_max` steps.
fn myers(old: &[&str], new: &[&str], changed_max: usize) -> Option<Vec<Hunk>> {
    let (rows, columns) = (old.len() as isize, new.len() as isize);
    // `furthest[k]`: how far along `old` the paths on diagonal `k` come, which are at `k` fewer in `new`.
    let most = changed_max.min(old.len() + new.len()) as isize;
    let mut furthest = vec![0_isize; 2 * most as usize + 3];
    let place = |diagonal: isize| (diagonal + most + 1) as usize;
    let mut trace: Vec<Vec<isize>> = Vec::new();
    for steps in 0..=most {
        trace.push(furthest[place(-steps - 1)..=place(steps + 1)].to_vec());
        for diagonal in (-steps..=steps).step_by(2) {
            let (down, right) = (furthest[place(diagonal + 1)], furthest[place(diagonal - 1)]);
            let mut row = if diagonal == -steps || (diagonal != steps && right < down) { down } else { right + 1 };
            while row < rows
                && row - diagonal < columns
                && row - diagonal >= 0
                && old[row as usize] == new[(row - diagonal) as usize]
            {
                row += 1;
            }
            furthest[place(diagonal)] = row;
            if row >= rows && row - diagonal >= columns {
                return Some(walk_back(&trace, rows, columns));
            }
        }
    }
    None
}

/// Reads the path back from its end: each step beside a diagonal is a piece that went or came.
fn walk_back(trace: &[Vec<isize>], rows: isize, columns: isize) -> Vec<Hunk> {
    let (mut row, mut column) = (rows, columns);
    let mut hunks: Vec<Hunk> = Vec::new();
    for (steps, furthest) in trace.iter().enumerate().rev() {
        let steps = steps as isize;
        if steps == 0 {
            break;
        }
        let at = |diagonal: isize| furthest[(diagonal + steps + 1) as usize];
        let diagonal = row - column;
        let down = diagonal == -steps || (diagonal != steps && at(diagonal - 1) < at(diagonal + 1));
        let (from_row, diagonal) =
            if down { (at(diagonal + 1), diagonal + 1) } else { (at(diagonal - 1), diagonal - 1) };
        let from_column = from_row - diagonal;
        let (to_row, to_column) = if down { (from_row, from_column + 1) } else { (from_row + 1, from_column) };
        let step = (from_row as usize..to_row as usize, from_column as usize..to_column as usize);
        match hunks.last_mut() {
            Some((gone, came)) if gone.start == step.0.end && came.start == step.1.end => {
                (gone.start, came.start) = (step.0.start, step.1.start);
            }
            _ => hunks.push(step),
        }
        (row, column) = (from_row, from_column);
    }
    hunks.reverse();
    hunks
}
