//! Whom to dial, where and when: a state machine without sockets, clocks or randomness of its own.
//!
//! Only devices on the list that the identity log gives are dialled; an address of anybody else is
//! not even kept. (A new device that was told a code by voice has no such list, and may ask whoever is on
//! the LAN.) A device is dialled at once when it is new on the list, when it shows up on the
//! LAN, when the network changes and when the user asks; after a failure it has to wait, longer
//! each time. Time is the time since the node started.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p::{Multiaddr, PeerId};

use super::limits::{
    ADDRESSES_PER_DIAL_MAX, ADDRESSES_PER_SOURCE_MAX, BACKOFF_MAX, BACKOFF_MIN, DEVICES_MAX, LAN_REDIAL_MIN,
    SESSION_SETTLED,
};

/// The pause before attempt number `failures + 1`: between half of the step and the whole step,
/// where the step doubles with each failure, from 0.5 s to 60 s. Half of the first step is the
/// 0.25 s that is the shortest pause. The jitter keeps two devices from dialling each other in
/// lockstep, and a fleet from coming back at the same instant.
pub(crate) fn backoff(failures: u32, random: u64) -> Duration {
    let step_ms =
        (2 * BACKOFF_MIN).saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(BACKOFF_MAX).as_millis()
            as u64;
    let half_ms = step_ms / 2;
    Duration::from_millis(half_ms + random % (half_ms + 1))
}

/// Where a device is with respect to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// No connection, none on its way.
    #[default]
    Away,
    /// A dial is on its way.
    Dialling,
    /// At least one connection is up; `ready` is when its session first proved the device.
    Connected { ready: Option<Duration> },
}

#[derive(Debug, Default)]
struct Target {
    remembered: Vec<Multiaddr>,
    on_lan: Vec<Multiaddr>,
    failures: u32,
    not_before: Duration,
    /// When it was dialled last.
    dialled: Option<Duration>,
    state: State,
}

impl Target {
    fn addresses(&self) -> Vec<Multiaddr> {
        let mut addresses = self.on_lan.clone();
        addresses.extend(self.remembered.iter().filter(|a| !self.on_lan.contains(a)).cloned());
        addresses.truncate(ADDRESSES_PER_DIAL_MAX);
        addresses
    }

    fn waits(&self) -> bool {
        self.state == State::Away && !(self.on_lan.is_empty() && self.remembered.is_empty())
    }

    fn hurry(&mut self, now: Duration) {
        self.failures = 0;
        self.not_before = now;
    }
}

/// One dial to start now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dial {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
}

/// The dialling state of every device on the list.
#[derive(Debug)]
pub(crate) struct Dialler {
    targets: BTreeMap<PeerId, Target>,
    /// How many peers are dialled as long as they show up on the LAN: 0 but for a pairing by voice.
    anybody_max: usize,
    random: u64,
}

impl Dialler {
    /// Nobody to dial yet; `seed` feeds the jitter.
    pub(crate) fn new(seed: u64) -> Self {
        Self { targets: BTreeMap::new(), anybody_max: 0, random: seed }
    }

    /// Dials whoever shows up on the LAN as well, up to a number of peers in all.
    pub(crate) fn of_anybody(seed: u64, peers_max: usize) -> Self {
        Self { anybody_max: peers_max, ..Self::new(seed) }
    }

    /// Replaces the list of devices that may be dialled, with their remembered addresses, and
    /// returns the ones that are no longer on it. What is known of those that stay is kept.
    pub(crate) fn allow(
        &mut self,
        list: impl IntoIterator<Item = (PeerId, Vec<Multiaddr>)>,
        now: Duration,
    ) -> Vec<PeerId> {
        let mut gone = std::mem::take(&mut self.targets);
        for (peer, addresses) in list.into_iter().take(DEVICES_MAX) {
            let mut target = gone.remove(&peer).unwrap_or(Target { not_before: now, ..Target::default() });
            for address in addresses {
                if keep(&mut target.remembered, address) {
                    target.hurry(now);
                }
            }
            self.targets.insert(peer, target);
        }
        gone.into_keys().collect()
    }

    /// `peer` showed up on the LAN. Strangers are ignored; returns whether it is on the list. Anybody on
    /// the LAN can announce any peer under any address, so this makes for one dial a second at most.
    pub(crate) fn found(&mut self, peer: &PeerId, address: Multiaddr, now: Duration) -> bool {
        if self.targets.len() < self.anybody_max {
            self.targets.entry(*peer).or_insert_with(|| Target { not_before: now, ..Target::default() });
        }
        let Some(target) = self.targets.get_mut(peer) else { return false };
        if keep(&mut target.on_lan, address) {
            let earliest = target.dialled.map_or(now, |dialled| dialled + LAN_REDIAL_MIN);
            target.hurry(now.max(earliest));
        }
        true
    }

    /// `peer` is no longer announced on the LAN under `address`.
    pub(crate) fn lost(&mut self, peer: &PeerId, address: &Multiaddr) {
        if let Some(target) = self.targets.get_mut(peer) {
            target.on_lan.retain(|known| known != address);
        }
    }

    /// `peer` itself said where it listens; remembered for the next time it is away.
    pub(crate) fn learned(&mut self, peer: &PeerId, addresses: Vec<Multiaddr>) {
        if let Some(target) = self.targets.get_mut(peer) {
            // The newest word comes first and pushes the oldest out.
            for address in addresses.into_iter().take(ADDRESSES_PER_SOURCE_MAX) {
                target.remembered.retain(|known| *known != address);
                target.remembered.insert(0, address);
            }
            target.remembered.truncate(ADDRESSES_PER_SOURCE_MAX);
        }
    }

    /// The network changed or the user asked: nobody waits any longer.
    pub(crate) fn hurry(&mut self, now: Duration) {
        self.targets.values_mut().for_each(|target| target.hurry(now));
    }

    /// The next dial that is due, which counts as started.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Dial> {
        let (peer, target) = self
            .targets
            .iter_mut()
            .filter(|(_, target)| target.waits() && target.not_before <= now)
            .min_by_key(|(_, target)| target.not_before)?;
        target.state = State::Dialling;
        target.dialled = Some(now);
        Some(Dial { peer: *peer, addresses: target.addresses() })
    }

    /// When the next dial will be due.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.targets.values().filter(|target| target.waits()).map(|t| t.not_before).min()
    }

    /// A dial to `peer` failed; it waits unless it got connected meanwhile.
    pub(crate) fn failed(&mut self, peer: &PeerId, now: Duration) {
        let random = self.draw();
        if let Some(target) = self.targets.get_mut(peer)
            && target.state == State::Dialling
        {
            postpone(target, now, random);
        }
    }

    /// A connection with `peer` is up, whoever dialled it.
    pub(crate) fn connected(&mut self, peer: &PeerId) {
        if let Some(target) = self.targets.get_mut(peer)
            && !matches!(target.state, State::Connected { .. })
        {
            target.state = State::Connected { ready: None };
        }
    }

    /// A session with `peer` proved who it is.
    pub(crate) fn ready(&mut self, peer: &PeerId, now: Duration) {
        if let Some(target) = self.targets.get_mut(peer)
            && target.state == (State::Connected { ready: None })
        {
            target.state = State::Connected { ready: Some(now) };
        }
    }

    /// The last connection with `peer` is gone. Only a session that lived for a while clears the
    /// failures: a peer that accepts and then hangs up must not be dialled in a tight loop.
    pub(crate) fn disconnected(&mut self, peer: &PeerId, now: Duration) {
        let random = self.draw();
        let Some(target) = self.targets.get_mut(peer) else { return };
        if let State::Connected { ready } = target.state {
            if ready.is_some_and(|since| now.saturating_sub(since) >= SESSION_SETTLED) {
                target.failures = 0;
            }
            postpone(target, now, random);
        }
    }

    /// How many dials of `peer` failed in a row, and how long it still waits.
    pub(crate) fn waiting(&self, peer: &PeerId, now: Duration) -> Option<(u32, Duration)> {
        let target = self.targets.get(peer)?;
        Some((target.failures, target.not_before.saturating_sub(now)))
    }

    /// The devices on the list.
    pub(crate) fn peers(&self) -> impl Iterator<Item = &PeerId> {
        self.targets.keys()
    }

    /// splitmix64 (Steele, Lea, Flood, 2014): enough to spread retries, and replayable.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn postpone(target: &mut Target, now: Duration, random: u64) {
    target.state = State::Away;
    target.not_before = now + backoff(target.failures, random);
    target.failures = target.failures.saturating_add(1);
}

/// Adds `address` unless it is there or the list is full; returns whether it was added.
fn keep(list: &mut Vec<Multiaddr>, address: Multiaddr) -> bool {
    let new = !list.contains(&address) && list.len() < ADDRESSES_PER_SOURCE_MAX;
    if new {
        list.push(address);
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Duration = Duration::ZERO;

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap()
    }

    fn one(seed: u64) -> (Dialler, PeerId) {
        let peer = PeerId::random();
        let mut dialler = Dialler::new(seed);
        assert!(dialler.allow([(peer, vec![address(1)])], ZERO).is_empty());
        (dialler, peer)
    }

    #[test]
    fn backoff_grows_from_a_quarter_second_to_a_minute_and_never_leaves_these_bounds() {
        for failures in (0..70).chain([u32::MAX]) {
            for random in [0, 1, 17, u64::MAX / 3, u64::MAX] {
                let pause = backoff(failures, random);
                assert!((BACKOFF_MIN..=BACKOFF_MAX).contains(&pause), "{failures}: {pause:?}");
            }
        }
        assert_eq!(backoff(0, 0), BACKOFF_MIN);
        assert_eq!(backoff(7, 30_000), BACKOFF_MAX);
        assert!(backoff(3, 0) >= backoff(2, u64::MAX / 2) / 2);
    }

    #[test]
    fn a_stranger_is_never_dialled_even_if_it_shows_up_on_the_lan() {
        let (mut dialler, peer) = one(1);
        let stranger = PeerId::random();
        assert!(!dialler.found(&stranger, address(2), ZERO));
        dialler.learned(&stranger, vec![address(3)]);
        assert_eq!(dialler.due(ZERO).map(|dial| dial.peer), Some(peer));
        assert_eq!(dialler.due(ZERO), None);
    }

    #[test]
    fn only_a_device_that_was_told_a_code_dials_whoever_shows_up_and_not_without_bounds() {
        let mut dialler = Dialler::of_anybody(1, 3);
        let known = PeerId::random();
        dialler.allow([(known, vec![address(1)])], ZERO);
        let found = (2..20).filter(|port| dialler.found(&PeerId::random(), address(*port), ZERO)).count();
        assert_eq!(found, 2);
        let dials = std::iter::from_fn(|| dialler.due(ZERO)).count();
        assert_eq!(dials, 3);
    }

    #[test]
    fn a_device_without_an_address_waits_until_it_is_found() {
        let peer = PeerId::random();
        let mut dialler = Dialler::new(2);
        dialler.allow([(peer, vec![])], ZERO);
        assert_eq!(dialler.next_due(), None);
        assert!(dialler.found(&peer, address(7), ZERO));
        assert_eq!(dialler.due(ZERO), Some(Dial { peer, addresses: vec![address(7)] }));
    }

    #[test]
    fn failures_postpone_and_an_mdns_hit_a_network_change_or_the_user_end_the_wait() {
        let (mut dialler, peer) = one(3);
        let mut now = ZERO;
        for _ in 0..12 {
            assert!(dialler.due(now).is_some());
            dialler.failed(&peer, now);
            assert_eq!(dialler.due(now), None, "a failed dial has to wait");
            now = dialler.next_due().unwrap();
        }
        assert!(dialler.due(now).is_some());
        dialler.failed(&peer, now);
        assert!(dialler.next_due().unwrap() >= now + Duration::from_secs(30));
        dialler.hurry(now);
        assert!(dialler.due(now).is_some());
        dialler.failed(&peer, now);
        assert!(dialler.next_due().unwrap() <= now + 2 * BACKOFF_MIN, "the count starts again");
        for port in 9..200 {
            assert!(dialler.found(&peer, address(port), now));
        }
        assert_eq!(dialler.due(now), None, "announcements make for one dial a second at most");
        let dial = dialler.due(now + LAN_REDIAL_MIN).unwrap();
        assert_eq!(dial.addresses[0], address(9), "the LAN comes first");
    }

    #[test]
    fn a_connected_device_is_not_dialled_and_one_dial_runs_at_a_time() {
        let (mut dialler, peer) = one(4);
        assert!(dialler.due(ZERO).is_some());
        dialler.hurry(ZERO);
        assert_eq!(dialler.due(ZERO), None, "the dial is still on its way");
        dialler.connected(&peer);
        dialler.failed(&peer, ZERO);
        dialler.hurry(ZERO);
        assert_eq!(dialler.due(ZERO), None, "it dialled us meanwhile");
    }

    #[test]
    fn a_peer_that_hangs_up_at_once_is_dialled_ever_more_slowly() {
        let (mut dialler, peer) = one(5);
        let mut now = ZERO;
        for _ in 0..12 {
            assert!(dialler.due(now).is_some());
            dialler.connected(&peer);
            dialler.ready(&peer, now);
            dialler.disconnected(&peer, now);
            now = dialler.next_due().unwrap();
        }
        let pause = dialler.waiting(&peer, now).unwrap();
        assert_eq!(pause.0, 12);
        assert!(dialler.due(now).is_some());
        dialler.connected(&peer);
        dialler.ready(&peer, now);
        now += SESSION_SETTLED;
        dialler.disconnected(&peer, now);
        assert!(dialler.next_due().unwrap() <= now + 2 * BACKOFF_MIN, "a good session clears it");
    }

    #[test]
    fn a_device_that_left_the_list_is_reported_and_forgotten() {
        let (mut dialler, peer) = one(6);
        let other = PeerId::random();
        assert_eq!(dialler.allow([(other, vec![address(4)])], ZERO), [peer]);
        assert!(!dialler.found(&peer, address(1), ZERO));
        assert_eq!(dialler.due(ZERO).unwrap().peer, other);
    }

    #[test]
    fn what_a_peer_claims_about_itself_stays_bounded() {
        let (mut dialler, peer) = one(7);
        dialler.learned(&peer, (1000..3000).map(address).collect());
        let dial = dialler.due(ZERO).unwrap();
        assert_eq!(dial.addresses.len(), ADDRESSES_PER_DIAL_MAX);
    }
}
