//! The laws of merging, for an app's own models.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::devices::{TestDevice, devices, sync};
use super::random::Random;
use super::story::Story;
use crate::clock::Timestamp;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::oplog::{LogId, Run};
use crate::schema::{ColumnSchema, Model, ModelSchema, Placement, Synced};
use crate::sync::{Replica, Seqs};

/// How many stories are played, each from its own seed.
const CASES: u64 = 16;

/// The devices that write, and those that only receive, each in an order of its own.
const WRITERS: usize = 3;
const RECEIVERS: usize = 2;

/// How many bytes of changes a receiver is sent at a time, at most: one run, a few, all.
const BATCHES_BYTES: [usize; 3] = [1, 4 << 10, 1 << 20];

/// The environment variable that names the one seed to play.
pub(super) const SEED_VARIABLE: &str = "CFOST_SEED";

/// Checks that rows of the model `M` merge as they must, whatever values the devices write and however
/// their changes travel: the one line to have in an app's tests.
///
/// Some devices of one user insert, update, delete, bring back and undo, with clocks that differ, and sync now
/// and then. Their changes then reach devices that had none of them, one run at a time and many at once, in
/// other orders, and some of them twice. In the end
///
/// - all devices show the same rows: merging is **commutative** (the order doesn't matter), **associative** (the
///   batches don't) and **idempotent** (what comes twice counts once);
/// - on each of them the rows are those that [`Db::verify`](crate::db::Db::verify) makes from the oplog;
/// - [`Db::at`](crate::db::Db::at) shows the same rows as of now, and [`Db::explain`](crate::db::Db::explain) says the
///   same of each where it was written and where it was received.
///
/// What is generated are values that the columns can hold, not values of the fields' types: an enum's column
/// is given texts that are none of its variants. References to models that aren't given are taken for plain
/// columns; see [`merge_laws_of`]. All rows live in the home space of the one user that the devices have, whatever the
/// model says of spaces: rows merge the same in all of them.
///
/// The stories are the same on every run. `CFOST_SEED=7 cargo test` plays the one of seed 7 alone.
///
/// # Panics
/// When a law doesn't hold, with the seed and the story.
pub fn merge_laws<M: Synced>() {
    merge_laws_of([Model::of::<M>()]);
}

/// [`merge_laws`] for several models together, with the references between them:
/// `merge_laws_of(models![List, Todo])`.
///
/// # Panics
/// As [`merge_laws`].
pub fn merge_laws_of(models: impl AsRef<[Model]>) {
    let models = alone(models.as_ref());
    for seed in chosen_seed().map_or_else(|| (0..CASES).collect(), |seed| vec![seed]) {
        let mut told = Vec::new();
        if let Err(broken) = check(&models, seed, &mut told) {
            let story: String = told.iter().enumerate().map(|(n, step)| format!("\n{:4}. {step}", n + 1)).collect();
            panic!("{broken}\nseed {seed}; `{SEED_VARIABLE}={seed} cargo test` plays it again. What happened:{story}");
        }
    }
}

/// The seed that the environment names, if any.
///
/// # Panics
/// When it isn't a number.
pub(super) fn chosen_seed() -> Option<u64> {
    let seed = std::env::var(SEED_VARIABLE).ok()?;
    Some(seed.parse().unwrap_or_else(|_| panic!("{SEED_VARIABLE} is '{seed}': set it to a seed, a number")))
}

/// The models without references to others than these, their rows all in the home space.
pub(super) fn alone(models: &[Model]) -> Vec<Model> {
    let known = |column: &ColumnSchema| {
        let named = column.reference.map(|reference| reference.table);
        named.is_none_or(|table| models.iter().any(|model| model.schema.table == table))
    };
    let alone = |model: &Model| {
        let schema = model.schema;
        if schema.columns.iter().all(known) && schema.space == Placement::Home {
            return *model;
        }
        let columns = schema.columns.iter().map(|column| {
            let reference = column.reference.filter(|_| known(column));
            ColumnSchema { reference, immutable: schema.keeps(column), ..*column }
        });
        // A schema lives as long as the process, also one that a test makes.
        let columns: &'static [ColumnSchema] = Box::leak(columns.collect());
        Model { schema: Box::leak(Box::new(ModelSchema { columns, space: Placement::Home, ..*schema })) }
    };
    models.iter().map(alone).collect()
}

fn check(models: &[Model], seed: u64, told: &mut Vec<String>) -> Result<()> {
    let all = devices(WRITERS + RECEIVERS, models, seed)?;
    let (writers, receivers) = all.split_at(WRITERS);
    let schemas = models.iter().map(|model| model.schema).collect();
    let mut story = Story::new(writers, schemas, Random::new(seed));
    let played = story.play();
    let rows = story.rows;
    *told = story.told;
    played?;
    // By then no clock is behind what the others have written.
    let newest_ms = all.iter().map(|device| device.host.now_ms()).max().unwrap_or_default();
    for device in &all {
        device.clock.set(newest_ms + 60_000);
    }
    for _ in 0..2 {
        for writer in &writers[1..] {
            sync(&writers[0].db, &writer.db)?;
        }
    }
    for (n, receiver) in receivers.iter().enumerate() {
        deliver(&writers[0].db, &receiver.db, Random::new(!seed ^ n as u64), told)?;
    }
    compare(&all)?;
    compare_explanations([&all[0], &all[WRITERS]], &rows)
}

/// Sends all that a device holds to one that holds nothing.
pub(super) fn deliver(from: &Db, to: &Db, mut random: Random, told: &mut Vec<String>) -> Result<()> {
    let (source, target) = (from.replica()?, to.replica()?);
    for space in source.spaces(target.device()).map_err(Error::abort)? {
        let frontier = source.frontier(space).map_err(Error::abort)?;
        let heads: Seqs = frontier.iter().map(|(log, head)| (log, head.seq)).collect();
        let mut held: Seqs =
            target.frontier(space).map_err(Error::abort)?.iter().map(|(log, head)| (log, head.seq)).collect();
        let (mut batch, mut sent): (Vec<Run>, Vec<Run>) = (Vec::new(), Vec::new());
        loop {
            let missing = |(log, seq): (&LogId, &u64)| (held.get(log).copied().unwrap_or(0) < *seq).then_some(*log);
            let missing: Vec<LogId> = heads.iter().filter_map(missing).collect();
            if missing.is_empty() {
                break;
            }
            // As if all other logs were there: nothing is sent before it but what is of the same log.
            let log = *random.pick(&missing);
            let asked: Seqs = heads
                .iter()
                .map(|(other, seq)| (*other, if *other == log { held.get(&log).copied().unwrap_or(0) } else { *seq }))
                .collect();
            for served in source.runs_after(space, &asked, *random.pick(&BATCHES_BYTES)).map_err(Error::abort)? {
                held.insert(served.run.log, served.head.seq);
                sent.push(served.run.clone());
                batch.push(served.run);
            }
            if random.percent(30) {
                batch.push(random.pick(&sent).clone());
            }
            if random.percent(60) {
                apply(&*target, std::mem::take(&mut batch), told)?;
            }
        }
        apply(&*target, batch, told)?;
    }
    Ok(())
}

fn apply(target: &dyn Replica, runs: Vec<Run>, told: &mut Vec<String>) -> Result<()> {
    let parts = runs.iter().map(|run| format!("{}..={} of {}", run.first_seq, run.last_seq(), run.log));
    told.push(format!("device {} receives {}", target.device(), parts.collect::<Vec<_>>().join(", ")));
    let applied = target.apply(runs).map_err(Error::abort)?;
    match applied.refused.first() {
        Some(refused) => Err(Error::abort(format!("a run of log {} was refused: {:?}", refused.log, refused.why))),
        None => Ok(()),
    }
}

/// Compares what all devices show, and what each of them shows with its oplog.
fn compare(devices: &[TestDevice]) -> Result<()> {
    let first = devices[0].db.store().dump()?;
    for (n, device) in devices.iter().enumerate() {
        let store = device.db.store();
        if let Some(difference) = difference(&first, &store.dump()?) {
            return Err(Error::abort(format!(
                "devices 0 and {n} hold the same changes and show other rows: {difference}"
            )));
        }
        if let Some(difference) = device.db.verify()?.differences.first() {
            return Err(Error::abort(format!("device {n} shows other rows than its oplog gives: {difference}")));
        }
    }
    match difference(&first, &devices[0].db.store().dump_at(Timestamp::MAX)?) {
        Some(difference) => Err(Error::abort(format!("the rows of device 0 as of now are not its rows: {difference}"))),
        None => Ok(()),
    }
}

/// Compares why rows are as they are: that too follows from the changes alone.
fn compare_explanations([writer, receiver]: [&TestDevice; 2], rows: &[(usize, Uuid)]) -> Result<()> {
    for (table, id) in rows {
        let explain = |device: &TestDevice| device.db.store().explain(*table, *id);
        let (one, other) = (explain(writer)?, explain(receiver)?);
        if one != other {
            return Err(Error::abort(format!("two devices explain a row in other ways:\n{one}\n{other}")));
        }
    }
    Ok(())
}

/// The first table in which two dumps differ, and how.
pub(super) fn difference(one: &BTreeMap<String, Vec<String>>, other: &BTreeMap<String, Vec<String>>) -> Option<String> {
    let (table, rows) = one.iter().find(|(table, rows)| other.get(*table) != Some(*rows))?;
    let others = other.get(table)?;
    let only = |these: &[String], those: &[String]| {
        these.iter().filter(|row| !those.contains(row)).map(|row| format!("\n      {row}")).collect::<String>()
    };
    Some(format!("in '{table}'\n    the one has{}\n    the other has{}", only(rows, others), only(others, rows)))
}
