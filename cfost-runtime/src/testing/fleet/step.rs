//! What can happen in a story, as values: a step means the same whatever steps before it are left out.

use super::super::random::Random;

/// How many rows of each model the devices write to.
pub(super) const ROWS: usize = 4;

/// The most that a clock jumps, in milliseconds.
const JUMP_MS_MAX: usize = 40_000;

/// A jump beyond what devices believe of each other's clocks, in milliseconds.
const FAR_JUMP_MS: i64 = 600_000;

/// A row that the devices of a story write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RowName {
    /// Its table's number among those of all versions.
    pub(super) table: usize,
    pub(super) row: usize,
}

/// Something that happens. Devices are told by their numbers in the [`Plan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Insert {
        device: usize,
        row: RowName,
        draw: u64,
    },
    Edit {
        device: usize,
        edit: Edit,
    },
    Delete {
        device: usize,
        row: RowName,
    },
    Undo {
        device: usize,
    },
    Sync {
        devices: [usize; 2],
    },
    BadSync {
        devices: [usize; 2],
        draw: u64,
    },
    /// Two devices connect, and stay so.
    Connect {
        devices: [usize; 2],
    },
    /// A device loses its connections.
    Disconnect {
        device: usize,
    },
    /// A device edits a row and dies while it tells another one.
    Kill {
        devices: [usize; 2],
        edit: Edit,
    },
    /// The network falls apart, into the devices whose bits are set and the others.
    Split {
        side: u64,
    },
    Heal,
    Upgrade {
        device: usize,
    },
    Restart {
        device: usize,
    },
    Clock {
        device: usize,
        ms: i64,
    },
}

/// New values for some fields of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) row: RowName,
    /// The fields whose bits are set: columns first, then collections.
    pub(super) fields: u64,
    /// What the values are drawn from.
    pub(super) draw: u64,
}

/// A device of a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// Its number among the devices that were paired.
    pub(super) paired: usize,
    /// The version that it starts with.
    pub(super) version: usize,
}

/// A story before it is played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) devices: Vec<Start>,
    pub(super) steps: Vec<Step>,
}

impl Step {
    /// The devices that do something, by their numbers.
    pub(super) fn devices(&mut self) -> &mut [usize] {
        match self {
            Self::Insert { device, .. }
            | Self::Edit { device, .. }
            | Self::Delete { device, .. }
            | Self::Undo { device }
            | Self::Upgrade { device }
            | Self::Restart { device }
            | Self::Disconnect { device }
            | Self::Clock { device, .. } => std::slice::from_mut(device),
            Self::Sync { devices }
            | Self::BadSync { devices, .. }
            | Self::Connect { devices }
            | Self::Kill { devices, .. } => devices,
            Self::Split { .. } | Self::Heal => &mut [],
        }
    }
}

/// What stories are made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) versions: usize,
    pub(super) tables: usize,
    pub(super) devices: usize,
    pub(super) steps: usize,
}

impl Plan {
    /// The story of a seed. Devices start with the versions `installed`, or with any, the oldest among them.
    pub(super) fn draw(sizes: Sizes, installed: Option<&[usize]>, random: &mut Random) -> Self {
        let mut devices: Vec<Start> = (0..sizes.devices)
            .map(|n| {
                let version = random.below(sizes.versions);
                Start { paired: n, version: installed.map_or(version, |versions| versions[n]) }
            })
            .collect();
        if installed.is_none()
            && let Some(oldest) = devices.first_mut()
        {
            oldest.version = 0;
        }
        let steps = (0..sizes.steps).map(|_| draw_step(sizes, random)).collect();
        Self { devices, steps }
    }
}

fn draw_step(sizes: Sizes, random: &mut Random) -> Step {
    let device = random.below(sizes.devices);
    let other = (device + 1 + random.below(sizes.devices.max(2) - 1)) % sizes.devices;
    let row = RowName { table: random.below(sizes.tables.max(1)), row: random.below(ROWS) };
    // One field at least, and each other one now and then.
    let fields = 1 << random.below(8) | (random.next() & random.next());
    let draw = random.next();
    let edit = Edit { row, fields, draw };
    let ms = random.below(JUMP_MS_MAX) as i64;
    match random.below(100) {
        0..15 => Step::Insert { device, row, draw },
        15..48 => Step::Edit { device, edit },
        48..55 => Step::Delete { device, row },
        55..58 => Step::Undo { device },
        58..68 => Step::Sync { devices: [device, other] },
        68..71 => Step::Connect { devices: [device, other] },
        71..73 => Step::Disconnect { device },
        73..80 => Step::BadSync { devices: [device, other], draw },
        80..84 => Step::Kill { devices: [device, other], edit },
        84..86 => Step::Split { side: draw },
        86..89 => Step::Heal,
        89..93 => Step::Upgrade { device },
        93..96 => Step::Restart { device },
        96..99 => Step::Clock { device, ms: ms - JUMP_MS_MAX as i64 / 4 },
        _ => Step::Clock { device, ms: FAR_JUMP_MS },
    }
}
