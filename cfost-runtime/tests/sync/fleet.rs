//! Many devices that meet at random, until all hold the same.

use cfost_runtime::sync::pipe::End;
use rand::RngExt;
use rand::rngs::StdRng;

use super::*;

/// A connection between two of the devices, by their numbers.
struct Line {
    ends: [usize; 2],
    pipe: Pipe,
}

/// Devices that write, pair, rename, meet, are cut off and meet again, all at random from one seed.
struct Fleet {
    random: StdRng,
    devices: Vec<Arc<Device>>,
    lines: Vec<Line>,
    written: usize,
    story: Vec<String>,
}

impl Fleet {
    fn new(seed: u64, devices: usize) -> Self {
        let first = first_device(seed);
        let mut fleet = Self {
            random: random(seed),
            devices: vec![first],
            lines: Vec::new(),
            written: 0,
            story: vec![format!("seed {seed}")],
        };
        while fleet.devices.len() < devices {
            fleet.pair();
        }
        fleet
    }

    /// Any device pairs a new one: the others learn of it from each other.
    fn pair(&mut self) {
        let by = self.random.random_range(0..self.devices.len());
        let new = self.devices[by].pair(&format!("device {}", self.devices.len()));
        self.story.push(format!("{by} pairs {}", self.devices.len()));
        self.devices.push(new);
        self.changed(by, None);
    }

    /// Everyone who is connected with a device whose database changed is told.
    fn changed(&mut self, device: usize, but: Option<usize>) {
        for (index, line) in self.lines.iter_mut().enumerate() {
            for end in End::BOTH {
                if line.ends[end as usize] == device && but != Some(index) {
                    line.pipe.changed(end);
                }
            }
        }
    }

    fn step(&mut self) {
        let device = self.random.random_range(0..self.devices.len());
        match self.random.random_range(0..100) {
            0..20 => {
                let count = self.random.random_range(1..6);
                self.story.push(format!("{device} writes {count}"));
                self.devices[device].write_many(count);
                self.written += count;
                self.changed(device, None);
            }
            20..22 => {
                self.story.push(format!("{device} renames itself"));
                self.devices[device].rename(&format!("device {device}, {}", self.story.len()));
                self.changed(device, None);
            }
            22..32 => self.meet(device),
            32..37 if !self.lines.is_empty() => {
                let line = self.random.random_range(0..self.lines.len());
                let mut line = self.lines.swap_remove(line);
                self.story.push(format!("{:?} are cut off", line.ends));
                line.pipe.disconnect();
            }
            _ if !self.lines.is_empty() => {
                let line = self.random.random_range(0..self.lines.len());
                self.carry(line);
            }
            _ => {}
        }
    }

    /// A device dials another that it knows.
    fn meet(&mut self, dialer: usize) {
        let listener = self.random.random_range(0..self.devices.len());
        let known = self.devices[dialer].identity().unwrap().device(self.devices[listener].device()).is_some();
        if dialer != listener && known && self.lines.len() < 2 * self.devices.len() {
            self.story.push(format!("{dialer} dials {listener}"));
            let pipe = connect(&self.devices[dialer], &self.devices[listener]);
            self.lines.push(Line { ends: [dialer, listener], pipe });
        }
    }

    /// Some bytes arrive at one end of a line.
    fn carry(&mut self, index: usize) {
        let end = if self.random.random() { End::Dialer } else { End::Listener };
        let bytes = self.random.random_range(1..4000);
        let line = &mut self.lines[index];
        line.pipe.wake(end);
        line.pipe.deliver(end, bytes);
        self.settle(index);
    }

    /// Tells the other lines of what a line brought, and asserts that the line goes on.
    fn settle(&mut self, index: usize) {
        for end in End::BOTH {
            let events = self.lines[index].pipe.take_events(end);
            let device = self.lines[index].ends[end as usize];
            for event in events {
                match event {
                    Event::Applied { .. } | Event::IdentitiesLearned { .. } => self.changed(device, Some(index)),
                    Event::Closed { .. } | Event::LogSkipped { .. } | Event::OwnLogBehind { .. } => {
                        panic!("device {device}: {event:?}\n{}", self.story.join("\n"))
                    }
                    _ => {}
                }
            }
        }
    }

    /// Cuts every line, connects everyone in a ring that starts at the first device, and waits.
    fn come_together(&mut self) {
        self.lines.clear();
        for _ in 0..self.devices.len() {
            for dialer in 0..self.devices.len() {
                for listener in 0..self.devices.len() {
                    let known = self.devices[dialer].identity().unwrap().device(self.devices[listener].device());
                    if dialer != listener && known.is_some() && self.random.random_ratio(1, 2) {
                        let pipe = connect(&self.devices[dialer], &self.devices[listener]);
                        self.lines.push(Line { ends: [dialer, listener], pipe });
                    }
                }
            }
            self.run();
            if self.are_equal() {
                return;
            }
            self.lines.clear();
        }
    }

    fn run(&mut self) {
        loop {
            let mut moved = false;
            for index in 0..self.lines.len() {
                for end in End::BOTH {
                    moved |= self.lines[index].pipe.turn(end);
                }
                self.settle(index);
            }
            if !moved {
                return;
            }
        }
    }

    fn are_equal(&self) -> bool {
        self.devices.windows(2).all(|pair| {
            pair[0].contents() == pair[1].contents()
                && pair[0].identity().unwrap().digest() == pair[1].identity().unwrap().digest()
        })
    }
}

#[test]
fn devices_that_gossip_at_random_come_to_hold_the_same() {
    for seed in seeds() {
        let mut fleet = Fleet::new(seed, 3 + (seed % 4) as usize);
        for _ in 0..600 {
            fleet.step();
            if fleet.devices.len() < 7 && fleet.random.random_ratio(1, 200) {
                fleet.pair();
            }
        }
        fleet.come_together();
        assert!(fleet.are_equal(), "they differ\n{}", fleet.story.join("\n"));
        assert_eq!(fleet.devices[0].changes(), fleet.written, "{}", fleet.story.join("\n"));
        let names: Vec<_> = fleet.devices.iter().map(|device| device.names()).collect();
        assert!(names.windows(2).all(|pair| pair[0] == pair[1]));
        assert!(fleet.lines.iter().all(|line| End::BOTH.iter().all(|end| line.pipe.session(*end).is_caught_up())));
    }
}

/// The seeds to try: a fixed few, or the one in `CFOST_SEED`.
fn seeds() -> Vec<u64> {
    match std::env::var("CFOST_SEED") {
        Ok(seed) => vec![seed.parse().expect("CFOST_SEED is a number")],
        Err(_) => (1..=30).collect(),
    }
}
