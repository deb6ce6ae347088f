//! One device of the demo: a process that does what it is told on stdin, and answers on stdout.

use std::time::{Duration, Instant};

use cfost::net::{Multiaddr, NodeEvent, PairingOffer};
use cfost::prelude::*;
use cfost::{Joining, Node};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::remote::{decode, encode};
use crate::failure::Failure;
use crate::model::Todo;
use crate::todos;

const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers requests until stdin ends.
///
/// # Errors
/// When the pipes fail. What a request fails with is its answer.
pub(crate) async fn serve(db: &Db) -> Result<(), Failure> {
    let mut requests = BufReader::new(tokio::io::stdin()).lines();
    let mut replies = tokio::io::stdout();
    let mut device = Device { db: db.clone(), online: None, offer: None, joining: None };
    while let Some(line) = requests.next_line().await? {
        let fields = decode(&line);
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let started = Instant::now();
        let reply = match device.answer(&fields).await {
            Ok(answer) => {
                let micros = started.elapsed().as_micros().to_string();
                encode(["ok", &micros].into_iter().chain(answer.iter().map(String::as_str)))
            }
            Err(failure) => encode(["error", &failure.to_string()]),
        };
        replies.write_all(reply.as_bytes()).await?;
        replies.flush().await?;
    }
    device.go_offline().await
}

struct Device {
    db: Db,
    online: Option<Online>,
    offer: Option<PairingOffer>,
    joining: Option<Joining>,
}

struct Online {
    node: Node,
    events: Receiver<NodeEvent>,
    started: Instant,
}

impl Device {
    async fn answer(&mut self, request: &[&str]) -> Result<Vec<String>, Failure> {
        match request {
            ["register", name, email, password] => {
                let registration = self.db.register_user(name, email, password)?;
                Ok(vec![registration.user_id.to_string()])
            }
            ["add", title] => {
                let todo = Todo { title: (*title).to_owned(), ..Todo::default() };
                Ok(vec![self.db.write(|tx| tx.insert(todo))?.id.to_string()])
            }
            ["complete", id] => self.edit(id, |todo| todo.completed = true),
            ["rename", id, title] => self.edit(id, |todo| todo.title = (*title).to_owned()),
            ["vote", id] => self.edit(id, |todo| todo.votes += 1),
            ["invite"] => self.invite().await,
            ["confirm", digits] => self.confirm(digits).await,
            ["join", code] => self.join(code).await,
            ["joined"] => self.joined().await,
            ["listen"] => self.go_online(None).await,
            ["dial", address] => self.go_online(Some(address)).await,
            ["caught-up"] => self.caught_up().await,
            ["offline"] => self.go_offline().await.map(|()| Vec::new()),
            ["list"] => todos::lines(&self.db),
            ["rows"] => self.rows(),
            ["verify"] => self.verify(),
            _ => Err(Failure::plain(format!("no such request: {request:?}"))),
        }
    }

    fn edit(&self, id: &str, edit: impl FnOnce(&mut Todo)) -> Result<Vec<String>, Failure> {
        let id = Uuid::parse_str(id).map_err(|error| Failure::plain(error.to_string()))?;
        self.db.write(|tx| tx.update(id, edit))?;
        Ok(Vec::new())
    }

    /// Goes online, and invites.
    async fn invite(&mut self) -> Result<Vec<String>, Failure> {
        self.go_online(None).await?;
        let offer = self.node()?.invite().await?;
        let code = offer.invitation().to_text();
        self.offer = Some(offer);
        Ok(vec![code])
    }

    /// Its user has typed the new device's digits.
    async fn confirm(&mut self, digits: &str) -> Result<Vec<String>, Failure> {
        let offer = self.offer.take().ok_or_else(|| Failure::plain("nobody is invited"))?;
        let name = offer.requested().await?;
        offer.confirm(digits).await?;
        self.go_offline().await?;
        Ok(vec![name])
    }

    /// Follows an invitation up to the digits.
    async fn join(&mut self, code: &str) -> Result<Vec<String>, Failure> {
        let joining = self.db.sync().loopback().join(code).await?;
        let digits = joining.digits().to_string();
        self.joining = Some(joining);
        Ok(vec![digits])
    }

    /// Waits until the digits were typed on the other device.
    async fn joined(&mut self) -> Result<Vec<String>, Failure> {
        let joining = self.joining.take().ok_or_else(|| Failure::plain("it follows no invitation"))?;
        joining.finish().await?;
        Ok(vec![self.db.user()?.id.to_string()])
    }

    /// Listens on this machine, and dials `peer` if there is one. Answers where it listens.
    async fn go_online(&mut self, peer: Option<&str>) -> Result<Vec<String>, Failure> {
        let mut options = self.db.sync().loopback();
        if let Some(peer) = peer {
            options = options.peer(peer.parse::<Multiaddr>().map_err(|error| Failure::plain(error.to_string()))?);
        }
        let started = Instant::now();
        let node = options.start().await?;
        let address = node.listen_addresses().into_iter().next().ok_or_else(|| Failure::plain("it listens nowhere"))?;
        self.online = Some(Online { events: node.events(), node, started });
        Ok(vec![address.to_string()])
    }

    fn node(&self) -> Result<&Node, Failure> {
        Ok(&self.online.as_ref().ok_or_else(|| Failure::plain("it is offline"))?.node)
    }

    /// Waits until this device and the other one hold the same. Answers what came in: changes, ops and
    /// bytes; and how long it took since this device went online, in microseconds.
    async fn caught_up(&mut self) -> Result<Vec<String>, Failure> {
        let online = self.online.as_mut().ok_or_else(|| Failure::plain("it is offline"))?;
        let caught_up = async {
            loop {
                if let NodeEvent::CaughtUp { received, .. } = online.events.recv().await? {
                    return Ok::<_, RecvError>(received);
                }
            }
        };
        let received = timeout(CATCH_UP_TIMEOUT, caught_up).await;
        let received = received.map_err(|_| Failure::plain("the other device was not reached"))?;
        let received = received.map_err(|error| Failure::plain(error.to_string()))?;
        let micros = online.started.elapsed().as_micros();
        Ok(vec![received.changes.to_string(), received.ops.to_string(), received.bytes.to_string(), micros.to_string()])
    }

    async fn go_offline(&mut self) -> Result<(), Failure> {
        match self.online.take() {
            Some(online) => Ok(online.node.stop().await?),
            None => Ok(()),
        }
    }

    /// All rows as they are in the table, one a field, by SQL: not what this program made of them.
    fn rows(&self) -> Result<Vec<String>, Failure> {
        let sql = "SELECT id, completed, votes, title FROM todos ORDER BY id";
        let rows = self.db.sql(sql).rows::<(Uuid, i64, i64, String)>()?;
        let row = |(id, completed, votes, title)| format!("{id} completed={completed} votes={votes} title={title}");
        Ok(rows.into_iter().map(row).collect())
    }

    /// Rebuilds all rows from the oplog and compares. Answers how many ops that took, and the size of the
    /// database in bytes.
    fn verify(&self) -> Result<Vec<String>, Failure> {
        let found = self.db.verify()?;
        if !found.is_sound() {
            return Err(Failure::plain(format!("the database is damaged: {:?}", found.differences)));
        }
        let sql = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        let bytes = self.db.sql(sql).first::<(i64,)>()?.map_or(0, |(bytes,)| bytes);
        Ok(vec![found.ops.to_string(), bytes.to_string()])
    }
}
