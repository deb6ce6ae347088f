//! The command that looks for damage, and has it repaired.

use std::path::Path;

use cfost::prelude::*;
use cfost::store::Repaired;

use crate::failure::Failure;
use crate::model::Todo;
use crate::term::{Look, Screen, counted};

/// Checks every change and every row.
pub(crate) fn check(db: &Db, screen: &mut Screen) -> Result<(), Failure> {
    let found = db.verify()?;
    if found.is_sound() {
        let (changes, rows) = (counted(found.changes as usize, "change"), counted(found.rows as usize, "row"));
        return screen.line(screen.paint(Look::Good, format!("Sound: {changes}, {rows}.")));
    }
    for difference in &found.differences {
        screen.line(difference)?;
    }
    Err(Failure::new(
        "the list is damaged",
        "'todo verify --repair' cuts that out; your other devices send it again when you next run 'todo run'",
    ))
}

/// Cuts out what is damaged, also of a database that doesn't open any more.
pub(crate) fn repair(path: &Path, screen: &mut Screen) -> Result<(), Failure> {
    if !path.exists() {
        return Err(Failure::plain(format!("there is no list at {}", path.display())));
    }
    let (_, Repaired { cut, .. }) = Db::options().repair(path, models![Todo])?;
    if cut.is_empty() {
        return screen.line(screen.paint(Look::Good, "No change is damaged. All todos were made anew from them."));
    }
    for cut in &cut {
        let changes = counted((cut.last_seq + 1 - cut.first_seq) as usize, "change");
        screen.line(format!("Cut out {changes} of device {}: {}.", cut.device, cut.reason))?;
    }
    let lost: u64 = cut.iter().map(|cut| cut.lost).sum();
    if lost > 0 {
        let lost = counted(lost as usize, "change");
        screen.line(format!("{lost} of this device had not left it yet and can't be read any more."))?;
    }
    match cut.iter().any(|cut| cut.awaited > 0) {
        true => screen.line("Your other devices send the rest again: 'todo run'."),
        false => Ok(()),
    }
}
