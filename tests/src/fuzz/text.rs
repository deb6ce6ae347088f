//! The target for deltas of texts.

use cfost_runtime::clock::Timestamp;
use cfost_runtime::crdt::text::{Document, Fate, Generation, Mark, Text, check_delta};

/// Whose the bytes are. `WRITER` began the text, `OTHER` has edited it too.
const FUZZED: u64 = 3;
const WRITER: u64 = 1;
const OTHER: u64 = 2;

/// The deltas that every replica has.
fn known() -> Vec<(u64, Vec<u8>)> {
    let mut document = Document::new();
    let first = edit(&mut document, WRITER, |text| text.push_str("The quick brown fox"));
    let second = edit(&mut document, WRITER, |text| text.mark(4..9, "bold", true));
    let mut document = Document::new();
    document.merge(WRITER, &first[0]).expect("a delta that was made merges");
    let third = edit(&mut document, OTHER, |text| text.replace("The quick dog"));
    let fourth = edit(&mut document, OTHER, |text| text.insert(0, "Ü. "));
    let of = |peer, deltas: Vec<Vec<u8>>| deltas.into_iter().map(move |delta| (peer, delta));
    of(WRITER, first).chain(of(WRITER, second)).chain(of(OTHER, third)).chain(of(OTHER, fourth)).collect()
}

fn edit(document: &mut Document, peer: u64, work: impl FnOnce(&mut Text)) -> Vec<Vec<u8>> {
    let mut text = document.text().expect("a document can be read");
    work(&mut text);
    document.edit(peer, &text).expect("an edit of what was read can be made")
}

/// A delta has one encoding, and whatever it says, replicas that have it agree, whenever it came.
pub(super) fn delta(bytes: &[u8]) -> bool {
    if check_delta(bytes).is_err() {
        assert!(Document::new().merge(FUZZED, bytes).is_err());
        return false;
    }
    let known = known();
    let fuzzed = (FUZZED, bytes.to_vec());
    let last = known.iter().chain([&fuzzed]);
    let first = [&fuzzed].into_iter().chain(&known);
    let between = known[..2].iter().chain([&fuzzed]).chain(&known[2..]);
    let expected = state(last);
    assert_eq!(state(first), expected, "it came first, or last");
    assert_eq!(state(between), expected, "it came in between, or last");
    true
}

fn state<'d>(deltas: impl Iterator<Item = &'d (u64, Vec<u8>)>) -> (String, Vec<Mark>) {
    let mut document = Document::new();
    for (peer, delta) in deltas {
        let fate = document.merge(*peer, delta);
        assert!(fate.is_ok_and(|fate| fate != Fate::Known) || *peer == FUZZED, "a good delta is merged");
        document = document.save().and_then(|stored| stored.load()).expect("a document can be stored");
    }
    (document.plain(), document.marks())
}

pub(super) fn delta_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for seen in 0..=known().len() {
        let mut document = Document::new();
        for (peer, delta) in &known()[..seen] {
            document.merge(*peer, delta).expect("a delta that was made merges");
        }
        let end = document.plain().len();
        seeds.extend(edit(&mut document, FUZZED, |text| text.insert(end / 2, "red ")));
        seeds.extend(edit(&mut document, FUZZED, |text| text.mark(0..2.min(text.len()), "link", "https://a.example")));
        if end > 6 {
            let mut document = document;
            seeds.extend(edit(&mut document, FUZZED, |text| {
                text.delete(4..6);
                text.insert(1, "é");
            }));
        }
    }
    // Of a text that a version before has written as a value; it has no other beginning here.
    let generation = Generation { writer: WRITER, at: Timestamp::from_ms(1) };
    let named: Vec<Vec<u8>> = seeds.iter().filter_map(|seed| generation.name(seed).ok()).collect();
    seeds.extend(named);
    // Those that stand on another of the same author come without it: they wait.
    seeds
}
