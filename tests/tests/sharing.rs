//! Users who share a list over a real network: loopback only, no mDNS, bounded in time.
#![cfg(feature = "net")]

use std::path::Path;
use std::time::Duration;

use cfost::identity::IdentityError;
use cfost::net::NetError;
use cfost::prelude::*;
use cfost::{Error, Role, Space};
use tokio::time::timeout;

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "lists", version = 1, space)]
struct TodoList {
    #[synced(id)]
    id: Uuid,
    name: String,
}

#[derive(Synced, Debug, Clone, Default, PartialEq)]
#[synced(table = "todos", version = 1, space = list_id)]
struct Todo {
    #[synced(id)]
    id: Uuid,
    list_id: Option<Uuid>,
    title: String,
    completed: bool,
}

const PATIENCE: Duration = Duration::from_secs(30);

fn open(dir: &Path, name: &str) -> Db {
    let db = Db::options().device_name(name).open(dir.join(name), models![TodoList, Todo]).unwrap();
    let email = format!("{name}@example.org");
    db.register_user(name, &email, "correct horse").unwrap();
    db
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let reached = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

fn titles(db: &Db) -> Vec<String> {
    let mut titles: Vec<_> = db.all::<Todo>().unwrap().into_iter().map(|todo| todo.title).collect();
    titles.sort();
    titles
}

fn add(db: &Db, list: Option<Uuid>, title: &str) -> cfost::Result<Todo> {
    db.insert(Todo { list_id: list, title: title.into(), ..Todo::default() })
}

fn members(space: &Space) -> Vec<(String, Role)> {
    space.members().unwrap().into_iter().map(|member| (member.name.unwrap_or_default(), member.role)).collect()
}

/// `owner` invites the user of `guest` to its list, by code and digits.
async fn share(owner: &cfost::Node, list: Uuid, role: Role, guest: &Db) -> Space {
    let offer = owner.invite_to(list, role).await.unwrap();
    let code = offer.invitation().to_text();
    let misplaced = guest.sync().loopback().join(&code).await.map(drop).unwrap_err();
    assert!(matches!(misplaced, Error::Identity(IdentityError::InvitationText { .. })), "{misplaced}");
    let accepting = timeout(PATIENCE, guest.sync().loopback().accept(&code)).await.unwrap().unwrap();
    let asking = timeout(PATIENCE, offer.requested()).await.unwrap().unwrap();
    assert_eq!((Some(asking.user), asking.name), (Some(guest.user().unwrap().id), guest.user().unwrap().name));
    let digits = accepting.digits().to_string();
    let wrong = if digits == "000 001" { "000 002" } else { "000 001" };
    let mistyped = offer.confirm(wrong).await;
    assert!(matches!(mistyped, Err(NetError::Identity(IdentityError::WrongDigits { tries_left: 2 }))), "{mistyped:?}");
    let met = timeout(PATIENCE, async { tokio::join!(offer.confirm(&digits), accepting.finish()) }).await.unwrap();
    assert_eq!(met.0.unwrap(), asking.user);
    met.1.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_users_share_a_list_by_code_and_digits_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (ada, grace) = (open(dir.path(), "Ada"), open(dir.path(), "Grace"));
    let groceries = ada.insert(TodoList { name: "Groceries".into(), ..TodoList::default() }).unwrap();
    add(&ada, Some(groceries.id), "milk").unwrap();
    add(&ada, None, "Ada's diary").unwrap();
    add(&grace, None, "Grace's diary").unwrap();
    assert_eq!(members(&ada.space(groceries.id).unwrap()), [("Ada".to_owned(), Role::Owner)]);
    assert!(grace.space(groceries.id).is_err(), "she has not heard of it");

    let node = ada.sync().loopback().start().await.unwrap();
    let space = share(&node, groceries.id, Role::Writer, &grace).await;
    assert_eq!((space.id(), space.role().unwrap()), (groceries.id, Some(Role::Writer)));
    let both = [("Ada".to_owned(), Role::Owner), ("Grace".to_owned(), Role::Writer)];
    assert_eq!((members(&space), members(&ada.space(groceries.id).unwrap())), (both.to_vec(), both.to_vec()));
    let not_hers = grace.sync().loopback().start().await.unwrap();
    until("the list is on Grace's device", || titles(&grace) == ["Grace's diary", "milk"]).await;
    assert_eq!(grace.all::<TodoList>().unwrap(), std::slice::from_ref(&groceries));
    let refused = not_hers.invite_to(groceries.id, Role::Writer).await.map(drop).unwrap_err();
    assert!(matches!(refused, Error::Identity(IdentityError::NotOwner { .. })), "{refused}");
    let refused = node.invite_to(groceries.id, Role::Owner).await.map(drop).unwrap_err();
    assert!(matches!(&refused, Error::Net(NetError::Identity(IdentityError::OwnerInvited))), "{refused}");

    // Both write, and each sees what the other one wrote; the diaries stay where they are.
    add(&grace, Some(groceries.id), "bread").unwrap();
    until("bread is on Ada's device", || titles(&ada) == ["Ada's diary", "bread", "milk"]).await;
    not_hers.stop().await.unwrap();
    node.stop().await.unwrap();
    for db in [&ada, &grace] {
        let verification = db.verify().unwrap();
        assert!(verification.is_sound(), "{:?}", verification.differences);
    }
    assert_eq!(ada.devices().unwrap().len(), 1, "nobody's device became somebody else's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_change_roles_leave_and_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (ada, grace, alan) = (open(dir.path(), "Ada"), open(dir.path(), "Grace"), open(dir.path(), "Alan"));
    let list = ada.insert(TodoList { name: "Plans".into(), ..TodoList::default() }).unwrap().id;
    add(&ada, Some(list), "one").unwrap();
    let node = ada.sync().loopback().start().await.unwrap();
    share(&node, list, Role::Reader, &grace).await;
    share(&node, list, Role::Writer, &alan).await;
    let (hers, his) = (grace.sync().loopback().start().await.unwrap(), alan.sync().loopback().start().await.unwrap());
    until("all have it", || [&grace, &alan].iter().all(|db| titles(db) == ["one"])).await;

    // A reader reads.
    let refused = add(&grace, Some(list), "hers").unwrap_err();
    assert!(refused.to_string().contains("reader"), "{refused}");
    let (grace_id, alan_id) = (grace.user().unwrap().id, alan.user().unwrap().id);
    let space = ada.space(list).unwrap();
    space.set_role(grace_id, Role::Writer).unwrap();
    let in_hers = grace.space(list).unwrap();
    until("Grace may write", || in_hers.role().unwrap() == Some(Role::Writer)).await;
    until("her device has the key", || add(&grace, Some(list), "two").is_ok()).await;
    until("all have two", || [&ada, &alan].iter().all(|db| titles(db) == ["one", "two"])).await;

    // Who is not the owner changes nobody; the owner does not leave.
    let refused = in_hers.remove(alan_id).unwrap_err();
    assert!(matches!(refused, Error::Identity(IdentityError::NotOwner { .. })), "{refused}");
    let refused = space.leave().unwrap_err();
    assert!(matches!(refused, Error::Identity(IdentityError::IsOwner { .. })), "{refused}");

    // Alan is removed: what he wrote stays with the others, and he is told no more.
    add(&alan, Some(list), "his").unwrap();
    until("all have his", || [&ada, &grace].iter().all(|db| titles(db) == ["his", "one", "two"])).await;
    space.remove(alan_id).unwrap();
    let in_his = alan.space(list).unwrap();
    until("Alan knows", || in_his.role().unwrap().is_none()).await;
    assert!(titles(&alan).is_empty(), "what he is not in is not shown: {:?}", titles(&alan));
    until("Grace may write again", || add(&grace, Some(list), "three").is_ok()).await;
    until("Ada has it", || titles(&ada) == ["his", "one", "three", "two"]).await;
    assert!(alan.spaces().unwrap().is_empty());

    // Grace takes over, and Ada leaves.
    space.hand_over(grace_id).unwrap();
    until("Grace owns it", || in_hers.role().unwrap() == Some(Role::Owner)).await;
    assert_eq!(space.role().unwrap(), Some(Role::Writer));
    space.leave().unwrap();
    assert_eq!(space.role().unwrap(), None);
    assert!(ada.all::<TodoList>().unwrap().is_empty());
    until("Grace is alone", || members(&in_hers) == [("Grace".to_owned(), Role::Owner)]).await;
    assert_eq!(titles(&grace), ["his", "one", "three", "two"]);
    for node in [node, hers, his] {
        node.stop().await.unwrap();
    }
}
