//! A new device that shows the code itself, and those who have photographed it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::fleet::{MemoryReplica, fleet, node, start, until};
use crate::identity::pairing::{Card, PairingId};
use crate::identity::{DeviceKeys, IdentityError};
use crate::net::{Admitter, Admitting, CardOffer, NetError, Newcomer, Node, NodeConfig, offer};
use crate::oplog::UserId;
use crate::sync::{Replica as _, ReplicaError};

/// The database of a new device: which pairings it has used up, and whose it can't become.
#[derive(Default)]
struct Empty {
    used: Mutex<BTreeSet<PairingId>>,
    refuses: Option<UserId>,
}

impl Newcomer for Empty {
    fn consume(&self, user: UserId, pairing: PairingId) -> Result<(), ReplicaError> {
        let is_new = self.used.lock().unwrap().insert(pairing);
        match is_new && self.refuses != Some(user) {
            true => Ok(()),
            false => Err(ReplicaError::new(IdentityError::Registered { name: "Ada".into() })),
        }
    }
}

/// The configuration of both sides, with a clock that goes like that of the simulated phone.
fn config(replica: &MemoryReplica) -> NodeConfig {
    NodeConfig { host: replica.host.clone(), ..NodeConfig::loopback() }
}

async fn show(replica: &MemoryReplica, keys: &DeviceKeys, empty: &Arc<Empty>) -> CardOffer {
    offer(config(replica), keys, "laptop", empty.clone()).await.unwrap()
}

async fn read(node: &Node, replica: &Arc<MemoryReplica>, card: &Card) -> Result<Admitting, NetError> {
    // What the camera or the clipboard carries over.
    let card = Card::from_text(&card.to_text()).unwrap();
    node.admit(card, &replica.keys, replica.clone() as Arc<dyn Admitter>).await
}

fn refused<T>(outcome: Result<T, NetError>) -> bool {
    matches!(outcome, Err(NetError::Identity(IdentityError::PairingRefused)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_device_shows_its_card_is_let_in_by_its_digits_and_then_syncs() {
    let devices = fleet(60, 1);
    devices[0].write(40, 100);
    let phone = start(&devices[0], config(&devices[0])).await;
    let keys = DeviceKeys::generate(&devices[0].host);
    let empty = Arc::default();
    let offer = show(&devices[0], &keys, &empty).await;
    let card = offer.card().clone();
    let (joining, admitting) = tokio::join!(offer.called(), read(&phone, &devices[0], &card));
    let (mut joining, mut admitting) = (joining.unwrap(), admitting.unwrap());
    assert_eq!(empty.used.lock().unwrap().len(), 1, "it was recorded before the digits were shown");

    let digits = joining.digits().to_string();
    let wrong = if digits.ends_with('1') { "000 002" } else { "000 001" };
    let side_of_laptop = async {
        let joined = joining.admitted().await.unwrap();
        let addresses = joining.inviter_addresses();
        joining.stored().await.unwrap();
        (joined, addresses)
    };
    let side_of_phone = async {
        let mistyped = admitting.confirm(wrong).await;
        assert!(matches!(mistyped, Err(NetError::Identity(IdentityError::WrongDigits { tries_left: 2 }))));
        assert!(matches!(admitting.confirm("12").await, Err(NetError::Identity(IdentityError::DigitsForm))));
        admitting.confirm(&digits).await
    };
    let (device, (joined, addresses)) = tokio::join!(side_of_phone, side_of_laptop);
    assert_eq!(device.unwrap(), keys.id());
    assert_eq!(addresses, phone.listen_addresses(), "it knows where to find the phone from now on");
    assert!(!admitting.addresses().is_empty());

    let laptop = MemoryReplica::joined(keys, &devices[0].host, *joined);
    laptop.write(2, 100);
    let there = node(&laptop, addresses).await;
    until("both hold all", || devices[0].held() == 42 && laptop.held() == 42).await;
    there.stop().await;
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_photographed_the_card_and_dials_first_gets_nothing_by_it() {
    let (devices, others) = (fleet(61, 1), fleet(62, 1));
    let phone = start(&devices[0], config(&devices[0])).await;
    let thief = start(&others[0], config(&others[0])).await;
    let keys = DeviceKeys::generate(&devices[0].host);
    let offer = show(&devices[0], &keys, &Arc::default()).await;
    let card = offer.card().clone();
    let (joining, called) = tokio::join!(offer.called(), read(&thief, &others[0], &card));
    let (mut joining, mut called) = (joining.unwrap(), called.unwrap());
    assert!(refused(read(&phone, &devices[0], &card).await), "the owner's phone asks for no digits");

    let digits = joining.digits().to_string();
    let wrong = if digits.ends_with('1') { "000 002" } else { "000 001" };
    let guess = async {
        for _ in 0..2 {
            let outcome = called.confirm(wrong).await;
            assert!(matches!(outcome, Err(NetError::Identity(IdentityError::WrongDigits { .. }))), "{outcome:?}");
        }
        called.confirm(wrong).await
    };
    let (outcome, joined) = tokio::join!(guess, joining.admitted());
    assert!(matches!(outcome, Err(NetError::Identity(IdentityError::ConfirmationFailed))), "{outcome:?}");
    assert!(joined.is_err(), "the laptop is nobody's");
    assert_eq!(others[0].devices(), 1);
    phone.stop().await;
    thief.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_without_the_secret_is_refused_and_the_card_stays_good() {
    let devices = fleet(63, 1);
    let phone = start(&devices[0], config(&devices[0])).await;
    let keys = DeviceKeys::generate(&devices[0].host);
    let offer = show(&devices[0], &keys, &Arc::default()).await;
    let card = offer.card().clone();
    let forged = Card::create(&devices[0].host, &keys.public(), card.hints().to_vec());
    let dial = async {
        assert!(refused(read(&phone, &devices[0], &forged).await));
        read(&phone, &devices[0], &card).await
    };
    let (joining, admitting) = tokio::join!(offer.called(), dial);
    drop((joining.unwrap(), admitting.unwrap()));
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_belongs_to_another_user_already_is_not_let_in() {
    let devices = fleet(64, 1);
    let phone = start(&devices[0], config(&devices[0])).await;
    let keys = DeviceKeys::generate(&devices[0].host);
    let empty = Arc::new(Empty { refuses: Some(devices[0].identity().unwrap().user_id()), ..Empty::default() });
    let offer = show(&devices[0], &keys, &empty).await;
    let card = offer.card().clone();
    let (joining, admitting) = tokio::join!(offer.called(), read(&phone, &devices[0], &card));
    assert!(matches!(joining, Err(NetError::Replica(_))), "{joining:?}");
    assert!(refused(admitting));
    phone.stop().await;
}
