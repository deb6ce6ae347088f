//! Devices of several users that share spaces, meet at random, and are added and removed meanwhile.

use std::collections::BTreeMap;

use cfost_runtime::identity::Role;
use cfost_runtime::oplog::SpaceId;
use cfost_runtime::sync::pipe::{End, Pipe};
use cfost_runtime::sync::{CloseReason, ErrorCode, Event, SyncError};
use rand::RngExt;
use rand::rngs::StdRng;

use super::*;

const USERS: usize = 3;

/// Three users with two devices each; device `n` is one of user `n / 2`.
struct Neighbours {
    random: StdRng,
    devices: Vec<Arc<Device>>,
    lines: Vec<([usize; 2], Pipe)>,
    /// The spaces, and who has ever been invited to each.
    spaces: BTreeMap<SpaceId, Vec<usize>>,
    story: Vec<String>,
}

impl Neighbours {
    fn new(seed: u64) -> Self {
        let mut devices = Vec::new();
        for user in 0..USERS {
            let phone = first_device(seed * 10 + user as u64);
            let laptop = phone.pair("laptop");
            devices.extend([phone, laptop]);
        }
        let story = vec![format!("seed {seed}")];
        let (random, spaces) = (random(seed), BTreeMap::new());
        let mut all = Self { random, devices, lines: Vec::new(), spaces, story };
        // Everybody has a list that one other is invited to, so that all know somebody.
        for user in 0..USERS {
            let space = all.devices[2 * user].found();
            all.spaces.insert(space, vec![user]);
            all.invite(space, 2 * user, (user + 1) % USERS, Role::Writer);
        }
        all
    }

    fn invite(&mut self, space: SpaceId, by: usize, user: usize, role: Role) {
        let guest = 2 * user + self.random.random_range(0..2);
        self.story.push(format!("{by} invites {guest} to {space} as {role}"));
        self.devices[by].invite(space, &self.devices[guest], role);
        let invited = self.spaces.get_mut(&space).unwrap();
        if !invited.contains(&user) {
            invited.push(user);
        }
        self.changed(by, None);
        self.changed(guest, None);
    }

    fn changed(&mut self, device: usize, but: Option<usize>) {
        for (index, (ends, pipe)) in self.lines.iter_mut().enumerate() {
            for end in End::BOTH {
                if ends[end as usize] == device && but != Some(index) {
                    pipe.changed(end);
                }
            }
        }
    }

    fn role(&self, device: usize, space: SpaceId, user: usize) -> Option<Role> {
        self.devices[device].role(space, self.devices[2 * user].user())
    }

    fn step(&mut self) {
        let device = self.random.random_range(0..self.devices.len());
        let space = *self.spaces.keys().nth(self.random.random_range(0..self.spaces.len())).unwrap();
        let role = self.role(device, space, device / 2);
        let user = self.random.random_range(0..USERS);
        match self.random.random_range(0..100) {
            0..12 if role.is_some_and(|role| role >= Role::Writer) => {
                self.story.push(format!("{device} writes in {space}"));
                self.devices[device].write_in(space, "something");
                self.changed(device, None);
            }
            12..14 if role == Some(Role::Owner) && user != device / 2 => {
                if self.role(device, space, user).is_none() {
                    let role = if self.random.random() { Role::Writer } else { Role::Reader };
                    self.invite(space, device, user, role);
                } else {
                    self.end(device, space, user);
                }
            }
            14 if role.is_some_and(|role| role < Role::Owner) => self.end(device, space, device / 2),
            15..27 if self.lines.len() < 12 => {
                let listener = self.random.random_range(0..self.devices.len());
                if listener != device {
                    self.story.push(format!("{device} dials {listener}"));
                    let pipe = connect(&self.devices[device], &self.devices[listener]);
                    self.lines.push(([device, listener], pipe));
                }
            }
            27..30 if !self.lines.is_empty() => {
                let index = self.random.random_range(0..self.lines.len());
                let (ends, _) = self.lines.swap_remove(index);
                self.story.push(format!("{ends:?} are cut off"));
            }
            _ if !self.lines.is_empty() => {
                let index = self.random.random_range(0..self.lines.len());
                let end = if self.random.random() { End::Dialer } else { End::Listener };
                let bytes = self.random.random_range(1..4000);
                self.lines[index].1.wake(end);
                self.lines[index].1.deliver(end, bytes);
                self.settle(index);
            }
            _ => {}
        }
    }

    fn end(&mut self, by: usize, space: SpaceId, user: usize) {
        self.story.push(format!("{by} ends user {user} in {space}"));
        self.devices[by].end(space, self.devices[2 * user].user());
        self.changed(by, None);
    }

    /// Tells the other lines of what a line brought. A session may end because nothing is shared, and for no other reason.
    fn settle(&mut self, index: usize) {
        for end in End::BOTH {
            let (ends, pipe) = &mut self.lines[index];
            let device = ends[end as usize];
            for event in pipe.take_events(end) {
                match event {
                    Event::Applied { .. } | Event::IdentitiesLearned { .. } => self.changed(device, Some(index)),
                    Event::Closed {
                        reason:
                            CloseReason::ByPeer(ErrorCode::NOTHING_SHARED)
                            | CloseReason::Failed(SyncError::NothingShared { .. } | SyncError::NotAuthorised { .. }),
                    } => {}
                    // Who is a stranger here is not told why.
                    Event::Closed { reason: CloseReason::Failed(SyncError::Stranger { .. }) } => {}
                    Event::Closed { .. } | Event::LogSkipped { .. } | Event::OwnLogBehind { .. } => {
                        panic!("device {device}: {event:?}\n{}", self.story.join("\n"))
                    }
                    _ => {}
                }
            }
        }
    }

    /// Everybody meets everybody, until nothing moves, several times.
    fn come_together(&mut self) {
        for _ in 0..USERS + 1 {
            self.lines.clear();
            for dialer in 0..self.devices.len() {
                for listener in (0..self.devices.len()).filter(|listener| *listener != dialer) {
                    self.lines.push(([dialer, listener], connect(&self.devices[dialer], &self.devices[listener])));
                    self.run();
                }
            }
        }
    }

    fn run(&mut self) {
        let mut moved = true;
        while std::mem::take(&mut moved) {
            for index in 0..self.lines.len() {
                for end in End::BOTH {
                    moved |= self.lines[index].1.turn(end);
                }
                self.settle(index);
            }
        }
        self.lines.retain(|(_, pipe)| !pipe.session(End::Dialer).is_closed());
    }

    /// What a device holds of a space.
    fn held(&self, device: usize, space: SpaceId) -> Vec<Vec<Vec<u8>>> {
        let held = self.devices[device].contents().into_iter().filter(|((of, _), _)| *of == space);
        held.map(|(_, changes)| changes).collect()
    }

    fn check(&self) {
        let story = || self.story.join("\n");
        for (space, invited) in &self.spaces {
            let owner = 2 * invited[0];
            for device in 0..self.devices.len() {
                let user = device / 2;
                let is_in = self.role(device, *space, user).is_some();
                assert_eq!(is_in, self.role(owner, *space, user).is_some(), "{device} in {space}\n{}", story());
                if is_in {
                    assert!(self.held(device, *space) == self.held(owner, *space), "{device} in {space}\n{}", story());
                }
                if !invited.contains(&user) {
                    assert!(self.held(device, *space).is_empty(), "{device} holds changes of {space}\n{}", story());
                    let logs = self.devices[device].logs().unwrap();
                    assert!(!logs.spaces.contains_key(space), "{device} knows of {space}\n{}", story());
                }
            }
        }
    }
}

#[test]
fn users_who_come_and_go_hold_the_same_of_what_they_share_and_nothing_else() {
    for seed in seeds() {
        let mut all = Neighbours::new(seed);
        for _ in 0..500 {
            all.step();
        }
        all.come_together();
        all.check();
    }
}

/// The seeds to try: a fixed few, or the one in `CFOST_SEED`.
fn seeds() -> Vec<u64> {
    match std::env::var("CFOST_SEED") {
        Ok(seed) => vec![seed.parse().expect("CFOST_SEED is a number")],
        Err(_) => (1..=12).collect(),
    }
}
