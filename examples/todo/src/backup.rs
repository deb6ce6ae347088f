//! The commands that write a backup, and that make a device from one.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter};
use std::path::{Path, PathBuf};

use cfost::backup::Recipient;
use cfost::identity::RecoveryPhrase;
use cfost::prelude::*;

use crate::failure::Failure;
use crate::model::Todo;
use crate::term::{Look, Screen, ask_password};

/// Writes a backup, in the place of an older one once it is whole.
pub(crate) fn backup(db: &Db, file: &Path, screen: &mut Screen) -> Result<(), Failure> {
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".part");
    let unfinished = PathBuf::from(unfinished);
    let written = BufWriter::new(File::create(&unfinished).map_err(|error| cannot("write", file, &error))?);
    let summary = db.backup(written, &Recipient::Phrase).inspect_err(|_| _ = fs::remove_file(&unfinished))?;
    File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, file)?;
    let done = screen.paint(Look::Good, "Backed up");
    let file = file.display();
    screen.line(format!("{done} {} changes, {} bytes, to {file}", summary.changes, summary.bytes))?;
    screen.line("Your 24 words open it: 'todo restore' makes a device of yours from it, on any machine.")
}

/// Makes the database at `path` from a backup.
pub(crate) fn restore(path: &Path, file: &Path, from_stdin: bool, screen: &mut Screen) -> Result<(), Failure> {
    let backup = BufReader::new(File::open(file).map_err(|error| cannot("read", file, &error))?);
    let phrase = RecoveryPhrase::parse(&ask_password("Your 24 words", from_stdin)?).map_err(cfost::Error::from)?;
    let db = Db::options().restore(backup, path, models![Todo], &phrase)?;
    let done = screen.paint(Look::Good, "Restored");
    let name = db.user()?.name.unwrap_or_else(|| "your list".to_owned());
    screen.line(format!("{done} {name}: {} todos, on a new device of yours", db.count::<Todo>()?))?;
    screen.line("Set a password for this device with 'todo password'; 'todo run' syncs with those that you still have.")
}

fn cannot(what: &str, file: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("can't {what} {}: {error}", file.display()), "check the name and the folder")
}
