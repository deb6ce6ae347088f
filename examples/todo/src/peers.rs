//! The commands that talk to other devices.

use std::path::Path;

use cfost::SyncOptions;
use cfost::identity::IdentityError;
use cfost::identity::pairing::SpokenCode;
use cfost::net::{NetError, NodeEvent, Transport};
use cfost::prelude::*;
use cfost::sync::{Outdated, Tally};
use tokio::sync::broadcast::error::RecvError;

use crate::cli::Network;
use crate::failure::Failure;
use crate::term::{Look, Screen, ask, counted, printable, with_progress};

/// Shows an invitation, waits for a device to follow it, and lets it in by its digits.
pub(crate) async fn pair(db: &Db, network: &Network, svg: Option<&Path>, screen: &mut Screen) -> Result<(), Failure> {
    let node = options(db, network).start().await?;
    let offer = node.invite().await?;
    let invitation = offer.invitation();
    if let Some(path) = svg {
        std::fs::write(path, invitation.qr_svg())
            .map_err(|error| Failure::plain(format!("can't write {}: {error}", path.display())))?;
    }
    screen.line(invitation.qr_terminal())?;
    screen.line("Scan this on the other device, or type there, within five minutes:")?;
    screen.line("")?;
    screen.line(format!("  todo join {}", screen.paint(Look::Bold, invitation.to_text())))?;
    screen.line("")?;

    let name = with_progress("Waiting for the other device", offer.requested()).await?;
    let_in(&name, async |digits| offer.confirm(&digits).await.map(drop), screen).await?;
    Ok(node.stop().await?)
}

/// Shows a code of eight digits, waits for a device where it was typed in, and lets it in by its own digits.
pub(crate) async fn pair_spoken(db: &Db, network: &Network, screen: &mut Screen) -> Result<(), Failure> {
    let node = options(db, network).start().await?;
    let mut events = node.events();
    let offer = node.invite_spoken().await?;
    screen.line("Type this on the other device, within five minutes:")?;
    screen.line("")?;
    screen.line(format!("  todo join {}", screen.paint(Look::Bold, offer.code())))?;
    screen.line("")?;
    if network.no_lan || network.loopback {
        screen.line("It has to be told where this one is, by one of these:")?;
        for address in node.listen_addresses() {
            screen.line(format!("  --peer {address}"))?;
        }
    }
    let requested = offer.requested();
    tokio::pin!(requested);
    let name = loop {
        // Progress ends at each event, so that its line is gone when another is written.
        let guessed = with_progress("Waiting for the other device", async {
            loop {
                tokio::select! {
                    name = &mut requested => break Err(name),
                    Ok(event) = events.recv() => if let NodeEvent::PairingGuessed { tries_left } = event {
                        break Ok(tries_left);
                    },
                }
            }
        });
        match guessed.await {
            Ok(tries_left) => {
                let tries_left = counted(tries_left as usize, "try");
                screen.line(format!("A device came with another code; {tries_left} left."))?;
            }
            Err(name) => break name?,
        }
    };
    let_in(&name, async |digits| offer.confirm(&digits).await.map(drop), screen).await?;
    Ok(node.stop().await?)
}

/// Asks for the digits that the device shows until it is in, or out.
async fn let_in(
    name: &str,
    confirm: impl AsyncFn(String) -> Result<(), NetError>,
    screen: &mut Screen,
) -> Result<(), Failure> {
    screen.line(format!("'{}' asks to become a device of yours.", printable(name)))?;
    loop {
        let asked = tokio::task::spawn_blocking(|| ask("The six digits that it shows", "a terminal")).await;
        let digits = asked.map_err(|error| Failure::plain(error.to_string()))??;
        match confirm(digits).await {
            Ok(()) => break,
            Err(error) if may_try_again(&error) => screen.line(error)?,
            Err(error) => return Err(error.into()),
        }
    }
    let done = screen.paint(Look::Good, "Paired");
    screen.line(format!("{done} with '{}'. 'todo run' on both keeps them in sync.", printable(name)))
}

/// Follows an invitation, or a code of eight digits: this device becomes one of the user's.
pub(crate) async fn join(
    db: &Db,
    code: &str,
    name: Option<&str>,
    network: &Network,
    screen: &mut Screen,
) -> Result<(), Failure> {
    if let (Some(name), Some(this)) = (name, db.devices()?.into_iter().find(|device| device.is_this)) {
        db.rename_device(this.id, name)?;
    }
    let (options, spoken) = (options(db, network), SpokenCode::parse(code).is_ok());
    let joining = async { if spoken { options.join_spoken(code).await } else { options.join(code).await } };
    let joining = with_progress("Looking for the other device", joining).await?;
    let digits = screen.paint(Look::Bold, joining.digits());
    screen.line(format!("Type these digits on the other device:  {digits}"))?;
    with_progress("Waiting for them to be typed", joining.finish()).await?;
    let user = db.user()?;
    let name = user.name.unwrap_or_else(|| user.id.to_string());
    screen.line(format!("{} This is a device of {} now.", screen.paint(Look::Good, "Paired."), printable(&name)))?;
    screen.line("'todo run' on both keeps them in sync; 'todo password' sets a password for this one.")
}

/// Syncs until Ctrl-C, and tells what happens.
pub(crate) async fn run(db: &Db, network: &Network, screen: &mut Screen) -> Result<(), Failure> {
    let node = options(db, network).start().await?;
    let mut events = node.events();
    for address in node.listen_addresses() {
        screen.line(screen.paint(Look::Dim, format!("listening on {address}")))?;
    }
    if db.devices()?.len() == 1 {
        screen.line("This is your only device. 'todo pair' lets another one join.")?;
    }
    screen.line("Ctrl-C ends it.")?;
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        tokio::select! {
            done = &mut interrupted => break done?,
            event = events.recv() => match event {
                Ok(event) => tell(db, &event, screen)?,
                // Too many to read; the next ones come in again.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Err(Failure::plain("the network has stopped")),
            },
        }
    }
    screen.line("")?;
    Ok(node.stop().await?)
}

/// Says what an event means to the user, if it means anything.
fn tell(db: &Db, event: &NodeEvent, screen: &mut Screen) -> Result<(), Failure> {
    let name = |id| -> Result<String, Failure> {
        let device = db.devices()?.into_iter().find(|device| device.id == id);
        Ok(printable(&device.map_or_else(|| id.to_string(), |device| device.name)))
    };
    let (who, what) = match event {
        NodeEvent::PeerConnected { device, transport, .. } => {
            let over = if *transport == Transport::Quic { "QUIC" } else { "TCP" };
            (name(*device)?, format!("connected over {over}"))
        }
        NodeEvent::PeerDisconnected { device, .. } => (name(*device)?, "away".to_owned()),
        NodeEvent::CaughtUp { device, received, sent, elapsed } => {
            let moved: Vec<String> = [("received", *received), ("sent", *sent)]
                .into_iter()
                .filter_map(|(verb, it)| amount(verb, it))
                .collect();
            let ms = elapsed.as_secs_f64() * 1000.0;
            match moved.as_slice() {
                [] => (name(*device)?, "has the same".to_owned()),
                moved => (name(*device)?, format!("{}, in {ms:.1} ms", moved.join(", "))),
            }
        }
        NodeEvent::UpdateNeeded { device, outdated: Outdated::ThisDevice, theirs } => {
            (name(*device)?, format!("runs a newer todo ({theirs}): update this one to sync with it"))
        }
        NodeEvent::UpdateNeeded { device, theirs, .. } => {
            (name(*device)?, format!("runs a todo too old to sync with ({theirs}): update it there"))
        }
        NodeEvent::PeerRefused { peer, reason } => (peer.to_string(), format!("turned away: {reason}")),
        NodeEvent::LogWaits { .. } => (
            "this todo".to_owned(),
            "is too old to show some changes; it keeps them, and shows them once it is updated".into(),
        ),
        NodeEvent::CopiedDevice { pairs_again: true, .. } => (
            "this list".to_owned(),
            "is a copy of another that is in use: run 'todo pair' on another device and 'todo join' on this one".into(),
        ),
        NodeEvent::LogSkipped { why, .. } => ("this device".to_owned(), format!("can't apply some changes: {why:?}")),
        _ => return Ok(()),
    };
    let who = screen.paint(Look::Accent, who);
    screen.line(format!("{who}  {what}"))
}

/// What went one way, if anything did.
fn amount(verb: &str, tally: Tally) -> Option<String> {
    let changes = usize::try_from(tally.changes).unwrap_or(usize::MAX);
    (changes > 0).then(|| format!("{verb} {} ({} bytes)", counted(changes, "change"), tally.bytes))
}

/// Whether the digits may be typed once more.
fn may_try_again(error: &NetError) -> bool {
    matches!(error, NetError::Identity(IdentityError::WrongDigits { .. } | IdentityError::DigitsForm))
}

/// How to reach the other devices.
fn options(db: &Db, network: &Network) -> SyncOptions {
    let options = db.sync().app_version(env!("CARGO_PKG_VERSION"));
    let mut options = if network.loopback { options.loopback() } else { options };
    if !network.no_lan && !network.loopback {
        options = options.lan();
    }
    if !network.listen.is_empty() {
        options = options.listen(network.listen.iter().cloned());
    }
    network.peer.iter().cloned().fold(options, SyncOptions::peer)
}
