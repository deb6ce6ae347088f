//! Peers that mean no good: what they get, what they can hold up, and for how long.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use libp2p::futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::multiaddr::Protocol;
use tokio::net::TcpSocket;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{sleep, timeout};

use super::fleet::{MemoryReplica, PATIENCE, addresses, event, fleet, node, until};
use crate::net::dial::Dialler;
use crate::net::limits::PROOF_TIMEOUT;
use crate::net::streams::{Purpose, Served};
use crate::net::swarm::{self, Command, Device, Opened, Report, ReportKind, Serve, SwarmConfig, SwarmHandle};
use crate::net::{Node, NodeEvent, transport};
use crate::sync::limits::PROTOCOL_VERSION;
use crate::sync::{Outdated, Replica};

/// A peer that speaks libp2p as it should, and on the streams whatever the test says.
struct Adversary {
    streams: mpsc::Receiver<Opened>,
    _swarm: SwarmHandle,
}

struct Streams(mpsc::Sender<Opened>);

impl Serve for Streams {
    fn serve(&self, _: Purpose, opened: Opened) {
        let _ = self.0.try_send(opened);
    }
}

impl Adversary {
    /// Dials `node` with the transport key `secret`, and opens sync streams.
    async fn dial(secret: [u8; 32], node: &Node, carrier: &str) -> Self {
        let (sender, streams) = mpsc::channel(8);
        let config = SwarmConfig {
            keypair: transport::keypair(&secret).unwrap(),
            listen: Vec::new(),
            lan: false,
            opens: Purpose::Sync,
            served: Served { sync: false, pair: Arc::new(AtomicBool::new(false)) },
            dialler: Dialler::new(0),
        };
        let swarm = swarm::start(config, Box::new(Streams(sender)), broadcast::channel(1).0).await.unwrap();
        let addresses = addresses(node, carrier).into_iter().map(|address| transport::split_peer(address).0).collect();
        let target = Device { id: None, peer: node.peer_id(), addresses };
        swarm.commands.send(Command::Devices(vec![target])).await.unwrap();
        Self { streams, _swarm: swarm }
    }

    async fn stream(&mut self) -> Opened {
        let opened = timeout(PATIENCE, self.streams.recv()).await.unwrap().unwrap();
        // It has all the time in the world itself.
        let patient = Report { connection: opened.connection, kind: ReportKind::Pairing };
        opened.reports.send(patient).await.unwrap();
        opened
    }
}

/// Reads until the other side hangs up; returns what came and how long it took.
async fn read_to_end(opened: &mut Opened) -> (usize, Duration) {
    let began = Instant::now();
    let mut bytes = 0;
    let mut buffer = vec![0; 4096];
    let ended = timeout(PATIENCE, async {
        while let Ok(n) = opened.stream.stream.read(&mut buffer).await {
            if n == 0 {
                break;
            }
            bytes += n;
        }
    });
    ended.await.expect("the node never hung up");
    (bytes, began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_that_says_nothing_gets_nothing_and_is_sent_away() {
    let devices = fleet(40, 1);
    let phone = node(&devices[0], vec![]).await;
    for carrier in ["/tcp/", "/quic-v1"] {
        let mut stranger = Adversary::dial([9; 32], &phone, carrier).await;
        let mut opened = stranger.stream().await;
        // The name of the protocol goes out with the first bytes.
        opened.stream.stream.flush().await.unwrap();
        let (bytes, after) = read_to_end(&mut opened).await;
        assert_eq!(bytes, 0, "{carrier}");
        assert!(after <= PROOF_TIMEOUT + Duration::from_secs(4), "{carrier}: {after:?}");
    }
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_and_huge_frames_end_a_connection_at_once_and_cost_nothing_else() {
    let devices = fleet(41, 2);
    let phone = node(&devices[0], vec![]).await;
    let garbage: Vec<u8> = (0..70_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let huge = [0xff; 64].to_vec();
    let empty = [0; 64].to_vec();
    // A stranger, and then the key of a device that has gone bad: it gets past the door, not further.
    for secret in [[9; 32], *devices[1].keys.transport_secret()] {
        for sent in [&garbage, &huge, &empty] {
            let mut adversary = Adversary::dial(secret, &phone, "/tcp/").await;
            let mut opened = adversary.stream().await;
            let _ = opened.stream.stream.write_all(sent).await;
            let _ = opened.stream.stream.flush().await;
            let (bytes, after) = read_to_end(&mut opened).await;
            assert_eq!(bytes, 0, "nothing is said to who has not said hello");
            assert!(after < Duration::from_secs(4), "{after:?}");
        }
    }
    devices[0].write(5, 10);
    let laptop = node(&devices[1], phone.listen_addresses()).await;
    until("the real laptop still gets through", || devices[1].held() == 5).await;
    laptop.stop().await;
    phone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_drips_its_greeting_is_sent_away() {
    let devices = fleet(42, 1);
    let phone = node(&devices[0], vec![]).await;
    let mut stranger = Adversary::dial([9; 32], &phone, "/quic-v1").await;
    let mut opened = stranger.stream().await;
    let began = Instant::now();
    // A frame of 64 KiB, one byte every fiftieth of a second.
    let mut drip = vec![0, 0, 1, 0].into_iter().chain(std::iter::repeat(1));
    while began.elapsed() < PATIENCE {
        let byte = [drip.next().unwrap()];
        let sent = opened.stream.stream.write_all(&byte).await.is_ok() && opened.stream.stream.flush().await.is_ok();
        if !sent {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() <= PROOF_TIMEOUT + Duration::from_secs(4), "{:?}", began.elapsed());
    phone.stop().await;
}

/// The socket behind a TCP address.
fn socket(address: &Multiaddr) -> SocketAddr {
    let mut ip = None;
    let mut port = None;
    for part in address.iter() {
        match part {
            Protocol::Ip4(v4) => ip = Some(v4),
            Protocol::Tcp(tcp) => port = Some(tcp),
            _ => {}
        }
    }
    (ip.unwrap(), port.unwrap()).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_does_not_keep_a_device_out() {
    let devices = fleet(44, 2);
    devices[0].write(100, 100);
    let phone = node(&devices[0], vec![]).await;
    let tcp = socket(&addresses(&phone, "/tcp/")[0]);
    // Ten thousand connections that never say a word, from sixty addresses, of which the last three hundred stay: all
    // places are taken.
    let dialled = Arc::new(AtomicU32::new(0));
    let flood = tokio::spawn({
        let dialled = Arc::clone(&dialled);
        async move {
            let mut held = VecDeque::new();
            for n in 0..10_000_u32 {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(([127, 0, 1, 1 + (n % 60) as u8], 0).into()).unwrap();
                held.push_back(socket.connect(tcp).await.unwrap());
                if held.len() > 300 {
                    held.pop_front();
                }
                dialled.store(n + 1, Ordering::Relaxed);
            }
            held
        }
    });
    until("all places are taken", || dialled.load(Ordering::Relaxed) > 300).await;
    // Strangers with good handshakes and keys of their own, from the device's own address.
    let mut strangers = Vec::new();
    for n in 0..20 {
        strangers.push(Adversary::dial([100 + n; 32], &phone, "/tcp/").await);
    }
    let began = Instant::now();
    // TCP only, the way that is flooded.
    let laptop = node(&devices[1], addresses(&phone, "/tcp/")).await;
    until("the device gets in and is served", || devices[1].held() == 100).await;
    println!("level after {:?} in a flood, at dial {}", began.elapsed(), dialled.load(Ordering::Relaxed));
    let held = flood.await.unwrap();
    devices[0].write(100, 100);
    phone.local_changed().notify();
    until("what is written after ten thousand dials comes too", || devices[1].held() == 200).await;
    drop((held, strangers));
    laptop.stop().await;
    phone.stop().await;
}

/// The greeting of a build that speaks the versions of the protocol from `oldest` to `newest`, by hand.
fn hello(device: &MemoryReplica, newest: u16, oldest: u16) -> Vec<u8> {
    let versions = [newest.to_le_bytes(), oldest.to_le_bytes()].concat();
    let mut body = [&[1][..], &versions, device.device().as_bytes(), &[0; 64]].concat();
    let certificate = device.certificate().unwrap();
    body.extend((certificate.len() as u16).to_le_bytes());
    for entry in certificate {
        body.extend((entry.len() as u32).to_le_bytes());
        body.extend(entry);
    }
    body.extend(b"\x050.9.1\x032.3");
    // The digest of its logs of entries.
    body.extend([0; 32]);
    [&(body.len() as u32).to_le_bytes()[..], &body].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_too_old_for_another_device_is_told_so_once_and_shows_it() {
    let devices = fleet(44, 2);
    let phone = node(&devices[0], vec![]).await;
    let mut events = phone.events();
    for _ in 0..2 {
        let mut laptop = Adversary::dial(*devices[1].keys.transport_secret(), &phone, "/tcp/").await;
        let mut opened = laptop.stream().await;
        opened.stream.stream.write_all(&hello(&devices[1], 9, PROTOCOL_VERSION + 1)).await.unwrap();
        opened.stream.stream.flush().await.unwrap();
        let (bytes, _) = read_to_end(&mut opened).await;
        assert_eq!(bytes, 5 + 2 + 4 + 2 + env!("CARGO_PKG_VERSION").len(), "it is told why, and what runs here");
    }
    let told = |event: &NodeEvent| match event {
        NodeEvent::UpdateNeeded { device, outdated, theirs } => Some((*device, *outdated, theirs.to_string())),
        NodeEvent::PeerRefused { reason, .. } => panic!("a device of the user was turned away: {reason}"),
        _ => None,
    };
    let needed = (devices[1].device(), Outdated::ThisDevice, "CFOST 0.9.1, app 2.3".to_owned());
    assert_eq!(event(&mut events, "word of the update", told).await, needed);
    let shown = || phone.peers().iter().any(|peer| peer.outdated == Some(Outdated::ThisDevice));
    until("the status shows it", shown).await;
    // What is told once is not told again with each connection.
    while let Ok(event) = events.try_recv() {
        assert_eq!(told(&event), None);
    }
    phone.stop().await;
}
