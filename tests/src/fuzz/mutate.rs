//! Seeded mutations of valid bytes: what a fuzzer without instrumentation can do.

/// Replayable numbers: SplitMix64 (Steele, Lea, Flood, *Fast Splittable Pseudorandom Number Generators*).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers that belong to `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, or 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next_u64() % bound as u64) as usize }
    }
}

/// Makes broken bytes of valid ones.
#[derive(Clone, Debug)]
pub struct Mutator<'s> {
    seeds: &'s [Vec<u8>],
    random: Random,
}

/// Bytes at the edges of what lengths, counts, tags and varints can be.
const EDGES: &[&[u8]] = &[
    &[0],
    &[1],
    &[0x7f],
    &[0x80],
    &[0xff],
    &[0x80, 0],
    &[0, 0, 0, 0],
    &[0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
];

impl<'s> Mutator<'s> {
    /// Mutations of `seeds`, of which there is at least one.
    pub const fn new(seeds: &'s [Vec<u8>], random: Random) -> Self {
        Self { seeds, random }
    }

    /// The next broken bytes: one of the seeds with a few changes.
    pub fn next_bytes(&mut self) -> Vec<u8> {
        let mut bytes = self.seeds[self.random.below(self.seeds.len())].clone();
        for _ in 0..=self.random.below(4) {
            self.mutate(&mut bytes);
        }
        bytes
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let at = self.random.below(bytes.len() + 1);
        let until = at + self.random.below((bytes.len() - at).min(64) + 1);
        match self.random.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.random.below(8),
            1 if at < bytes.len() => bytes[at] = self.random.next_u64() as u8,
            2 => self.put_edge(bytes, at, true),
            3 => self.put_edge(bytes, at, false),
            4 => drop(bytes.drain(at..until)),
            5 => {
                let twice = bytes[at..until].to_vec();
                drop(bytes.splice(at..at, twice));
            }
            6 => {
                let other = &self.seeds[self.random.below(self.seeds.len())];
                let from = self.random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => bytes.truncate(at),
        }
    }

    /// Writes edge bytes over those at `at`, or between them.
    fn put_edge(&mut self, bytes: &mut Vec<u8>, at: usize, over: bool) {
        let edge = EDGES[self.random.below(EDGES.len())];
        let until = if over { (at + edge.len()).min(bytes.len()) } else { at };
        drop(bytes.splice(at..until, edge.iter().copied()));
    }
}
