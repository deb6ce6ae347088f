//! What ops say of elements: in one encoding, and nothing else is read.

use std::borrow::Cow;

use cfost_runtime::oplog::limits::{ELEMENT_KEY_BYTES_MAX, ELEMENT_POSITION_BYTES_MAX, ELEMENTS_MAX};
use cfost_runtime::oplog::{ElementEdit, ElementsReader, EncodedElements, OplogError, ValueRef};
use proptest::prelude::*;

use crate::cases;
use crate::golden::{assert_bytes, bytes};

fn text(text: &str) -> ValueRef<'_> {
    ValueRef::Text(text.into())
}

fn payload(edits: &[ElementEdit<'_>]) -> Vec<u8> {
    let encoded = EncodedElements::new(edits).unwrap();
    encoded.payload(0..encoded.len())
}

fn read(payload: &[u8]) -> Result<Vec<ElementEdit<'_>>, OplogError> {
    let mut reader = ElementsReader::new(payload)?;
    let mut edits = Vec::new();
    while let Some((edit, _)) = reader.next_edit()? {
        edits.push(edit);
    }
    Ok(edits)
}

/// A set gains one element and loses another; a map gets a value; a list's element is put, and another moved.
const SET: &str = "
    02                          # 2 elements, by the bytes of their keys
    00  03 01 62                # removed: \"b\"
    01  03 05 64 61 69 72 79    # put: \"dairy\"
";
const MAP: &str = "
    01                          # 1 element
    05  01 02  02 00 00 00 00 00 00 f8 3f  # put with a value: integer 1, real 1.5
";
const LIST: &str = "
    02                          # 2 elements
    03  04 01 a0  02 81 87      # put with a position: id a0, 2 bytes
    07  04 01 a1  02 80 80  00  # put with a position and a value: id a1, 2 bytes, null
";

#[test]
fn the_bytes_of_elements() {
    let set = [ElementEdit::add(text("dairy")), ElementEdit::remove(text("b"))];
    let map = [ElementEdit { value: Some(ValueRef::Real(1.5)), ..ElementEdit::add(ValueRef::Integer(1)) }];
    let id = |id: &'static [u8]| ElementEdit::add(ValueRef::Blob(id.into()));
    let position = |position: &'static [u8]| Some(Cow::Borrowed(position));
    let list = [
        ElementEdit { position: position(&[0x80, 0x80]), value: Some(ValueRef::Null), ..id(&[0xa1]) },
        ElementEdit { position: position(&[0x81, 0x87]), ..id(&[0xa0]) },
    ];
    for (edits, expected) in [(&set[..], SET), (&map, MAP), (&list, LIST)] {
        assert_bytes(&payload(edits), expected);
        let mut sorted = edits.to_vec();
        sorted.sort_by_key(|edit| payload(std::slice::from_ref(edit))[2..].to_vec());
        assert_eq!(read(&bytes(expected)).unwrap(), sorted);
    }
}

#[test]
fn elements_that_no_build_writes_are_refused() {
    for (malformed, reason) in [
        ("00", "no element"),
        ("01 01 03 01 61 00", "after the end"),
        ("02 01 03 01 61", "too early"),
        ("02 01 03 01 62 01 03 01 61", "out of order"),
        ("02 01 03 01 61 00 03 01 61", "out of order"),
        ("01 09 03 01 61", "unknown flags"),
        ("01 02 03 01 61 01 80", "removed"),
        ("01 04 03 01 61 00", "removed"),
        ("01 01 00", "without a key"),
        ("01 01 05 01 00", "composite"),
        ("01 05 01 02 05 01 00", "composite"),
        ("82 00 01 03 01 61 01 03 01 62", "more bytes"),
        ("ff ff 03 01 03", "more things than the bytes hold"),
    ] {
        let error = read(&bytes(malformed)).expect_err(malformed);
        let said = error.to_string();
        assert!(said.contains(reason), "{malformed}: {said}");
    }
}

#[test]
fn elements_over_a_limit_are_refused_by_the_writer_and_by_the_reader() {
    let long = "k".repeat(ELEMENT_KEY_BYTES_MAX);
    let at_limit = &long[..ELEMENT_KEY_BYTES_MAX - 4];
    read(&payload(&[ElementEdit::add(text(at_limit))])).unwrap();
    let edits = [ElementEdit::add(text(&long[..at_limit.len() + 1]))];
    assert!(matches!(EncodedElements::new(&edits), Err(OplogError::TooLarge { .. })));
    let mut written = payload(&[ElementEdit::add(text(at_limit))]);
    written[3] += 1;
    written.push(b'k');
    assert!(matches!(read(&written), Err(OplogError::TooLarge { .. })), "{:?}", &written[..6]);

    let position = vec![0x80; ELEMENT_POSITION_BYTES_MAX + 1];
    let edit = ElementEdit { position: Some(position.into()), ..ElementEdit::add(text("a")) };
    assert!(matches!(EncodedElements::new(&[edit]), Err(OplogError::TooLarge { .. })));

    let many: Vec<_> = (0..ELEMENTS_MAX as i64 + 1).map(|n| ElementEdit::add(ValueRef::Integer(n))).collect();
    let encoded = EncodedElements::new(&many).unwrap();
    assert!(matches!(read(&encoded.payload(0..many.len())), Err(OplogError::TooLarge { .. })));
    assert_eq!(encoded.chunk(0, usize::MAX), 0..ELEMENTS_MAX);
}

#[test]
fn edits_that_no_op_can_carry_are_refused_by_the_writer() {
    let twice = [ElementEdit::add(text("a")), ElementEdit::remove(text("a"))];
    let valued = [ElementEdit { value: Some(ValueRef::Null), ..ElementEdit::remove(text("a")) }];
    let unkeyed = [ElementEdit::add(ValueRef::Null)];
    let nan = [ElementEdit { value: Some(ValueRef::Real(f64::NAN)), ..ElementEdit::add(text("a")) }];
    for edits in [&twice[..], &valued, &unkeyed, &nan] {
        assert!(matches!(EncodedElements::new(edits), Err(OplogError::Value { .. })), "{edits:?}");
    }
}

fn value() -> impl Strategy<Value = ValueRef<'static>> {
    prop_oneof![
        any::<i64>().prop_map(ValueRef::Integer),
        ".{0,12}".prop_map(|text| ValueRef::Text(text.into())),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| ValueRef::Blob(bytes.into())),
    ]
}

fn edit() -> impl Strategy<Value = ElementEdit<'static>> {
    let position = prop::collection::vec(any::<u8>(), 0..12).prop_map(Cow::Owned);
    (value(), any::<bool>(), prop::option::of(position), prop::option::of(value())).prop_map(
        |(key, put, position, value)| {
            if put { ElementEdit { key, put, position, value } } else { ElementEdit::remove(key) }
        },
    )
}

proptest! {
    #![proptest_config(cases(200))]

    /// Edits come back sorted, the same bytes whatever their order was, in chunks that fit.
    #[test]
    fn elements_are_their_edits(
        edits in prop::collection::vec(edit(), 1..40), bytes_max in 1..200_usize,
    ) {
        let mut edits = edits;
        let key = |edit: &ElementEdit<'_>| payload(&[ElementEdit::add(edit.key.clone())])[2..].to_vec();
        edits.sort_by_key(key);
        edits.dedup_by_key(|edit| key(edit));
        let sorted = payload(&edits);
        prop_assert_eq!(read(&sorted).unwrap(), edits.clone());
        let mut reversed = edits.clone();
        reversed.reverse();
        prop_assert_eq!(&payload(&reversed), &sorted);

        let encoded = EncodedElements::new(&edits).unwrap();
        let (mut start, mut read_back) = (0, Vec::new());
        while start < encoded.len() {
            let range = encoded.chunk(start, bytes_max);
            prop_assert!(range.len() == 1 || encoded.payload_bytes(range.clone()) <= bytes_max);
            let payload = encoded.payload(range.clone());
            prop_assert_eq!(payload.len(), encoded.payload_bytes(range.clone()));
            read_back.extend(read(&payload).unwrap().into_iter().map(|edit| (key(&edit), edit.put)));
            start = range.end;
        }
        prop_assert_eq!(read_back, edits.iter().map(|edit| (key(edit), edit.put)).collect::<Vec<_>>());
    }

    /// Bytes are read only if they are what is written for what was read.
    #[test]
    fn elements_have_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(edits) = read(&bytes) {
            prop_assert_eq!(payload(&edits), bytes);
        }
    }
}
