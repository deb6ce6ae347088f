//! `cfost verify`: whether the oplog of a database is as it was written.

use cfost::store::Verification;

use super::Report;

pub(super) fn report(found: &Verification) -> Report {
    let text = match found.is_sound() {
        true => format!("Sound: {} changes, each as it was written.", found.changes),
        false => {
            let damage = found.differences.iter().map(|difference| format!("{difference}\n"));
            format!(
                "{}\nThe app repairs it: `db.repair()`; other devices send again what is cut out.",
                damage.collect::<String>()
            )
        }
    };
    Report { text, is_fine: found.is_sound() }
}
