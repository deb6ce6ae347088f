//! What the two users' hands do, and what is told of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::remote::Remote;
use crate::failure::Failure;
use crate::term::{Look, Screen, counted};

/// Leaves room for a device and a time in 80 columns.
const TOLD_COLUMNS: usize = 56;

/// Runs the demo. The databases are in `keep`, or in a folder that is removed at the end.
///
/// # Errors
/// When a device fails, or when the two databases differ at the end.
pub(crate) async fn run(screen: Screen, keep: Option<PathBuf>) -> Result<(), Failure> {
    let folder = Folder::new(keep)?;
    let result = tokio::select! {
        result = tell(screen, &folder.path) => result,
        _ = tokio::signal::ctrl_c() => Err(Failure::plain("interrupted")),
    };
    let removed = folder.close();
    result.and(removed)
}

async fn tell(screen: Screen, folder: &Path) -> Result<(), Failure> {
    let started = Instant::now();
    let paths = [folder.join("phone.db"), folder.join("laptop.db")];
    let phone = Remote::start("phone", &paths[0])?;
    let laptop = Remote::start("laptop", &paths[1])?;
    let mut story = Story { screen, chapters: 0, phone, laptop };
    story.introduce(&paths)?;
    story.register().await?;
    let groceries = story.add_offline().await?;
    story.pair().await?;
    story.add_on_the_laptop().await?;
    story.sync("Both come online").await?;
    story.change_apart(&groceries).await?;
    story.sync("Online again").await?;
    story.compare(&groceries, started).await
}

struct Story {
    screen: Screen,
    chapters: usize,
    phone: Remote,
    laptop: Remote,
}

impl Story {
    fn introduce(&mut self, paths: &[PathBuf; 2]) -> Result<(), Failure> {
        let title = self.screen.paint(Look::Bold, "Two devices, one todo list");
        self.screen.line(title)?;
        self.screen.line("")?;
        for (device, path) in [&self.phone, &self.laptop].into_iter().zip(paths) {
            let name = self.screen.paint(Look::Accent, format!("{:<6}", device.name));
            let line = format!("  {name}  process {}, database {}", device.pid(), path.display());
            self.screen.line(line)?;
        }
        Ok(())
    }

    async fn register(&mut self) -> Result<(), Failure> {
        self.chapter("Ada registers on her phone")?;
        let args = ["Ada", "ada@example.org", "correct horse battery staple"];
        let ([user], took) = self.phone.ask("register", &args).await?;
        self.told("phone", &format!("is user {}, a key made from 24 words", short(&user)), took)
    }

    async fn add_offline(&mut self) -> Result<String, Failure> {
        self.chapter("Offline, she adds a todo")?;
        let ([id], took) = self.phone.ask("add", &["Buy groceries"]).await?;
        self.told("phone", "adds \"Buy groceries\"", took)?;
        Ok(id)
    }

    async fn pair(&mut self) -> Result<(), Failure> {
        self.chapter("Her laptop joins")?;
        let ([code], took) = self.phone.ask("invite", &[]).await?;
        self.told("phone", &format!("shows a QR code, here as text of {} characters", code.len()), took)?;
        let ([digits], took) = self.laptop.ask("join", &[&code]).await?;
        self.told("laptop", &format!("dials, proves that it saw the code, shows {digits}"), took)?;
        // The phone waits until the laptop has stored what it was given.
        let typed = [digits.as_str()];
        let (confirmed, joined) = tokio::join!(self.phone.ask("confirm", &typed), self.laptop.ask("joined", &[]));
        let (([name], took), ([user], joining_took)) = (confirmed?, joined?);
        self.told("phone", &format!("{digits} is typed in: the {name} gets the keys"), took)?;
        self.told("laptop", &format!("is a device of user {} now", short(&user)), joining_took)
    }

    async fn add_on_the_laptop(&mut self) -> Result<(), Failure> {
        self.chapter("Offline, she adds another todo on the laptop")?;
        let ([_], took) = self.laptop.ask("add", &["Finish report"]).await?;
        self.told("laptop", "adds \"Finish report\"", took)
    }

    /// On one todo, both devices change something, and neither sees the other.
    async fn change_apart(&mut self, id: &str) -> Result<(), Failure> {
        self.chapter("Offline again, both change the same todo")?;
        let ([], took) = self.phone.ask("complete", &[id]).await?;
        self.told("phone", "completes \"Buy groceries\"", took)?;
        let ([], took) = self.phone.ask("vote", &[id]).await?;
        self.told("phone", "votes for it", took)?;
        let ([], took) = self.laptop.ask("rename", &[id, "Buy oat milk and bread"]).await?;
        self.told("laptop", "renames it \"Buy oat milk and bread\"", took)?;
        let ([], took) = self.laptop.ask("vote", &[id]).await?;
        self.told("laptop", "votes for it", took)?;
        self.lists().await
    }

    async fn sync(&mut self, title: &str) -> Result<(), Failure> {
        self.chapter(title)?;
        let ([address], took) = self.phone.ask("listen", &[]).await?;
        let at = address.split("/p2p/").next().unwrap_or(&address);
        self.told("phone", &format!("listens on {at}"), took)?;
        let ([_], took) = self.laptop.ask("dial", &[&address]).await?;
        self.told("laptop", "dials it; both will prove who they are", took)?;
        let (laptop, _) = self.laptop.ask("caught-up", &[]).await?;
        let (phone, _) = self.phone.ask("caught-up", &[]).await?;
        for (who, [changes, ops, bytes, micros]) in [("laptop", laptop), ("phone", phone)] {
            let took = Duration::from_micros(micros.parse().unwrap_or(0));
            let count = |text: &str, noun| counted(text.parse().unwrap_or(0), noun);
            let received = format!("{} in {}, {}", count(&ops, "op"), count(&changes, "change"), count(&bytes, "byte"));
            self.told(who, &format!("received {received}; both are level"), took)?;
        }
        let ([], _) = self.laptop.ask("offline", &[]).await?;
        let ([], _) = self.phone.ask("offline", &[]).await?;
        self.lists().await
    }

    /// Shows both lists, once if they are equal.
    async fn lists(&mut self) -> Result<(), Failure> {
        let (phone, _) = self.phone.ask_any("list", &[]).await?;
        let (laptop, _) = self.laptop.ask_any("list", &[]).await?;
        let same = [("both show", phone.clone())];
        let apart = [("phone shows", phone), ("laptop shows", laptop)];
        let shown: &[_] = if apart[0].1 == apart[1].1 { &same } else { &apart };
        for (who, lines) in shown {
            let who = self.screen.paint(Look::Dim, who);
            self.screen.line(format!("     {who}"))?;
            for line in lines {
                self.screen.line(format!("       {line}"))?;
            }
        }
        Ok(())
    }

    async fn compare(mut self, id: &str, started: Instant) -> Result<(), Failure> {
        self.chapter("Are the two databases the same?")?;
        let (phone, _) = self.phone.ask_any("rows", &[]).await?;
        let (laptop, _) = self.laptop.ask_any("rows", &[]).await?;
        for device in [&mut self.phone, &mut self.laptop] {
            let ([ops, bytes], took) = device.ask("verify", &[]).await?;
            let name = device.name;
            let told = format!("{ops} ops rebuild the same rows; the file has {bytes} bytes");
            told_by(&mut self.screen, name, &told, took)?;
        }
        if phone != laptop {
            return Err(Failure::plain(format!(
                "the databases differ:\n  phone\n    {}\n  laptop\n    {}",
                phone.join("\n    "),
                laptop.join("\n    ")
            )));
        }
        let merged = format!("{id} completed=1 votes=2 title=Buy oat milk and bread");
        if !phone.contains(&merged) {
            return Err(Failure::plain(format!("expected the row\n    {merged}\namong\n    {}", phone.join("\n    "))));
        }
        self.phone.quit().await?;
        self.laptop.quit().await?;
        let verdict = self.screen.paint(Look::Good, "The two databases are equal");
        let rows = counted(phone.len(), "todo");
        self.screen.line("")?;
        self.screen.line(format!("{verdict}: {rows}, the same in every column, {} in all.", figure(started.elapsed())))
    }

    fn chapter(&mut self, title: &str) -> Result<(), Failure> {
        self.chapters += 1;
        let title = self.screen.paint(Look::Bold, title);
        self.screen.line("")?;
        self.screen.line(format!("{:>2}. {title}", self.chapters))
    }

    fn told(&mut self, who: &str, what: &str, took: Duration) -> Result<(), Failure> {
        told_by(&mut self.screen, who, what, took)
    }
}

fn told_by(screen: &mut Screen, who: &str, what: &str, took: Duration) -> Result<(), Failure> {
    let who = screen.paint(Look::Accent, format!("{who:<6}"));
    let took = screen.paint(Look::Dim, format!("{:>9}", figure(took)));
    screen.line(format!("     {who}  {what:<TOLD_COLUMNS$}  {took}"))
}

/// The beginning of an id.
fn short(id: &str) -> &str {
    id.split('-').next().unwrap_or(id)
}

fn figure(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1000.0;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

/// The folder of the two databases.
struct Folder {
    path: PathBuf,
    remove: bool,
}

impl Folder {
    fn new(keep: Option<PathBuf>) -> Result<Self, Failure> {
        let remove = keep.is_none();
        let unique = format!("todo-demo-{}", std::process::id());
        let path = keep.unwrap_or_else(|| std::env::temp_dir().join(unique));
        std::fs::create_dir_all(&path)?;
        if std::fs::read_dir(&path)?.next().is_some() {
            return Err(Failure::new(
                format!("{} is not empty", path.display()),
                "name an empty folder, or one that doesn't exist yet",
            ));
        }
        Ok(Self { path, remove })
    }

    fn close(mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.remove) {
            std::fs::remove_dir_all(&self.path)?;
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A demo that panics leaves nothing behind either; nothing is to be done if that fails.
        if self.remove {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
