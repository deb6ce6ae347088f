//! Finds the shortest story that still shows what is wrong: by leaving out steps (Zeller and Hildebrandt, *Simplifying
//! and Isolating Failure-Inducing Input*, 2002), by doing with fewer devices, and by simpler steps.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::play::Player;
use super::step::{Edit, Plan, Step};
use super::{FleetReport, Paired};
use crate::error::{Error, Result};
use crate::sync::Seqs;

/// How many stories are played at most to find a shorter one.
const REPLAYS_MAX: usize = 400;

/// What doesn't hold after a story.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) what: String,
    /// The story, a sentence a step.
    pub(super) told: Vec<String>,
    /// The steps that something came of.
    happened: Vec<bool>,
}

/// Plays a story on devices of its own.
pub(super) fn play(paired: &Paired, plan: &Plan) -> Result<FleetReport, Broken> {
    let (mut told, mut happened) = (Vec::new(), Vec::new());
    // A conversion of the app's may panic, and so may an assertion of ours.
    let played = catch_unwind(AssertUnwindSafe(|| play_steps(paired, plan, &mut told, &mut happened)));
    let what = match played {
        Ok(Ok(report)) => return Ok(report),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("a panic: {}", message(&*panic)),
    };
    Err(Broken { what, told, happened })
}

fn play_steps(paired: &Paired, plan: &Plan, told: &mut Vec<String>, happened: &mut Vec<bool>) -> Result<FleetReport> {
    let mut fleet = paired.start(&plan.devices)?;
    let mut player = Player::new(&mut fleet, told);
    for step in &plan.steps {
        // Until it is known to be without effect, it has one.
        happened.push(true);
        let effect = player.step(step)?;
        happened.last_mut().into_iter().for_each(|last| *last = effect);
    }
    if let Err(error) = player.fleet.check() {
        return Err(Error::abort(player.with_names(error.to_string())));
    }
    let steps = happened.iter().filter(|happened| **happened).count() as u64;
    fleet.report(steps)
}

impl super::Fleet {
    /// What the story has come to.
    fn report(&self, steps: u64) -> Result<FleetReport> {
        let mut hasher = blake3::Hasher::new();
        let mut changes = 0;
        for device in &self.devices {
            let replica = device.replica()?;
            changes = 0;
            for space in replica.spaces(replica.device()).map_err(Error::abort)? {
                for served in replica.runs_after(space, &Seqs::new(), usize::MAX).map_err(Error::abort)? {
                    changes += served.run.changes.len() as u64;
                    hasher.update(&served.run.encode());
                }
            }
            for (table, rows) in device.store().dump()? {
                hasher.update(table.as_bytes());
                rows.iter().for_each(|row| _ = hasher.update(row.as_bytes()));
            }
        }
        Ok(FleetReport { stories: 1, steps, changes, digest: *hasher.finalize().as_bytes() })
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

/// The shortest story found that shows something wrong.
pub(super) fn shortest(paired: &Paired, plan: Plan, broken: Broken) -> Broken {
    let mut shrinker = Shrinker { paired, plan, broken, replays: 0 };
    loop {
        let before = shrinker.plan.clone();
        shrinker.drop_idle();
        shrinker.drop_steps();
        shrinker.drop_devices();
        shrinker.simplify();
        if shrinker.plan == before || shrinker.replays >= REPLAYS_MAX {
            return shrinker.broken;
        }
    }
}

struct Shrinker<'p> {
    paired: &'p Paired,
    /// The shortest story so far, and what it shows.
    plan: Plan,
    broken: Broken,
    replays: usize,
}

impl Shrinker<'_> {
    /// Takes another story if it still shows something wrong.
    fn try_plan(&mut self, plan: Plan) -> bool {
        if self.replays >= REPLAYS_MAX || plan == self.plan {
            return false;
        }
        self.replays += 1;
        let Err(broken) = play(self.paired, &plan) else { return false };
        (self.plan, self.broken) = (plan, broken);
        true
    }

    fn try_steps(&mut self, steps: Vec<Step>) -> bool {
        let devices = self.plan.devices.clone();
        self.try_plan(Plan { devices, steps })
    }

    /// Leaves out steps that nothing came of, and those after the one that failed.
    fn drop_idle(&mut self) {
        let steps = self.plan.steps.iter().zip(&self.broken.happened);
        let steps = steps.filter(|(_, happened)| **happened).map(|(step, _)| step.clone()).collect();
        self.try_steps(steps);
    }

    /// Leaves out runs of steps: halves first, then shorter ones, single steps in the end.
    fn drop_steps(&mut self) {
        let mut length = self.plan.steps.len().div_ceil(2);
        while length > 0 {
            // From the end: what comes last depends on what comes first.
            let mut end = self.plan.steps.len();
            while end > 0 {
                let start = end.saturating_sub(length);
                let mut steps = self.plan.steps.clone();
                steps.drain(start..end);
                self.try_steps(steps);
                end = start.min(self.plan.steps.len());
            }
            length = if length == 1 { 0 } else { length.div_ceil(2) };
        }
    }

    /// Does without devices, or has one do what two did.
    fn drop_devices(&mut self) {
        for device in (0..self.plan.devices.len()).rev() {
            if self.plan.devices.len() > 1 && self.try_plan(without(&self.plan, device, None)) {
                continue;
            }
            for other in 0..device {
                if self.try_plan(without(&self.plan, device, Some(other))) {
                    break;
                }
            }
        }
    }

    /// Replaces steps by simpler ones.
    fn simplify(&mut self) {
        for n in 0..self.plan.steps.len() {
            for simpler in simpler(&self.plan.steps[n]) {
                let mut steps = self.plan.steps.clone();
                steps[n] = simpler;
                if self.try_steps(steps) {
                    break;
                }
            }
        }
        for n in 0..self.plan.steps.len() {
            for bit in 0..64 {
                let mut steps = self.plan.steps.clone();
                let (Step::Edit { edit, .. } | Step::Kill { edit, .. }) = &mut steps[n] else { break };
                let without = edit.fields & !(1 << bit);
                if without != edit.fields && without != 0 {
                    edit.fields = without;
                    self.try_steps(steps);
                }
            }
        }
    }
}

/// Steps that do less than this one.
fn simpler(step: &Step) -> Vec<Step> {
    match *step {
        Step::BadSync { devices, .. } | Step::Connect { devices } => vec![Step::Sync { devices }],
        Step::Kill { devices: [device, _], edit } => vec![Step::Edit { device, edit }],
        // One field alone, if that is enough.
        Step::Edit { device, edit } if edit.fields.count_ones() > 1 => {
            let bits = (0..64).filter(|bit| edit.fields >> bit & 1 == 1);
            bits.map(|bit| Step::Edit { device, edit: Edit { fields: 1 << bit, ..edit } }).take(8).collect()
        }
        Step::Clock { device, ms } if ms > 60_000 => vec![Step::Clock { device, ms: 1000 }],
        _ => Vec::new(),
    }
}

/// The story without a device: another one does what it did, or nobody.
fn without(plan: &Plan, device: usize, other: Option<usize>) -> Plan {
    let mut devices = plan.devices.clone();
    devices.remove(device);
    let mut steps = Vec::new();
    for mut step in plan.steps.iter().cloned() {
        let involved = step.devices();
        if other.is_none() && involved.contains(&device) {
            continue;
        }
        for of in involved {
            *of = if *of == device { other.unwrap_or_default() } else { *of - usize::from(*of > device) };
        }
        if let Step::Split { side } = &mut step {
            let below = *side & ((1 << device) - 1);
            *side = below | (*side >> device >> 1) << device;
        }
        steps.push(step);
    }
    Plan { devices, steps }
}

#[cfg(test)]
mod tests {
    use super::super::step::{RowName, Start};
    use super::*;

    fn plan() -> Plan {
        let devices = (0..4).map(|paired| Start { paired, version: 0 }).collect();
        let row = RowName { table: 0, row: 1 };
        let steps = vec![
            Step::Insert { device: 1, row, draw: 7 },
            Step::Sync { devices: [3, 1] },
            Step::Split { side: 0b1010 },
            Step::Delete { device: 2, row },
        ];
        Plan { devices, steps }
    }

    #[test]
    fn a_story_does_without_a_device_or_has_another_one_do_its_part() {
        let row = RowName { table: 0, row: 1 };
        let alone = without(&plan(), 1, None);
        assert_eq!(alone.devices.iter().map(|start| start.paired).collect::<Vec<_>>(), [0, 2, 3]);
        assert_eq!(alone.steps, [Step::Split { side: 0b100 }, Step::Delete { device: 1, row }]);
        let by_another = without(&plan(), 3, Some(0));
        let expected = [
            Step::Insert { device: 1, row, draw: 7 },
            Step::Sync { devices: [0, 1] },
            Step::Split { side: 0b010 },
            Step::Delete { device: 2, row },
        ];
        assert_eq!(by_another.steps, expected);
    }
}
