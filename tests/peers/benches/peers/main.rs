//! The cost of texts beside the libraries for them: Loro alone, yrs and Automerge, in the same process, with
//! the same edits, turn by turn.
//!
//! Prints one line per measure, tab-separated, as `tests/benches/speed.rs` does: `bench`, the name, what the
//! name says, and the ratio to Loro alone. CFOST and Loro take turns, and the figures are medians; the others
//! have one round, since they take many seconds each. From this folder: `cargo bench`, or with the others that
//! are to be run, `cargo bench -- automerge`; `-- none` for neither.
//!
//! The edits are made up, with the habits of someone who writes a paper: mostly on from the last character,
//! typing words, taking some back, now and then going elsewhere. The same seed gives the same edits.

mod others;

use std::time::Instant;

use cfost::prelude::*;
use cfost_peers::{Edit, Trace};
use tempfile::TempDir;

/// A note, as an app has it.
#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "notes", version = 1)]
struct Note {
    #[synced(id)]
    id: Uuid,
    #[crdt(text)]
    body: Text,
}

const EDITS: usize = 260_000;
const ROUNDS: usize = 3;
const LOADS: usize = 50;

fn main() {
    let seed = std::env::var("CFOST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let trace = Trace::new(seed, EDITS);
    println!("trace\tseed {seed}\t{} edits\t{} bytes at the end", trace.edits.len(), trace.text.len());

    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let (mut ours, mut loro) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(measure(&trace));
        loro.push(others::loro(&trace));
    }
    let (ours, loro) = (medians(&ours), medians(&loro));
    report("", ours, loro);
    report(" (loro)", loro, loro);
    for (name, other) in others::SLOW {
        if chosen.is_empty() || chosen.iter().any(|chosen| chosen == name) {
            report(&format!(" ({name})"), other(&trace), loro);
        }
    }
}

fn report(of: &str, (edit_s, load_ms): (f64, f64), loro: (f64, f64)) {
    println!("bench\ttext-260k-s{of}\t{edit_s:.3}\t{:.2}", edit_s / loro.0);
    println!("bench\ttext-load-ms{of}\t{load_ms:.3}\t{:.2}", load_ms / loro.1);
}

/// Seconds for all edits in one session, the commit included, and milliseconds to read the note again.
fn measure(trace: &Trace) -> (f64, f64) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("notes.db");
    let db = Db::open(&path, models![Note]).unwrap();
    let note = db.write(|tx| tx.insert(Note::default())).unwrap();
    let start = Instant::now();
    db.write(|tx| {
        tx.update(note.id, |note: &mut Note| {
            for edit in &trace.edits {
                match edit {
                    Edit::Insert(at, text) => note.body.insert(*at, text.encode_utf8(&mut [0; 4])),
                    Edit::Delete(at) => note.body.delete(*at..*at + 1),
                }
            }
        })
    })
    .unwrap();
    let edit_s = start.elapsed().as_secs_f64();
    drop(db);
    let db = Db::open(&path, models![Note]).unwrap();
    let mut loads = Vec::new();
    for _ in 0..LOADS {
        let start = Instant::now();
        let read = db.get::<Note>(note.id).unwrap().unwrap();
        assert_eq!(read.body.len(), trace.text.len());
        loads.push(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(read.body, trace.text.as_str());
    }
    (edit_s, median(loads))
}

fn medians(figures: &[(f64, f64)]) -> (f64, f64) {
    (median(figures.iter().map(|(a, _)| *a).collect()), median(figures.iter().map(|(_, b)| *b).collect()))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
