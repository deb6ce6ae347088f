//! The command that shows the audit trail: who changed what, when, on which device.

use std::collections::{BTreeMap, VecDeque};

use cfost::prelude::*;
use cfost::schema::Value;
use cfost::store::OpData;

use crate::failure::Failure;
use crate::pick::short_ids;
use crate::term::{Look, Screen, Table, counted, utc};

/// Shows the newest `limit` entries of the oplog, or all if it is 0.
pub(crate) fn show(db: &Db, limit: usize, screen: &mut Screen) -> Result<(), Failure> {
    let mut newest = VecDeque::new();
    let mut total = 0;
    for entry in db.oplog()? {
        newest.push_back(entry?);
        total += 1;
        if limit > 0 && newest.len() > limit {
            newest.pop_front();
        }
    }
    if newest.is_empty() {
        return screen.line("Nothing was changed yet.");
    }
    let devices: BTreeMap<_, _> =
        db.devices()?.into_iter().chain(db.former_devices()?).map(|device| (device.id, device.name)).collect();
    let ids = short_ids(newest.iter().map(|entry| entry.row_id));
    let mut table = Table::new(&["TIME (UTC)", "DEVICE", "OP", "ID", "WHAT"]);
    for (entry, id) in newest.iter().zip(ids) {
        let device = devices.get(&entry.device_id).cloned().unwrap_or_else(|| entry.device_id.to_string());
        let what: Vec<String> = entry.data.iter().filter_map(|(column, data)| said(column, data)).collect();
        table.row([
            (Look::Dim, utc(entry.timestamp.ms())),
            (Look::Accent, device),
            (Look::Bold, format!("{:?}", entry.op_type).to_lowercase()),
            (Look::Accent, id),
            (Look::Plain, what.join(", ")),
        ]);
    }
    screen.table(&table)?;
    let shown = newest.len();
    if shown < total {
        let more = format!("{} more before; 'todo oplog -n 0' shows all", counted(total - shown, "entry"));
        screen.line("")?;
        screen.line(screen.paint(Look::Dim, more))?;
    }
    Ok(())
}

/// What an op does to a column, in words. A new todo's unset columns are not worth any.
fn said(column: &str, data: &OpData) -> Option<String> {
    match (column, data) {
        (_, OpData::Write(Value::Text(text))) => Some(format!("{column} \"{text}\"")),
        ("completed", OpData::Write(Value::Integer(value))) => {
            Some(if *value == 0 { "open" } else { "done" }.to_owned())
        }
        (_, OpData::Write(Value::Integer(value))) => Some(format!("{column} {value}")),
        (_, OpData::Add(0)) => None,
        (_, OpData::Add(delta)) => Some(format!("{column} {delta:+}")),
        (_, other) => Some(format!("{column} {other:?}")),
    }
}
