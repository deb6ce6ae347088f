//! A new device on its way in, and those that stay outside.

use std::sync::Arc;

use super::fleet::{MemoryReplica, event, fleet, node, start, until};
use crate::host::Host;
use crate::identity::pairing::Invitation;
use crate::identity::{DeviceKeys, IdentityError};
use crate::net::{Admitter, NetError, Node, NodeConfig, NodeEvent, PairingOffer, join};

async fn invite(node: &Node, replica: &Arc<MemoryReplica>) -> PairingOffer {
    node.invite(replica.clone() as Arc<dyn Admitter>).await.unwrap()
}

/// The configuration of both sides, with a clock that goes like that of the simulated inviter.
fn config(replica: &MemoryReplica) -> NodeConfig {
    NodeConfig { host: replica.host.clone(), ..NodeConfig::loopback() }
}

fn refused<T>(outcome: Result<T, NetError>) -> bool {
    matches!(outcome, Err(NetError::Identity(IdentityError::PairingRefused)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_device_is_let_in_by_its_digits_and_then_syncs() {
    let devices = fleet(20, 1);
    devices[0].write(40, 100);
    let phone = start(&devices[0], config(&devices[0])).await;
    let mut events = phone.events();
    let offer = invite(&phone, &devices[0]).await;
    assert!(matches!(phone.invite(devices[0].clone()).await, Err(NetError::PairingBusy)));

    // What the camera or the clipboard carries over.
    let text = offer.invitation().to_text();
    let invitation = Invitation::from_text(&text).unwrap();
    let keys = DeviceKeys::generate(&devices[0].host);
    let mut joining = join(config(&devices[0]), invitation.clone(), &keys, "laptop").await.unwrap();
    assert_eq!(offer.requested().await.unwrap(), "laptop");
    let asked = |event: &NodeEvent| match event {
        NodeEvent::PairingRequested { device_name } => Some(device_name.clone()),
        _ => None,
    };
    assert_eq!(event(&mut events, "request", asked).await, "laptop");

    let digits = joining.digits().to_string();
    let wrong = if digits.ends_with('1') { "000 002" } else { "000 001" };
    let mistyped = offer.confirm(wrong).await;
    assert!(matches!(mistyped, Err(NetError::Identity(IdentityError::WrongDigits { tries_left: 2 }))));
    let side_of_laptop = async {
        let joined = joining.admitted().await.unwrap();
        joining.stored().await.unwrap();
        joined
    };
    let (device, joined) = tokio::join!(offer.confirm(&digits), side_of_laptop);
    assert_eq!(device.unwrap(), keys.id());
    drop(offer);

    let laptop = MemoryReplica::joined(keys, &devices[0].host, *joined);
    laptop.write(2, 100);
    let there = node(&laptop, phone.listen_addresses()).await;
    until("both hold all", || devices[0].held() == 42 && laptop.held() == 42).await;

    let again = DeviceKeys::generate(&devices[0].host);
    assert!(refused(join(config(&devices[0]), invitation, &again, "thief").await), "an invitation is for one device");
    there.stop().await;
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_wrong_tries_end_a_pairing_on_both_sides() {
    let devices = fleet(21, 1);
    let phone = start(&devices[0], config(&devices[0])).await;
    let offer = invite(&phone, &devices[0]).await;
    let keys = DeviceKeys::generate(&devices[0].host);
    let mut joining = join(config(&devices[0]), offer.invitation().clone(), &keys, "laptop").await.unwrap();
    offer.requested().await.unwrap();
    let digits = joining.digits().to_string();
    let wrong = if digits == "000 001" { "000 002" } else { "000 001" };
    for _ in 0..2 {
        let outcome = offer.confirm(wrong).await;
        assert!(matches!(outcome, Err(NetError::Identity(IdentityError::WrongDigits { .. }))), "{outcome:?}");
    }
    let outcome = offer.confirm(wrong).await;
    assert!(matches!(outcome, Err(NetError::Identity(IdentityError::ConfirmationFailed))), "{outcome:?}");
    assert!(refused(joining.admitted().await));
    assert!(offer.confirm(&digits).await.is_err(), "the right digits come too late");
    assert_eq!(devices[0].devices(), 1);
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_invitation_leads_nowhere_and_makes_room_for_the_next() {
    let devices = fleet(22, 1);
    let phone = start(&devices[0], config(&devices[0])).await;
    let offer = invite(&phone, &devices[0]).await;
    let invitation = offer.invitation().clone();
    let keys = DeviceKeys::generate(&devices[0].host);
    let mut joining = join(config(&devices[0]), invitation.clone(), &keys, "laptop").await.unwrap();
    drop(offer);
    assert!(joining.admitted().await.is_err());
    let next = invite(&phone, &devices[0]).await;
    assert!(refused(join(config(&devices[0]), invitation, &keys, "laptop").await), "it is another invitation now");
    drop(next);
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_without_the_secret_is_refused_and_the_invitation_stays_good() {
    let devices = fleet(23, 1);
    let phone = start(&devices[0], config(&devices[0])).await;
    let offer = invite(&phone, &devices[0]).await;
    // Knows whom to dial and where, but not the secret: an invitation of its own making.
    let device = devices[0].identity_of_self();
    let hints = offer.invitation().hints().to_vec();
    let forged = Invitation::create(&Host::system(), offer.invitation().user(), &device, hints);
    let thief = DeviceKeys::generate(&devices[0].host);
    let forging = NodeConfig::loopback();
    assert!(refused(join(forging, forged, &thief, "thief").await));
    let keys = DeviceKeys::generate(&devices[0].host);
    let joining = join(config(&devices[0]), offer.invitation().clone(), &keys, "laptop").await.unwrap();
    assert_eq!(offer.requested().await.unwrap(), "laptop");
    drop(joining);
    phone.stop().await;
}
