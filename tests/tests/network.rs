//! Two devices over a real network: loopback only, no mDNS, bounded in time.
#![cfg(feature = "net")]

use std::time::Duration;

use cfost::identity::IdentityError;
use cfost::net::NetError;
use cfost::prelude::*;
use cfost::{Error, SyncOptions};
use tokio::time::timeout;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    title: String,
    #[crdt(counter)]
    votes: i64,
}

const PATIENCE: Duration = Duration::from_secs(20);

async fn until(db: &Db, rows: u64) {
    let mut commits = db.commits().unwrap();
    let reached = async {
        while db.count::<Todo>().unwrap() < rows {
            commits.next().await;
        }
    };
    timeout(PATIENCE, reached).await.expect("the rows did not arrive in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_laptop_joins_by_code_and_digits_and_both_have_all_rows() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| Db::options().device_name(name).open(dir.path().join(name), models![Todo]).unwrap();
    let (phone, laptop) = (open("phone"), open("laptop"));
    phone.register_user("Ada", "ada@example.org", "correct horse").unwrap();
    phone.insert(Todo { title: "Buy groceries".into(), ..Todo::default() }).unwrap();
    // Written before the laptop belongs to anyone: it must not be lost.
    laptop.insert(Todo { title: "Finish report".into(), ..Todo::default() }).unwrap();

    let phone_node = phone.sync().loopback().start().await.unwrap();
    let offer = phone_node.invite().await.unwrap();
    let code = offer.invitation().to_text();
    let joining = timeout(PATIENCE, laptop.sync().loopback().join(&code)).await.unwrap().unwrap();
    assert_eq!(timeout(PATIENCE, offer.requested()).await.unwrap().unwrap(), "laptop");
    let digits = joining.digits().to_string();
    let (confirmed, finished) =
        timeout(PATIENCE, async { tokio::join!(offer.confirm(&digits), joining.finish()) }).await.unwrap();
    confirmed.unwrap();
    finished.unwrap();
    assert_eq!(laptop.user().unwrap(), phone.user().unwrap());

    // Where the phone is, the laptop knows from the invitation.
    let laptop_node = laptop.sync().loopback().start().await.unwrap();
    tokio::join!(until(&phone, 2), until(&laptop, 2));
    assert_eq!(phone.all::<Todo>().unwrap(), laptop.all::<Todo>().unwrap());

    // Both are live now: a write on one side shows on the other without being asked for.
    laptop.insert(Todo { title: "Call Grace".into(), ..Todo::default() }).unwrap();
    until(&phone, 3).await;
    laptop_node.stop().await.unwrap();
    phone_node.stop().await.unwrap();
    for db in [&phone, &laptop] {
        let verification = db.verify().unwrap();
        assert!(verification.is_sound(), "{:?}", verification.differences);
        let names: Vec<_> = db.devices().unwrap().into_iter().map(|device| device.name).collect();
        assert_eq!(names, ["phone", "laptop"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_laptop_joins_by_eight_digits_said_aloud_and_both_have_all_rows() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| Db::options().device_name(name).open(dir.path().join(name), models![Todo]).unwrap();
    let (phone, laptop) = (open("phone"), open("laptop"));
    phone.insert(Todo { title: "Buy groceries".into(), ..Todo::default() }).unwrap();
    laptop.insert(Todo { title: "Finish report".into(), ..Todo::default() }).unwrap();
    let phone_node = phone.sync().loopback().start().await.unwrap();
    let here = phone_node.listen_addresses();
    let offer = phone_node.invite_spoken().await.unwrap();
    let looking = || here.iter().cloned().fold(laptop.sync().loopback(), SyncOptions::peer);

    let slip = looking().join_spoken("1234").await.map(drop).unwrap_err();
    assert!(matches!(slip, Error::Identity(IdentityError::SpokenCodeForm)), "{slip}");
    let code = offer.code().to_string();
    let other = format!("{}{}", if code.starts_with('1') { '2' } else { '1' }, &code[1..]);
    let wrong = timeout(PATIENCE, looking().join_spoken(&other)).await.unwrap().map(drop).unwrap_err();
    assert!(matches!(&wrong, Error::Net(NetError::Identity(IdentityError::SpokenCodeRefused))), "{wrong}");

    let joining = timeout(PATIENCE, looking().join_spoken(&code)).await.unwrap().unwrap();
    assert_eq!(timeout(PATIENCE, offer.requested()).await.unwrap().unwrap(), "laptop");
    let digits = joining.digits().to_string();
    let (confirmed, finished) =
        timeout(PATIENCE, async { tokio::join!(offer.confirm(&digits), joining.finish()) }).await.unwrap();
    confirmed.unwrap();
    finished.unwrap();
    // Both tries are on the disk, the wrong one as well.
    let conn = rusqlite::Connection::open(dir.path().join("phone")).unwrap();
    let tries = "SELECT count(*) FROM cfost_meta WHERE key LIKE 'pairing %'";
    assert_eq!(conn.query_row(tries, [], |row| row.get::<_, i64>(0)).unwrap(), 2);

    // Where the phone is, the laptop knows: it was there.
    let laptop_node = laptop.sync().loopback().start().await.unwrap();
    tokio::join!(until(&phone, 2), until(&laptop, 2));
    assert_eq!(phone.all::<Todo>().unwrap(), laptop.all::<Todo>().unwrap());
    laptop_node.stop().await.unwrap();
    phone_node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_laptop_that_shows_its_code_is_let_in_by_the_phone_and_both_have_all_rows() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| Db::options().device_name(name).open(dir.path().join(name), models![Todo]).unwrap();
    let (phone, laptop) = (open("phone"), open("laptop"));
    phone.register_user("Ada", "ada@example.org", "correct horse").unwrap();
    phone.insert(Todo { title: "Buy groceries".into(), ..Todo::default() }).unwrap();
    laptop.insert(Todo { title: "Finish report".into(), ..Todo::default() }).unwrap();

    let phone_node = phone.sync().loopback().start().await.unwrap();
    let offer = laptop.sync().loopback().offer().await.unwrap();
    let code = offer.card().to_text();
    let misplaced = laptop.sync().loopback().join(&code).await.map(drop).unwrap_err();
    assert!(matches!(misplaced, Error::Identity(IdentityError::InvitationText { .. })), "{misplaced}");
    let met = timeout(PATIENCE, async { tokio::join!(offer.called(), phone_node.admit(&code)) }).await.unwrap();
    let (joining, mut admitting) = (met.0.unwrap(), met.1.unwrap());
    let digits = joining.digits().to_string();
    let (confirmed, finished) =
        timeout(PATIENCE, async { tokio::join!(admitting.confirm(&digits), joining.finish()) }).await.unwrap();
    confirmed.unwrap();
    finished.unwrap();
    assert_eq!(laptop.user().unwrap(), phone.user().unwrap());

    // Each knows where the other one is: the code had the one place, the call the other.
    let laptop_node = laptop.sync().loopback().start().await.unwrap();
    tokio::join!(until(&phone, 2), until(&laptop, 2));
    assert_eq!(phone.all::<Todo>().unwrap(), laptop.all::<Todo>().unwrap());
    laptop_node.stop().await.unwrap();

    // A database with a user of its own stays with that.
    let other = open("other");
    other.register_user("Grace", "grace@example.org", "correct horse").unwrap();
    let offer = other.sync().loopback().offer().await.unwrap();
    let code = offer.card().to_text();
    let met = timeout(PATIENCE, async { tokio::join!(offer.called(), phone_node.admit(&code)) }).await.unwrap();
    let stays = met.0.map(drop).unwrap_err();
    assert!(matches!(&stays, Error::Identity(IdentityError::Registered { name }) if name == "Grace"), "{stays}");
    assert!(met.1.is_err());
    phone_node.stop().await.unwrap();
}

#[cfg(feature = "backup")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_restored_from_one_backup_meet_by_a_spoken_code() {
    let dir = tempfile::tempdir().unwrap();
    let lost = Db::open(dir.path().join("lost"), models![Todo]).unwrap();
    let phrase = lost.register_user("Ada", "ada@example.org", "correct horse").unwrap().recovery_phrase;
    lost.insert(Todo { title: "Buy groceries".into(), ..Todo::default() }).unwrap();
    let mut file = Vec::new();
    lost.backup(&mut file, &cfost::backup::Recipient::Phrase).unwrap();
    drop(lost);
    let restore = |name: &str| {
        let options = Db::options().device_name(name);
        options.restore(&file[..], dir.path().join(name), models![Todo], &phrase).unwrap()
    };
    let (phone, laptop) = (restore("phone"), restore("laptop"));
    let phone_node = phone.sync().loopback().start().await.unwrap();
    let here = phone_node.listen_addresses();
    let looking = |db: &Db| here.iter().cloned().fold(db.sync().loopback(), SyncOptions::peer);
    let offer = phone_node.invite_spoken().await.unwrap();
    let code = offer.code().to_string();

    // Somebody else's device, whose user has a name, is no guest, and costs no try.
    let other = Db::open(dir.path().join("other"), models![Todo]).unwrap();
    other.register_user("Grace", "grace@example.org", "correct horse").unwrap();
    let stays = timeout(PATIENCE, looking(&other).join_spoken(&code)).await.unwrap().map(drop).unwrap_err();
    assert!(matches!(&stays, Error::Net(NetError::Identity(IdentityError::OtherUser))), "{stays}");

    let joining = timeout(PATIENCE, looking(&laptop).join_spoken(&code)).await.unwrap().unwrap();
    assert_eq!(timeout(PATIENCE, offer.requested()).await.unwrap().unwrap(), "laptop");
    let digits = joining.digits().to_string();
    let (confirmed, finished) =
        timeout(PATIENCE, async { tokio::join!(offer.confirm(&digits), joining.finish()) }).await.unwrap();
    confirmed.unwrap();
    finished.unwrap();
    laptop.insert(Todo { title: "Finish report".into(), ..Todo::default() }).unwrap();
    let laptop_node = laptop.sync().loopback().start().await.unwrap();
    tokio::join!(until(&phone, 2), until(&laptop, 2));
    laptop_node.stop().await.unwrap();
    phone_node.stop().await.unwrap();
}
