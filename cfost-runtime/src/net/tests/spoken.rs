//! A new device on its way in by a code that was said aloud, and those that stay outside.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::fleet::{MemoryReplica, event, fleet, node, start, until};
use crate::identity::pairing::{PairingId, SpokenCode};
use crate::identity::{AddDevice, DeviceKeys, IdentityError};
use crate::net::{
    Admission, Admitter, Joining, Multiaddr, NetError, Node, NodeConfig, NodeEvent, SpokenOffer, join, join_spoken,
};
use crate::sync::ReplicaError;

async fn speak(node: &Node, replica: &Arc<MemoryReplica>) -> SpokenOffer {
    node.invite_spoken(replica.clone() as Arc<dyn Admitter>).await.unwrap()
}

/// The configuration of both sides, with a clock that goes like that of the simulated inviter.
fn config(replica: &MemoryReplica, addresses: Vec<Multiaddr>) -> NodeConfig {
    NodeConfig { host: replica.host.clone(), addresses, ..NodeConfig::loopback() }
}

/// Types `code` into a new device, which knows where to look.
async fn type_in(replica: &MemoryReplica, at: Vec<Multiaddr>, code: &str) -> (DeviceKeys, Result<Joining, NetError>) {
    let keys = DeviceKeys::generate(&replica.host);
    let code = SpokenCode::parse(code).unwrap();
    let joining = join_spoken(config(replica, at), code, &keys, "laptop", None).await;
    (keys, joining)
}

fn other_than(code: &SpokenCode) -> String {
    let code = code.to_string();
    let last = if code.ends_with('0') { "1" } else { "0" };
    format!("{}{last}", &code[..code.len() - 1])
}

fn refused<T>(outcome: Result<T, NetError>) -> bool {
    matches!(outcome, Err(NetError::Identity(IdentityError::SpokenCodeRefused)))
}

async fn guessed(events: &mut broadcast::Receiver<NodeEvent>) -> u32 {
    let guessed = |event: &NodeEvent| match event {
        NodeEvent::PairingGuessed { tries_left } => Some(*tries_left),
        _ => None,
    };
    event(events, "a wrong code", guessed).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_device_is_let_in_by_a_code_and_its_digits_and_then_syncs() {
    let devices = fleet(40, 1);
    devices[0].write(40, 100);
    let phone = start(&devices[0], config(&devices[0], Vec::new())).await;
    let mut events = phone.events();
    let offer = speak(&phone, &devices[0]).await;
    assert!(matches!(phone.invite(devices[0].clone()).await, Err(NetError::PairingBusy)));
    assert!(!format!("{offer:?}").contains(&offer.code().to_string()[..4]));

    // A slip of the finger is forgiven.
    let (_, mistyped) = type_in(&devices[0], phone.listen_addresses(), &other_than(offer.code())).await;
    assert!(refused(mistyped));
    assert_eq!(guessed(&mut events).await, 2);

    let (keys, joining) = type_in(&devices[0], phone.listen_addresses(), &offer.code().to_string()).await;
    let mut joining = joining.unwrap();
    assert_eq!(offer.requested().await.unwrap(), "laptop");
    let digits = joining.digits().to_string();
    let wrong = if digits.ends_with('1') { "000 002" } else { "000 001" };
    let mistyped = offer.confirm(wrong).await;
    assert!(matches!(mistyped, Err(NetError::Identity(IdentityError::WrongDigits { tries_left: 2 }))));
    let side_of_laptop = async {
        let addresses = joining.inviter_addresses();
        let joined = joining.admitted().await.unwrap();
        joining.stored().await.unwrap();
        (joined, addresses)
    };
    let (device, (joined, addresses)) = tokio::join!(offer.confirm(&digits), side_of_laptop);
    assert_eq!(device.unwrap(), keys.id());
    let code = offer.code().to_string();
    let (_, second) = type_in(&devices[0], phone.listen_addresses(), &code).await;
    assert!(refused(second), "a code is for one device");
    drop(offer);

    // It knows where the phone is: it was there.
    assert_eq!(addresses.len(), 1);
    assert!(phone.listen_addresses().contains(&addresses[0]));
    let laptop = MemoryReplica::joined(keys, &devices[0].host, *joined);
    laptop.write(2, 100);
    let there = node(&laptop, addresses).await;
    until("both hold all", || devices[0].held() == 42 && laptop.held() == 42).await;
    there.stop().await;
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_wrong_codes_burn_it_and_the_fourth_guess_is_refused_even_if_right() {
    let devices = fleet(41, 1);
    let phone = start(&devices[0], config(&devices[0], Vec::new())).await;
    let mut events = phone.events();
    let offer = speak(&phone, &devices[0]).await;
    for tries_left in [2, 1, 0] {
        let (_, wrong) = type_in(&devices[0], phone.listen_addresses(), &other_than(offer.code())).await;
        assert!(refused(wrong));
        assert_eq!(guessed(&mut events).await, tries_left);
    }
    let burnt = offer.requested().await;
    assert!(matches!(burnt, Err(NetError::Identity(IdentityError::SpokenCodeBurnt))), "{burnt:?}");
    let (_, right) = type_in(&devices[0], phone.listen_addresses(), &offer.code().to_string()).await;
    assert!(refused(right));
    assert!(offer.confirm("123 456").await.is_err());
    assert_eq!(devices[0].devices(), 1);
    drop(offer);
    let next = speak(&phone, &devices[0]).await;
    let (_, joining) = type_in(&devices[0], phone.listen_addresses(), &next.code().to_string()).await;
    joining.unwrap();
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_who_shows_the_code_is_found_among_others() {
    let (devices, strangers) = (fleet(42, 2), fleet(43, 1));
    let phone = start(&devices[0], config(&devices[0], Vec::new())).await;
    let tablet = start(&devices[1], config(&devices[1], Vec::new())).await;
    let stranger = start(&strangers[0], config(&strangers[0], Vec::new())).await;
    let mut strangers_events = stranger.events();
    let offer = speak(&phone, &devices[0]).await;
    let _other_code = speak(&stranger, &strangers[0]).await;
    // Another user shows a code as well, and the tablet shows none.
    let everybody = [stranger.listen_addresses(), tablet.listen_addresses(), phone.listen_addresses()].concat();
    let (_, joining) = type_in(&devices[0], everybody, &offer.code().to_string()).await;
    let joining = joining.unwrap();
    assert!(phone.listen_addresses().contains(&joining.inviter_addresses()[0]));
    assert_eq!(offer.requested().await.unwrap(), "laptop");
    let told = strangers_events.try_recv();
    assert!(!matches!(told, Ok(NodeEvent::PairingRequested { .. })), "{told:?}");
    for node in [phone, tablet, stranger] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_peer_at_the_address_is_not_talked_to() {
    let (devices, strangers) = (fleet(44, 1), fleet(45, 1));
    let phone = start(&devices[0], config(&devices[0], Vec::new())).await;
    let thief = start(&strangers[0], config(&strangers[0], Vec::new())).await;
    let offer = speak(&phone, &devices[0]).await;
    let trap = speak(&thief, &strangers[0]).await;
    let mut events = thief.events();
    // The thief's address under the phone's name: the handshake shows another key, and that is the end.
    let fake = thief.listen_addresses().into_iter().map(|mut address| {
        address.pop();
        address.with_p2p(phone.peer_id()).unwrap()
    });
    let fake: Vec<_> = fake.collect();
    let code = offer.code().to_string();
    let joining = type_in(&devices[0], fake, &code);
    let outcome = tokio::time::timeout(std::time::Duration::from_secs(3), joining).await;
    assert!(outcome.is_err(), "it goes on looking");
    while let Ok(told) = events.try_recv() {
        let tried = matches!(told, NodeEvent::PairingGuessed { .. } | NodeEvent::PairingRequested { .. });
        assert!(!tried, "the thief was told something: {told:?}");
    }
    drop(trap);
    let nowhere = type_in(&devices[0], Vec::new(), &code).await.1;
    assert!(matches!(nowhere, Err(NetError::InviterUnreachable)));
    thief.stop().await;
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_is_no_code_and_a_code_no_invitation() {
    let devices = fleet(46, 1);
    let phone = start(&devices[0], config(&devices[0], Vec::new())).await;
    let shown = phone.invite(devices[0].clone() as Arc<dyn Admitter>).await.unwrap();
    let invitation = shown.invitation().clone();
    let (_, by_code) = type_in(&devices[0], phone.listen_addresses(), "1234 5678").await;
    assert!(refused(by_code));
    drop(shown);
    let spoken = speak(&phone, &devices[0]).await;
    let keys = DeviceKeys::generate(&devices[0].host);
    let by_invitation = join(config(&devices[0], Vec::new()), invitation, &keys, "laptop").await;
    assert!(matches!(by_invitation, Err(NetError::Identity(IdentityError::PairingRefused))));
    let (_, right) = type_in(&devices[0], phone.listen_addresses(), &spoken.code().to_string()).await;
    right.unwrap();
    phone.stop().await;
}

/// A database that dies when a try is to be recorded, or right after.
struct Dying {
    replica: Arc<MemoryReplica>,
    recorded: bool,
}

impl Admitter for Dying {
    fn consume(&self, pairing: PairingId) -> Result<(), ReplicaError> {
        if self.recorded {
            self.replica.consume(pairing)?;
        }
        Err(ReplicaError::new("the disk is gone"))
    }

    fn admit(&self, request: AddDevice) -> Result<Admission, ReplicaError> {
        self.replica.admit(request)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_dies_between_recording_a_try_and_answering_it_lets_nobody_in() {
    for recorded in [false, true] {
        let devices = fleet(47, 1);
        let phone = start(&devices[0], config(&devices[0], Vec::new())).await;
        let dying = Dying { replica: devices[0].clone(), recorded };
        let offer = phone.invite_spoken(Arc::new(dying)).await.unwrap();
        let code = offer.code().to_string();
        for _ in 0..2 {
            let (_, right) = type_in(&devices[0], phone.listen_addresses(), &code).await;
            assert!(refused(right));
        }
        let over = offer.requested().await;
        assert!(matches!(over, Err(NetError::PairingInterrupted(_))), "{over:?}");
        assert_eq!(devices[0].devices(), 1);
        phone.stop().await;
    }
}
