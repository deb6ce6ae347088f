//! Devices that find each other without being told an address.

use super::fleet::{fleet, start, until};
use crate::net::NodeConfig;

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
