//! The commands about the user's devices: which there are, and how one goes.

use std::time::{SystemTime, UNIX_EPOCH};

use cfost::identity::Standing;
use cfost::{Db, DeviceInfo};

use crate::failure::Failure;
use crate::term::{Look, Screen, Table, ago};

/// Shows the user's devices, and those that were.
pub(crate) fn show(db: &Db, screen: &mut Screen) -> Result<(), Failure> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    let now_ms = u64::try_from(now_ms).unwrap_or(u64::MAX);
    let mut table = Table::new(&["NAME", "DEVICE", "ADDED", "LAST SEEN"]);
    let former = db.former_devices()?;
    for device in db.devices()?.into_iter().chain(former) {
        let seen = match device.last_seen_ms {
            _ if device.standing != Standing::Active => gone(&device.standing).to_owned(),
            _ if device.is_this => "this device".to_owned(),
            Some(then_ms) => ago(then_ms, now_ms),
            None => "never".to_owned(),
        };
        let look = match device.standing {
            Standing::Active if device.is_this => Look::Good,
            Standing::Active => Look::Plain,
            _ => Look::Dim,
        };
        table.row([
            (Look::Bold, device.name),
            (Look::Accent, device.id.to_string()),
            (Look::Plain, ago(device.added_at.ms(), now_ms)),
            (look, seen),
        ]);
    }
    screen.table(&table)
}

fn gone(standing: &Standing) -> &'static str {
    match standing {
        Standing::Active => "",
        Standing::Retired => "retired",
        Standing::Revoked { .. } => "revoked",
        Standing::LeftOut => "left out",
        Standing::Void => "refused",
    }
}

/// Revokes a device, or lets this one retire.
pub(crate) fn revoke(db: &Db, named: &str, screen: &mut Screen) -> Result<(), Failure> {
    let devices = db.devices()?;
    let device = pick(named, &devices)?;
    db.revoke_device(device.id)?;
    let what = if device.is_this {
        "This device is retired: it can be read here, and not be written.".to_owned()
    } else {
        format!("'{}' is revoked. What it writes from now on is shown nowhere.", device.name)
    };
    screen.line(screen.paint(Look::Good, &what))?;
    screen.line("Your other devices learn of it when they next sync.")
}

/// The device that is named by its name or by the start of its id.
fn pick<'d>(named: &str, devices: &'d [DeviceInfo]) -> Result<&'d DeviceInfo, Failure> {
    let by_name: Vec<_> = devices.iter().filter(|device| device.name == named).collect();
    let by_id = || devices.iter().filter(|device| device.id.to_string().starts_with(&named.to_lowercase()));
    let found = if by_name.is_empty() && !named.is_empty() { by_id().collect() } else { by_name };
    match found.as_slice() {
        [device] => Ok(device),
        [] => Err(Failure::new(format!("no device of yours is called '{named}'"), "'todo devices' shows them")),
        several => Err(Failure::new(
            format!("'{named}' means {} devices", several.len()),
            "write the id, or its start, as 'todo devices' shows it",
        )),
    }
}
