//! Devices that find each other without being told an address.

use std::sync::Arc;

use super::fleet::{MemoryReplica, fleet, start, until};
use crate::identity::DeviceKeys;
use crate::identity::pairing::SpokenCode;
use crate::net::{Admitter, NodeConfig, join_spoken};

/// Run it in a network namespace of its own, so that nobody else hears it:
/// ```sh
/// unshare -rn sh -c 'ip link add lan0 type veth peer name lan1; ip addr add 10.9.0.1/24 dev lan0;
///     ip link set lan0 up multicast on; ip link set lan1 up; ip route add 224.0.0.0/4 dev lan0;
///     cargo test -p cfost-runtime --lib net::tests::lan -- --ignored'
/// ```
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "speaks mDNS on every interface: for a network namespace, see the comment"]
async fn two_devices_on_a_lan_find_each_other() {
    let devices = fleet(30, 2);
    devices[0].write(3, 10);
    let phone = start(&devices[0], NodeConfig::default()).await;
    let laptop = start(&devices[1], NodeConfig::default()).await;
    until("the laptop holds all", || devices[1].held() == 3).await;
    laptop.stop().await;
    phone.stop().await;
}

/// In a network namespace as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "speaks mDNS on every interface: for a network namespace, see the comment above"]
async fn a_new_device_finds_who_shows_the_code_on_a_lan() {
    let config = |replica: &MemoryReplica| NodeConfig { host: replica.host.clone(), ..NodeConfig::default() };
    let (devices, others) = (fleet(31, 2), fleet(32, 1));
    let phone = start(&devices[0], config(&devices[0])).await;
    let tablet = start(&devices[1], config(&devices[1])).await;
    let neighbour = start(&others[0], config(&others[0])).await;
    let offer = phone.invite_spoken(devices[0].clone() as Arc<dyn Admitter>).await.unwrap();
    let _other_code = neighbour.invite_spoken(others[0].clone() as Arc<dyn Admitter>).await.unwrap();
    let keys = DeviceKeys::generate(&devices[0].host);
    let code = SpokenCode::parse(&offer.code().to_string()).unwrap();
    let mut joining = join_spoken(config(&devices[0]), code, &keys, "laptop", None).await.unwrap();
    assert_eq!(offer.requested().await.unwrap(), "laptop");
    let digits = joining.digits().to_string();
    let side_of_laptop = async {
        joining.admitted().await.unwrap();
        joining.stored().await.unwrap();
    };
    let (device, ()) = tokio::join!(offer.confirm(&digits), side_of_laptop);
    assert_eq!(device.unwrap(), keys.id());
    for node in [phone, tablet, neighbour] {
        node.stop().await;
    }
}
