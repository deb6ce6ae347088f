//! The commands about who the user is, and the password of this device.

use cfost::prelude::*;

use crate::cli::{Account, Login};
use crate::failure::Failure;
use crate::term::{Look, Screen, ask, ask_password};

const PHRASE_COLUMNS: usize = 4;

/// Makes the user, and shows the words that are the user.
pub(crate) fn register(db: &Db, account: &Account, screen: &mut Screen) -> Result<(), Failure> {
    let name = given_or_asked(account.name.as_ref(), "Name", "--name")?;
    let email = given_or_asked(account.login.email.as_ref(), "Email", "--email")?;
    let password = new_password(account.login.password_stdin)?;
    let registration = db.register_user(&name, &email, &password)?;

    let done = screen.paint(Look::Good, "Registered");
    screen.line(format!("{done} {name} <{email}>, user {}", registration.user_id))?;
    screen.line("")?;
    screen.line(screen.paint(Look::Bold, "Write down these 24 words, and keep them where nobody else looks:"))?;
    screen.line("")?;
    let words = registration.recovery_phrase.words();
    let words: Vec<&str> = words.split(' ').collect();
    let rows = words.len().div_ceil(PHRASE_COLUMNS);
    for row in 0..rows {
        // Down the columns, as one reads a list.
        let numbers = (row..words.len()).step_by(rows);
        let cells =
            numbers.map(|at| format!("{} {:<10}", screen.paint(Look::Dim, format!("{:>4}", at + 1)), words[at]));
        let line = cells.collect::<String>();
        screen.line(line.trim_end())?;
    }
    screen.line("")?;
    screen.line("They bring your identity back if you lose all your devices. They are not shown again.")?;
    if !account.login.password_stdin {
        ask("Press Enter once you have written them down", "--password-stdin")?;
    }
    Ok(db.forget_recovery_phrase()?)
}

/// Sets the password of this device.
pub(crate) fn password(db: &Db, from_stdin: bool, screen: &mut Screen) -> Result<(), Failure> {
    let password = new_password(from_stdin)?;
    db.set_password(&password)?;
    screen.line(screen.paint(Look::Good, "'todo logout' and 'todo login' use this password now, on this device."))
}

fn new_password(from_stdin: bool) -> Result<String, Failure> {
    let password = ask_password("New password", from_stdin)?;
    if !from_stdin && ask_password("The same again", false)? != password {
        return Err(Failure::new("the two passwords differ", "nothing was changed; try again"));
    }
    Ok(password)
}

/// Unlocks the device.
pub(crate) fn login(db: &Db, login: &Login, screen: &mut Screen) -> Result<(), Failure> {
    let email = given_or_asked(login.email.as_ref(), "Email", "--email")?;
    let password = ask_password("Password", login.password_stdin)?;
    db.login(&email, &password)?;
    screen.line(screen.paint(Look::Good, "This device is unlocked."))
}

/// Locks the device.
pub(crate) fn logout(db: &Db, screen: &mut Screen) -> Result<(), Failure> {
    db.logout()?;
    screen.line(screen.paint(Look::Good, "This device is locked. 'todo login' unlocks it."))
}

fn given_or_asked(given: Option<&String>, question: &str, flag: &str) -> Result<String, Failure> {
    match given {
        Some(given) => Ok(given.clone()),
        None => ask(question, flag),
    }
}
