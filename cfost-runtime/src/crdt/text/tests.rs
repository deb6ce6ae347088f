//! What editing a text promises: the same text and marks on every replica, whatever the order.

use proptest::prelude::*;

use super::delta::{Delta, Operation};
use super::{DELTA_BYTES_MAX, Document, Fate, Generation, Text, TextError, check_delta, diff};
use crate::clock::Timestamp;

/// An edit at a position that is somewhere in the text, as a fraction of 1000.
#[derive(Clone, Debug)]
enum Action {
    Insert(usize, String),
    Delete(usize, usize),
    Replace(String),
    Mark(usize, usize, &'static str, Option<i64>),
    /// Takes the edits of another replica in.
    Meet(usize),
}

fn action() -> impl Strategy<Value = Action> {
    let typed = prop_oneof!["[a-c \n]{1,6}", Just("é".to_owned()), Just("e\u{301}👩‍👩‍👧🇩🇪".to_owned())];
    let at = 0..1000_usize;
    let key = prop_oneof![Just("bold"), Just("link")];
    prop_oneof![
        6 => (at.clone(), typed.clone()).prop_map(|(at, text)| Action::Insert(at, text)),
        3 => (at.clone(), 0..300_usize).prop_map(|(at, len)| Action::Delete(at, len)),
        1 => typed.prop_map(Action::Replace),
        2 => (at, 0..500_usize, key, proptest::option::of(0..3_i64))
            .prop_map(|(at, len, key, value)| Action::Mark(at, len, key, value)),
        2 => (0..3_usize).prop_map(Action::Meet),
    ]
}

/// The boundary of characters nearest before a fraction of the text.
fn place(text: &str, fraction: usize) -> usize {
    let mut at = text.len() * fraction.min(1000) / 1000;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn act(text: &mut Text, action: &Action) {
    let range = |text: &Text, at: usize, len: usize| place(text, at)..place(text, at + len);
    match action {
        Action::Insert(at, new) => text.insert(place(text, *at), new),
        Action::Delete(at, len) => text.delete(range(text, *at, *len)),
        Action::Replace(new) => text.replace(new),
        Action::Mark(at, len, key, Some(value)) => text.mark(range(text, *at, *len), key, *value),
        Action::Mark(at, len, key, None) => text.unmark(range(text, *at, *len), key),
        Action::Meet(_) => {}
    }
}

/// The text as an app reads it.
fn stored(document: &Document) -> Text {
    Text::stored(document.plain(), Some(document.save().unwrap().into()))
}

/// Opens what a replica has stored, edits it, and returns the deltas.
fn edit(document: &mut Document, peer: u64, work: impl FnOnce(&mut Text)) -> Vec<Vec<u8>> {
    let mut text = stored(document);
    work(&mut text);
    assert_eq!(text.error(), None);
    let deltas = document.edit(peer, &text).unwrap();
    assert_eq!(document.plain(), text.as_str(), "the document is what the app saw");
    assert_eq!(document.marks(), text.marks(), "and so are its marks");
    deltas
}

fn state(document: &Document) -> (String, Vec<super::Mark>) {
    (document.plain(), document.marks())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn replicas_that_have_the_same_edits_have_the_same_text_and_marks(
        stories in proptest::collection::vec((0..3_usize, action()), 1..24),
        order in any::<u64>(),
    ) {
        let mut replicas = [Document::new(), Document::new(), Document::new()];
        let mut all: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut made: [Vec<(u64, Vec<u8>)>; 3] = Default::default();
        for (who, action) in &stories {
            if let Action::Meet(other) = action {
                for (peer, delta) in made[*other].clone() {
                    replicas[*who].merge(peer, &delta).unwrap();
                    made[*who].retain(|known| *known != (peer, delta.clone()));
                    made[*who].push((peer, delta));
                }
                continue;
            }
            let deltas = edit(&mut replicas[*who], *who as u64, |text| act(text, action));
            let deltas = deltas.into_iter().map(|delta| (*who as u64, delta));
            all.extend(deltas.clone());
            made[*who].extend(deltas);
        }
        let mut shuffled = Document::new();
        let mut rest = all.clone();
        let mut seed = order;
        while !rest.is_empty() {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (peer, delta) = rest.swap_remove((seed >> 33) as usize % rest.len());
            check_delta(&delta).unwrap();
            prop_assert_eq!(Delta::decode(&delta).unwrap().encode(), delta.clone(), "one encoding");
            shuffled.merge(peer, &delta).unwrap();
            if seed & 3 == 0 {
                // Twice, and after being stored: neither changes anything.
                shuffled.merge(peer, &delta).unwrap();
                shuffled = shuffled.save().unwrap().load().unwrap();
            }
        }
        for replica in &mut replicas {
            for (peer, delta) in &all {
                replica.merge(*peer, delta).unwrap();
            }
            prop_assert_eq!(state(replica), state(&shuffled));
        }
    }

    #[test]
    fn replacing_a_text_gives_the_new_one(old in "[ab\né👍\u{301}]{0,60}", new in "[ab\né👍\u{301}]{0,60}") {
        let mut text = Text::from(old.as_str());
        text.replace(&new);
        prop_assert_eq!(text.error(), None);
        prop_assert_eq!(text.as_str(), new.as_str());
        let mut document = Document::new();
        document.edit(1, &text).unwrap();
        prop_assert_eq!(document.plain(), new);
    }

    #[test]
    fn bytes_that_are_no_delta_change_nothing(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        peer in 0..4_u64,
        cut in any::<prop::sample::Index>(),
    ) {
        let mut document = Document::new();
        let first = edit(&mut document, 1, |text| text.push_str("The quick brown fox"));
        let mut other = Document::new();
        other.merge(1, &first[0]).unwrap();
        edit(&mut document, 1, |text| text.mark(4..9, "bold", true));
        let mut bytes = edit(&mut other, 2, |text| {
            text.delete(2..6);
            text.insert(3, "ü");
            text.mark(1..3, "link", "x");
        }).remove(0);
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        let before = state(&document);
        match document.merge(peer, &bytes) {
            Ok(Fate::Merged) => {
                // It is as good as any other: the document goes on.
                edit(&mut document, 3, |text| text.push_str("!"));
            }
            Ok(Fate::Known | Fate::Waits) | Err(TextError::Delta(_)) => prop_assert_eq!(state(&document), before),
            Err(TextError::Damaged(_)) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

#[test]
fn an_edit_at_a_place_that_is_not_there_is_not_made_and_said() {
    let mut text = Text::from("aé");
    text.insert(2, "x");
    assert_eq!(text.error(), Some(&TextError::InsideCharacter { position: 2 }));
    let mut text = Text::from("abc");
    text.delete(1..9);
    assert_eq!(text.error(), Some(&TextError::BeyondEnd { position: 9, len: 3 }));
    assert_eq!(text, "abc");
    let mut text = Text::from("abc");
    #[expect(clippy::reversed_empty_ranges)]
    text.splice(2..1, "x");
    assert_eq!(text.error(), Some(&TextError::Reversed { start: 2, end: 1 }));
    text.mark(0..1, "", true);
    assert_eq!(text.error(), Some(&TextError::Reversed { start: 2, end: 1 }), "the first one stays");
}

#[test]
fn a_small_edit_of_a_long_text_is_a_small_edit() {
    let old: String = (0..2000).map(|n| format!("{n}. All work and no play makes Jack a dull boy. 👩‍👩‍👧\n")).collect();
    let new = old.replacen("dull", "bright", 1).replace("1000. All", "1000. Almost all") + "The end.";
    let came: usize = diff::hunks(&old, &new).iter().map(|(_, came)| came.len()).sum();
    assert!(came < 40, "{came} bytes came");
    assert!(diff::hunks(&old, &old).is_empty());
}

#[test]
fn an_emoji_of_several_parts_is_replaced_whole() {
    assert_eq!(diff::hunks("a👩‍👩‍👧b", "a👩‍👩‍👦b"), [(1..19, 1..19)]);
    assert_eq!(diff::hunks("xe\u{301}y", "xe\u{302}y"), [(1..4, 1..4)]);
    assert_eq!(diff::hunks("🇩🇪🇫🇷", "🇩🇪🇫🇮"), [(8..16, 8..16)]);
}

#[test]
fn the_bytes_of_a_delta_are_those_of_the_document() {
    let mut here = Document::new();
    let first = edit(&mut here, 1, |text| text.push_str("The é"));
    assert_eq!(first, [b"\0\0\0\0\x06The \xc3\xa9"]);
    let mut there = Document::new();
    there.merge(1, &first[0]).unwrap();
    let second = edit(&mut there, 0x0102_0304_0506_0708, |text| {
        text.delete(0..3);
        text.insert(0, "A");
        text.mark(0..1, "b", true);
    });
    let expected: &[u8] = &[
        2, 1, 0, 0, 0, 0, 0, 0, 0, // One other peer: 1.
        0, 2, 0, 4, // From step 0 on, made on one head: that peer's step 4.
        1, 6, 1, 0, // At 0, three characters go, which that peer inserted from step 0 on.
        0, 1, b'A', // At 0 comes "A".
        2, 1, 0x84, 1, b'b', 2, // From 0 on one character is marked, what is typed after it too: "b" is true.
    ];
    assert_eq!(second, [expected]);
    let third = edit(&mut here, 1, |text| text.push_str("!"));
    assert_eq!(third, [[0, 5, 1, 20, 1, b'!']]);
    assert_eq!(super::peer_of(&[7; 16]), 5_973_927_338_477_239_074);
}

#[test]
fn a_text_that_was_a_value_has_the_same_characters_on_every_device() {
    let generation = Generation { writer: 7, at: Timestamp::from_u64(9) };
    assert_eq!(Generation::from_bytes(&generation.to_bytes()), Ok(generation));
    assert_eq!(generation.peer(), 8_144_857_688_207_995_495);
    let begin = || {
        let mut document = Document::new();
        for delta in generation.beginning("one two").unwrap() {
            document.merge(generation.peer(), &delta).unwrap();
        }
        document
    };
    let (mut here, mut there) = (begin(), begin());
    let first = edit(&mut here, 1, |text| text.replace("one, two"));
    let second = edit(&mut there, 2, |text| text.push_str(" three"));
    for (document, peer, deltas) in [(&mut here, 2, &second), (&mut there, 1, &first)] {
        let named = generation.name(&deltas[0]).unwrap();
        assert_eq!(check_delta(&named), Ok(Some(generation)));
        assert_eq!(Delta::decode(&named).unwrap().encode(), named, "one encoding");
        document.merge(peer, &named).unwrap();
        assert_eq!(document.plain(), "one, two three");
    }
    assert_eq!(check_delta(&first[0]), Ok(None));
    assert!(generation.beginning("").unwrap().is_empty());
    let mut expected = vec![3, 7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]; // One other peer, of a generation.
    expected.extend(generation.peer().to_le_bytes());
    expected.extend([0, 2, 0, 6, 12, 1, b',']); // From step 0 on, on that peer's step 6: at 3 comes ",".
    assert_eq!(generation.name(&first[0]).unwrap(), expected);
    for wrong in [[0; 16], [255; 16]] {
        Generation::from_bytes(&wrong).unwrap_err();
    }
    let long = "é".repeat(700_000);
    let deltas = generation.beginning(&long).unwrap();
    assert!(deltas.len() > 1 && deltas.iter().all(|delta| generation.name(delta).unwrap().len() <= DELTA_BYTES_MAX));
}

#[test]
fn a_delta_that_lies_about_its_version_has_the_same_effect_whenever_it_comes() {
    let mut here = Document::new();
    let first = edit(&mut here, 1, |text| text.push_str("The quick brown fox")).remove(0);
    let mut there = Document::new();
    there.merge(1, &first).unwrap();
    let second = edit(&mut there, 2, |text| text.insert(0, "0123456789")).remove(0);
    let third = edit(&mut there, 2, |text| text.delete(2..15)).remove(0);
    let insert = |at| Operation::Insert { at, text: "x".into() };
    let delete = |at, len, first| Operation::Delete { at, len, first: (Some(1), first) };
    let mark = |at, len| Operation::Mark { at, len, info: 0x84, key: "m".into(), value: None };
    let lies = [
        insert(20),
        insert(25),
        insert(200),
        delete(18, 2, 18),
        delete(15, 9, 15),
        delete(0, 3, 7),
        delete(4, -9, 0),
        delete(5, 2, 1000),
        mark(18, 5),
        mark(30, 1),
    ];
    for lie in lies {
        let operations = vec![lie.clone(), insert(1)];
        let delta = Delta { heads: vec![(1, 18)], operations, ..Delta::default() };
        let lying = (3, delta.encode());
        let honest = [(1, first.clone()), (2, second.clone()), (2, third.clone())];
        let merged = |place: usize| {
            let mut deltas = honest.to_vec();
            deltas.insert(place, lying.clone());
            let mut document = Document::new();
            for (peer, delta) in deltas {
                if let Err(TextError::Damaged(_)) = document.merge(peer, &delta) {
                    panic!("{lie:?} in place {place} breaks the document");
                }
            }
            state(&document)
        };
        let last = merged(3);
        for place in 0..3 {
            assert_eq!(merged(place), last, "{lie:?} in place {place}");
        }
    }
}

#[test]
fn a_cursor_stays_with_its_character() {
    let mut here = Document::new();
    let first = edit(&mut here, 1, |text| text.push_str("one two three"));
    let text = stored(&here);
    let cursors = [0, 4, 8, 13].map(|at| text.cursor(at));
    for cursor in &cursors {
        assert_eq!(super::Cursor::from_bytes(&cursor.to_bytes()).unwrap(), *cursor);
        assert_eq!(cursor.to_string().parse::<super::Cursor>().unwrap(), *cursor);
    }
    let mut there = Document::new();
    there.merge(1, &first[0]).unwrap();
    for delta in edit(&mut there, 2, |text| {
        text.delete(4..8);
        text.insert(0, "zéro ");
    }) {
        here.merge(2, &delta).unwrap();
    }
    let text = stored(&here);
    assert_eq!(text, "zéro one three");
    assert_eq!(cursors.each_ref().map(|cursor| text.position(cursor)), [6, 10, 10, 15]);
    let mut text = text;
    text.insert(0, "> ");
    assert_eq!(text.position(&cursors[2]), 12, "also among edits that aren't stored yet");
    assert_eq!(stored(&here).position(&text.cursor(12)), 10);
}

#[test]
fn a_delta_that_was_made_on_another_waits_for_it_also_when_stored() {
    let mut there = Document::new();
    let deltas: Vec<_> =
        ["a", "b", "c"].iter().flat_map(|new| edit(&mut there, 7, |text| text.push_str(new))).collect();
    let mut here = Document::new();
    assert_eq!(here.merge(7, &deltas[2]), Ok(Fate::Waits));
    assert_eq!(here.merge(7, &deltas[1]), Ok(Fate::Waits));
    let saved = here.save().unwrap();
    assert_eq!(saved.deltas().len(), 2);
    let mut here = saved.load().unwrap();
    assert_eq!(here.merge(7, &deltas[0]), Ok(Fate::Merged));
    assert_eq!(here.plain(), "abc");
    assert_eq!(here.merge(7, &deltas[1]), Ok(Fate::Known));
}

#[test]
fn a_text_of_ten_megabytes_is_many_deltas() {
    let long = "é0123456789\n".repeat(10 * 1024 * 1024 / 13);
    let mut here = Document::new();
    let deltas = edit(&mut here, 1, |text| text.push_str(&long));
    assert!(deltas.len() > 30 && deltas.iter().all(|delta| delta.len() <= super::DELTA_BYTES_MAX));
    let mut there = Document::new();
    for delta in &deltas {
        assert_eq!(there.merge(1, delta), Ok(Fate::Merged));
    }
    assert_eq!(there.plain(), long);
}
