//! One device of the demo, seen from the story: a process, and a line of text each way per request.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::failure::Failure;

/// How long a device may take to answer, on the slowest of machines.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// A device of the demo: its process ends with this value.
#[derive(Debug)]
pub(super) struct Remote {
    /// What the story calls it.
    pub(super) name: &'static str,
    child: Child,
    requests: ChildStdin,
    replies: Lines<BufReader<ChildStdout>>,
}

impl Remote {
    /// Starts this program again, as a device with its database at `db`.
    pub(super) fn start(name: &'static str, db: &Path) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--db")
            .arg(db)
            .args(["demo-device", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(requests), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::plain(format!("the {name} has no pipes")));
        };
        Ok(Self { name, child, requests, replies: BufReader::new(stdout).lines() })
    }

    /// The process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Sends a request and waits for its answer, which has `N` fields, and the time it took the device.
    ///
    /// # Errors
    /// What the device says went wrong, or that it is gone.
    pub(super) async fn ask<const N: usize>(
        &mut self,
        request: &str,
        args: &[&str],
    ) -> Result<([String; N], Duration), Failure> {
        let (fields, took) = self.ask_any(request, args).await?;
        let said = format!("the {} answered {request} with {} fields instead of {N}", self.name, fields.len());
        Ok((fields.try_into().map_err(|_| Failure::plain(said))?, took))
    }

    /// As [`ask`](Self::ask), for an answer of any number of fields.
    pub(super) async fn ask_any(&mut self, request: &str, args: &[&str]) -> Result<(Vec<String>, Duration), Failure> {
        let line = encode(std::iter::once(request).chain(args.iter().copied()));
        self.requests.write_all(line.as_bytes()).await?;
        self.requests.flush().await?;
        let failed = |why: String| Failure::plain(format!("the {} failed to {request}: {why}", self.name));
        let reply = tokio::time::timeout(ANSWER_TIMEOUT, self.replies.next_line()).await;
        let reply = reply.map_err(|_| failed(format!("no answer in {} s", ANSWER_TIMEOUT.as_secs())))??;
        let mut fields = decode(&reply.ok_or_else(|| failed("its process ended".to_owned()))?).into_iter();
        match (fields.next().as_deref(), fields.next()) {
            (Some("ok"), Some(micros)) => Ok((fields.collect(), Duration::from_micros(micros.parse().unwrap_or(0)))),
            (_, why) => Err(failed(why.unwrap_or_default())),
        }
    }

    /// Lets the process end by itself.
    pub(super) async fn quit(mut self) -> Result<(), Failure> {
        let name = self.name;
        drop(self.requests);
        let ended = tokio::time::timeout(ANSWER_TIMEOUT, self.child.wait()).await;
        match ended {
            Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(()),
            Ok(status) => Err(Failure::plain(format!("the {name} ended badly: {}", status?))),
            Err(_) => Err(Failure::plain(format!("the {name} did not end"))),
        }
    }
}

/// A line of fields: separated by tabs, with tabs, newlines and backslashes escaped.
pub(super) fn encode<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let escape = |field: &str| field.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n");
    let fields: Vec<String> = fields.into_iter().map(escape).collect();
    fields.join("\t") + "\n"
}

/// The fields of a line.
pub(super) fn decode(line: &str) -> Vec<String> {
    let unescape = |field: &str| {
        let mut text = String::with_capacity(field.len());
        let mut chars = field.chars();
        while let Some(c) = chars.next() {
            text.push(match c {
                '\\' => match chars.next() {
                    Some('t') => '\t',
                    Some('n') => '\n',
                    Some(other) => other,
                    None => '\\',
                },
                c => c,
            });
        }
        text
    };
    line.split('\t').map(unescape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_survive_the_pipe() {
        let fields = ["add", "", "a\tb\\n\nc", "\\"];
        let line = encode(fields);
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(decode(line.trim_end_matches('\n')), fields);
    }
}
