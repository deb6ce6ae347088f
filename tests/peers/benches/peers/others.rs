//! The same edits, one call each, in the other libraries; what each writes is then loaded.

use std::time::Instant;

use cfost_peers::{Edit, Trace};

use crate::{LOADS, median};

/// What does all edits, and says how many seconds that took, and how many milliseconds loading.
type Other = fn(&Trace) -> (f64, f64);

/// Those that are many times slower than Loro.
pub(crate) const SLOW: &[(&str, Other)] = &[("automerge", automerge), ("yrs", yrs)];

fn loads(trace: &Trace, load: impl Fn() -> String) -> f64 {
    let mut figures = Vec::new();
    while figures.len() < LOADS && figures.iter().sum::<f64>() < 2e3 {
        let start = Instant::now();
        let text = load();
        figures.push(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(text, trace.text);
    }
    median(figures)
}

pub(crate) fn loro(trace: &Trace) -> (f64, f64) {
    let start = Instant::now();
    let doc = loro::LoroDoc::new();
    let text = doc.get_text("text");
    for edit in &trace.edits {
        match edit {
            Edit::Insert(at, letter) => text.insert(*at, letter.encode_utf8(&mut [0; 4])).unwrap(),
            Edit::Delete(at) => text.delete(*at, 1).unwrap(),
        }
    }
    doc.commit();
    let saved = doc.export(loro::ExportMode::Snapshot).unwrap();
    let edit_s = start.elapsed().as_secs_f64();
    let load = || {
        let doc = loro::LoroDoc::new();
        doc.import(&saved).unwrap();
        doc.get_text("text").to_string()
    };
    (edit_s, loads(trace, load))
}

fn yrs(trace: &Trace) -> (f64, f64) {
    use yrs::updates::decoder::Decode;
    use yrs::{Doc, GetString, ReadTxn, StateVector, Text, Transact, Update};

    let start = Instant::now();
    let doc = Doc::new();
    let text = doc.get_or_insert_text("text");
    for edit in &trace.edits {
        // Its blocks are joined when a transaction ends, and it looks for a place block by block: one
        // transaction for all takes it many minutes.
        let mut tx = doc.transact_mut();
        match edit {
            Edit::Insert(at, letter) => text.insert(&mut tx, *at as u32, letter.encode_utf8(&mut [0; 4])),
            Edit::Delete(at) => text.remove_range(&mut tx, *at as u32, 1),
        }
    }
    let saved = doc.transact().encode_state_as_update_v1(&StateVector::default());
    let edit_s = start.elapsed().as_secs_f64();
    let load = || {
        let doc = Doc::new();
        let text = doc.get_or_insert_text("text");
        doc.transact_mut().apply_update(Update::decode_v1(&saved).unwrap()).unwrap();
        text.get_string(&doc.transact())
    };
    (edit_s, loads(trace, load))
}

fn automerge(trace: &Trace) -> (f64, f64) {
    use automerge::transaction::Transactable;
    use automerge::{Automerge, ObjType, ROOT, ReadDoc};

    let start = Instant::now();
    let mut doc = Automerge::new();
    let mut tx = doc.transaction();
    let text = tx.put_object(ROOT, "text", ObjType::Text).unwrap();
    for edit in &trace.edits {
        match edit {
            Edit::Insert(at, letter) => tx.splice_text(&text, *at, 0, letter.encode_utf8(&mut [0; 4])).unwrap(),
            Edit::Delete(at) => tx.splice_text(&text, *at, 1, "").unwrap(),
        }
    }
    tx.commit();
    let saved = doc.save();
    let edit_s = start.elapsed().as_secs_f64();
    (edit_s, loads(trace, || Automerge::load(&saved).unwrap().text(&text).unwrap()))
}
