//! Edits such as writing makes, from a seed.

/// One keystroke. Positions are bytes; all characters have one.
pub enum Edit {
    /// A character comes before this position.
    Insert(usize, char),
    /// The character at this position goes.
    Delete(usize),
}

/// A session of writing.
pub struct Trace {
    /// Its keystrokes.
    pub edits: Vec<Edit>,
    /// The text at the end.
    pub text: String,
}

impl Trace {
    /// A session of this many keystrokes.
    pub fn new(seed: u64, count: usize) -> Self {
        let mut random = Random(seed);
        let mut edits = Vec::with_capacity(count);
        let mut text: Vec<u8> = Vec::new();
        let mut at = 0;
        while edits.len() < count {
            // Where the writer goes on: mostly here, at times nearby, seldom anywhere, or at the end.
            match random.below(100) {
                0..70 => {}
                70..90 => at = (at + random.below(200)).saturating_sub(100).min(text.len()),
                90..93 => at = random.below(text.len() + 1),
                _ => at = text.len(),
            }
            if random.below(10) < 7 {
                for _ in 0..1 + random.below(24) {
                    let letter = b"etaoinshrdlu     ,.\n"[random.below(20)];
                    text.insert(at, letter);
                    edits.push(Edit::Insert(at, letter.into()));
                    at += 1;
                }
            } else {
                for _ in 0..(1 + random.below(12)).min(at) {
                    at -= 1;
                    text.remove(at);
                    edits.push(Edit::Delete(at));
                }
            }
        }
        Self { edits, text: String::from_utf8(text).unwrap() }
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}
