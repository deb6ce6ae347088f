//! Devices that meet, part and meet again.

use std::time::{Duration, Instant};

use super::fleet::{MemoryReplica, addresses, event, fleet, node, start, until};
use crate::identity::{AddDevice, DeviceKeys};
use crate::net::{Admitter, NodeConfig, NodeEvent, Transport};
use crate::sync::Replica;

fn caught_up(event: &NodeEvent) -> Option<Duration> {
    match event {
        NodeEvent::CaughtUp { elapsed, .. } => Some(*elapsed),
        _ => None,
    }
}

async fn two_devices_sync_over(carrier: &str, transport: Transport) {
    let devices = fleet(1, 2);
    devices[0].write(300, 100);
    devices[1].write(200, 100);
    let phone = node(&devices[0], vec![]).await;
    let began = Instant::now();
    let laptop = node(&devices[1], addresses(&phone, carrier)).await;
    let dialling = Instant::now();
    let mut events = laptop.events();
    let ready = |event: &NodeEvent| match event {
        NodeEvent::PeerConnected { transport, .. } => Some(*transport),
        _ => None,
    };
    assert_eq!(event(&mut events, "connection", ready).await, transport);
    println!(
        "{carrier}: dial to proven peer {:?}, start of the node to that {:?}",
        dialling.elapsed(),
        began.elapsed()
    );
    let elapsed = event(&mut events, "level state", caught_up).await;
    println!("{carrier}: session to level {elapsed:?}, in all {:?}", began.elapsed());
    until("both hold all", || devices.iter().all(|device| device.held() == 500)).await;
    laptop.stop().await;
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_get_level_over_tcp() {
    two_devices_sync_over("/tcp/", Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_get_level_over_quic() {
    two_devices_sync_over("/quic-v1", Transport::Quic).await;
}

#[tokio::test]
async fn one_thread_is_enough_for_an_app_on_a_small_runtime() {
    let devices = fleet(2, 2);
    devices[0].write(10, 100);
    let phone = node(&devices[0], vec![]).await;
    let laptop = node(&devices[1], phone.listen_addresses()).await;
    until("the laptop holds all", || devices[1].held() == 10).await;
    laptop.stop().await;
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_reaches_a_connected_device_at_once() {
    let devices = fleet(3, 2);
    let phone = node(&devices[0], vec![]).await;
    let laptop = node(&devices[1], phone.listen_addresses()).await;
    let mut events = laptop.events();
    event(&mut events, "level state", caught_up).await;
    for n in 1..=20 {
        let began = Instant::now();
        devices[0].write(1, 100);
        phone.local_changed().notify();
        until("the laptop has it", || devices[1].held() == n).await;
        assert!(began.elapsed() < Duration::from_secs(5), "change {n} took {:?}", began.elapsed());
    }
    laptop.stop().await;
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_devices_that_dial_each_other_at_once_end_up_with_one_connection() {
    for seed in 10..14 {
        let devices = fleet(seed, 2);
        // Each knows where the other will be before either is there.
        let phone = node(&devices[0], vec![]).await;
        let laptop = node(&devices[1], vec![]).await;
        let (to_phone, to_laptop) = (phone.listen_addresses(), laptop.listen_addresses());
        phone.stop().await;
        laptop.stop().await;
        let there = |at: &[crate::net::Multiaddr], known: &[crate::net::Multiaddr]| NodeConfig {
            listen: at.iter().map(|address| crate::net::transport::split_peer(address.clone()).0).collect(),
            addresses: known.to_vec(),
            ..NodeConfig::loopback()
        };
        let (phone, laptop) = tokio::join!(
            start(&devices[0], there(&to_phone, &to_laptop)),
            start(&devices[1], there(&to_laptop, &to_phone)),
        );
        let one_connection = || {
            [&phone, &laptop].map(|node| {
                let peers = node.peers();
                let peer = peers.into_iter().next()?;
                let used = peer.connection.filter(|connection| connection.ready)?;
                Some((used.transport, used.outbound, peer.connections))
            })
        };
        until(
            "both use the same connection, and only that",
            || matches!(one_connection(), [Some((a, out_a, 1)), Some((b, out_b, 1))] if a == b && out_a != out_b),
        )
        .await;
        devices[0].write(5, 50);
        phone.local_changed().notify();
        until("it still carries changes", || devices[1].held() == 5).await;
        laptop.stop().await;
        phone.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_died_in_the_middle_goes_on_where_it_was() {
    let devices = fleet(4, 2);
    devices[0].write(3000, 1000);
    let phone = node(&devices[0], vec![]).await;
    let mut deaths = 0;
    while devices[1].held() < 3000 {
        let before = devices[1].held();
        let laptop = node(&devices[1], phone.listen_addresses()).await;
        until("some progress", || devices[1].held() > before).await;
        // Without a word: dropped, not stopped.
        drop(laptop);
        deaths += 1;
        assert!(deaths < 500, "{} of 3000 after {deaths} deaths", devices[1].held());
    }
    println!("{deaths} deaths until level");
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_was_away_is_dialled_again_by_itself() {
    let devices = fleet(5, 2);
    let phone = node(&devices[0], vec![]).await;
    let port = phone.port();
    let laptop = node(&devices[1], phone.listen_addresses()).await;
    let mut events = laptop.events();
    event(&mut events, "level state", caught_up).await;
    phone.stop().await;
    let gone = |event: &NodeEvent| matches!(event, NodeEvent::PeerDisconnected { .. }).then_some(());
    event(&mut events, "goodbye", gone).await;
    devices[0].write(3, 10);
    devices[1].write(4, 10);
    let phone = start(&devices[0], NodeConfig { port, ..NodeConfig::loopback() }).await;
    assert_eq!(phone.port(), port, "it is where the others remember it");
    laptop.hurry().await.unwrap();
    until("both hold all", || devices.iter().all(|device| device.held() == 7)).await;
    laptop.stop().await;
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_last_is_sent_before_a_node_stops() {
    let devices = fleet(6, 2);
    let phone = node(&devices[0], vec![]).await;
    let laptop = node(&devices[1], phone.listen_addresses()).await;
    let mut events = phone.events();
    event(&mut events, "level state", caught_up).await;
    devices[0].write(50, 1000);
    let began = Instant::now();
    phone.stop().await;
    assert!(began.elapsed() < Duration::from_secs(4));
    until("the laptop has it", || devices[1].held() == 50).await;
    laptop.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_device_gets_changes_through_the_one_that_it_can_reach() {
    let devices = fleet(7, 3);
    devices[0].write(100, 100);
    let middle = node(&devices[1], vec![]).await;
    let left = node(&devices[0], addresses(&middle, "/tcp/")).await;
    let right = node(&devices[2], addresses(&middle, "/quic-v1")).await;
    until("all hold all", || devices.iter().all(|device| device.held() == 100)).await;
    devices[2].write(1, 100);
    right.local_changed().notify();
    until("a live change passes through", || devices[0].held() == 101).await;
    for node in [left, middle, right] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_was_added_elsewhere_is_let_in_by_its_certificate() {
    let devices = fleet(8, 2);
    let keys = DeviceKeys::generate(&devices[1].host);
    let request = AddDevice::new(devices[1].identity().unwrap().user_id(), &keys, "tablet").unwrap();
    let admission = devices[1].admit(request).unwrap();
    let tablet = MemoryReplica::admitted(keys, &devices[1].host, admission);
    devices[0].write(10, 100);
    tablet.write(10, 100);
    // The phone has never heard of the tablet, which only the laptop knows.
    assert_eq!(devices[0].devices(), 2);
    let phone = node(&devices[0], vec![]).await;
    let there = node(&tablet, phone.listen_addresses()).await;
    until("both hold all", || devices[0].held() == 20 && tablet.held() == 20).await;
    assert_eq!(devices[0].devices(), 3);
    until("the phone counts it among its devices", || phone.peers().len() == 2).await;
    there.stop().await;
    phone.stop().await;
}
