//! Output for a terminal: colours where there is one, aligned columns, questions, progress.

use std::fmt::Display;
use std::future::Future;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::failure::Failure;

const COLUMNS_MIN: usize = 40;
const SPINNER: &[&str] = &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const SPINNER_STEP: Duration = Duration::from_millis(100);

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Look {
    /// As it is.
    #[default]
    Plain,
    /// What matters.
    Bold,
    /// What matters less.
    Dim,
    /// What is over.
    Struck,
    /// What went well.
    Good,
    /// Names of devices and ids.
    Accent,
}

impl Look {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Struck => "\x1b[2;9m",
            Self::Good => "\x1b[32m",
            Self::Accent => "\x1b[36m",
        }
    }
}

/// Where output goes.
#[derive(Debug)]
pub(crate) struct Screen {
    out: io::Stdout,
    colours: bool,
    /// The width of the terminal, if it is one.
    columns: Option<usize>,
}

impl Screen {
    /// Standard output.
    pub(crate) fn new() -> Self {
        let out = io::stdout();
        let terminal = out.is_terminal();
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
        let columns = terminal_size::terminal_size().filter(|_| terminal).map(|(width, _)| usize::from(width.0));
        Self { out, colours, columns }
    }

    /// `text` as it looks here.
    pub(crate) fn paint(&self, look: Look, text: impl Display) -> String {
        if self.colours && look != Look::Plain { format!("{}{text}\x1b[0m", look.code()) } else { text.to_string() }
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        writeln!(self.out, "{text}")?;
        Ok(())
    }

    /// Writes the rows of `table` with its columns aligned; the last one is cut to fit the terminal.
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), Failure> {
        let widths = table.widths();
        let before_last: usize = widths.iter().rev().skip(1).map(|width| width + 2).sum();
        let room = self.columns.map(|columns| columns.max(COLUMNS_MIN).saturating_sub(before_last));
        let header = table.columns.iter().map(|column| (Look::Dim, column.title.to_owned())).collect();
        for cells in std::iter::once(&header).chain(&table.rows) {
            let mut line = String::new();
            for (index, ((look, text), column)) in cells.iter().zip(&table.columns).enumerate() {
                let last = index + 1 == widths.len();
                let text = if last { room.map_or_else(|| text.clone(), |room| cut(text, room)) } else { text.clone() };
                let gap = " ".repeat(widths[index].saturating_sub(text.width()));
                let painted = self.paint(*look, text);
                line += &match (column.right, last) {
                    (true, _) => format!("{gap}{painted}"),
                    (false, true) => painted,
                    (false, false) => format!("{painted}{gap}"),
                };
                line += if last { "" } else { "  " };
            }
            self.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// Rows whose columns align.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<TableColumn>,
    rows: Vec<Vec<(Look, String)>>,
}

#[derive(Debug)]
struct TableColumn {
    title: &'static str,
    right: bool,
}

impl Table {
    /// A table with these column titles; one that starts with `>` is aligned to the right.
    pub(crate) fn new(titles: &[&'static str]) -> Self {
        let columns = titles.iter().map(|title| match title.strip_prefix('>') {
            Some(title) => TableColumn { title, right: true },
            None => TableColumn { title, right: false },
        });
        Self { columns: columns.collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = (Look, String)>) {
        self.rows.push(cells.into_iter().map(|(look, text)| (look, printable(&text))).collect());
    }

    fn widths(&self) -> Vec<usize> {
        let titles = self.columns.iter().map(|column| column.title.width());
        let widest = |(index, title): (usize, usize)| {
            self.rows.iter().map(|row| row[index].1.width()).max().unwrap_or(0).max(title)
        };
        titles.enumerate().map(widest).collect()
    }
}

/// `text` without control characters: a title from another device can't take over the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// `text`, cut to `columns` of the terminal.
fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut used = 1;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= columns
    };
    text.chars().take_while(fits).chain(std::iter::once('…')).collect()
}

/// A count with its noun.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if count == 1 => format!("1 {noun}"),
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {noun}s"),
    }
}

/// How long ago a Unix time in milliseconds was, in words.
pub(crate) fn ago(then_ms: u64, now_ms: u64) -> String {
    match now_ms.saturating_sub(then_ms) / 1000 {
        0..10 => "now".to_owned(),
        seconds @ 10..120 => format!("{seconds} s ago"),
        seconds @ 120..7_200 => format!("{} min ago", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

/// A Unix time in milliseconds as a date and a time of day, in UTC.
pub(crate) fn utc(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, and eras
    // of 400 years all have as many days.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Asks for a line. `flag` is the argument that says the same without a terminal.
pub(crate) fn ask(question: &str, flag: &str) -> Result<String, Failure> {
    let mut err = io::stderr();
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            format!("no terminal to ask for the {}", question.to_lowercase()),
            format!("say it with {flag}"),
        ));
    }
    write!(err, "{question}: ")?;
    err.flush()?;
    let mut answer = String::new();
    if io::stdin().lock().read_line(&mut answer)? == 0 {
        writeln!(err)?;
        return Err(Failure::plain(format!("no {} given", question.to_lowercase())));
    }
    Ok(answer.trim().to_owned())
}

/// Asks for a password without showing it, or reads it from the first line of stdin.
pub(crate) fn ask_password(question: &str, from_stdin: bool) -> Result<String, Failure> {
    if from_stdin {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new("no terminal to ask for the password", "pipe it in with --password-stdin"));
    }
    Ok(rpassword::prompt_password(format!("{question}: "))?)
}

/// Waits for `work` and shows meanwhile, on a terminal, what it waits for and since when.
pub(crate) async fn with_progress<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut err = io::stderr();
    if !err.is_terminal() {
        return work.await;
    }
    let started = Instant::now();
    let mut frames = SPINNER.iter().cycle();
    let mut ticks = tokio::time::interval(SPINNER_STEP);
    tokio::pin!(work);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            _ = ticks.tick() => {
                let frame = frames.next().unwrap_or(&"");
                let seconds = started.elapsed().as_secs();
                // Progress that can't be shown is no reason to stop working.
                let _ = write!(err, "\r\x1b[2K{frame} {what} ({seconds} s)");
                let _ = err.flush();
            }
        }
    };
    let _ = write!(err, "\r\x1b[2K");
    let _ = err.flush();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_are_cut_by_the_columns_they_take() {
        assert_eq!(cut("groceries", 9), "groceries");
        assert_eq!(cut("groceries", 6), "groce…");
        assert_eq!(cut("買い物に行く", 6), "買い…");
    }

    #[test]
    fn a_title_cannot_send_escape_codes() {
        assert_eq!(printable("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        for (unix_s, said) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_709_251_199, "2024-02-29 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(unix_s * 1000), said);
        }
    }

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        let now = 1_000_000_000_000;
        for (seconds, said) in
            [(0, "now"), (59, "59 s ago"), (600, "10 min ago"), (7_200, "2 h ago"), (864_000, "10 days ago")]
        {
            assert_eq!(ago(now - seconds * 1000, now), said);
        }
        assert_eq!(ago(now + 5_000, now), "now", "a clock that runs behind");
    }
}
