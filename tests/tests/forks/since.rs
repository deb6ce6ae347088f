//! A device that was in other hands for a while is revoked from then on.

use super::*;

const HOUR_MS: u64 = 3_600_000;

#[test]
fn what_a_device_wrote_since_it_was_stolen_goes_everywhere_and_what_it_wrote_before_stays() {
    let devices = fleet::devices(3, &models![Todo], 77).unwrap();
    let [phone, laptop, tablet] = &devices[..] else { panic!("three") };
    for (hour, title) in ["at home", "on the train", "by the thief", "by the thief again"].iter().enumerate() {
        devices.iter().for_each(|device| device.clock.set(START_MS + hour as u64 * HOUR_MS));
        laptop.db.insert(todo(title)).unwrap();
    }
    meet(&laptop.db, &phone.db);
    meet(&phone.db, &tablet.db);
    let id = laptop.db.devices().unwrap().into_iter().find(|device| device.is_this).unwrap().id;
    phone.db.revoke_device(id).unwrap();
    assert_eq!(titles(&phone.db).len(), 4, "what is known when a device is revoked stays");
    phone.db.revoke_device_since(id, START_MS + 2 * HOUR_MS).unwrap();
    meet(&phone.db, &tablet.db);
    let honest = [&devices[0], &devices[2]];
    for device in honest {
        assert_eq!(titles(&device.db), ["at home", "on the train"]);
        assert_sound(&device.db);
    }
    // It can be cut off earlier, and not later.
    tablet.db.revoke_device_since(id, START_MS + HOUR_MS).unwrap();
    phone.db.revoke_device_since(id, START_MS + 9 * HOUR_MS).unwrap();
    meet(&phone.db, &tablet.db);
    for device in honest {
        assert_eq!(titles(&device.db), ["at home"]);
        assert_sound(&device.db);
    }
}
