//! Several devices of one user in one process: their databases are real and in memory, their clocks and
//! their randomness come from a seed, and what is between them is a pipe.

use crate::db::Db;
use crate::error::{Error, Result};
use crate::host::{Host, ManualClock};
use crate::identity::pairing::{Invitation, Inviter, InviterEvent, Joiner, JoinerEvent};
use crate::schema::Model;
use crate::sync::Event;
use crate::sync::pipe::{End, Pipe};

/// When the clocks of [`devices`] begin, in Unix milliseconds.
pub(super) const START_MS: u64 = 1_790_000_000_000;

/// A device of the fleet that [`devices`] makes.
#[derive(Debug)]
#[non_exhaustive]
pub struct TestDevice {
    /// Its database, in memory.
    pub db: Db,
    /// Its wall clock, which moves by hand only.
    pub clock: ManualClock,
    /// The same clock, with the device's randomness.
    pub host: Host,
}

/// `count` devices of one user that know of each other. The same `seed` makes the same devices.
///
/// # Errors
/// When a database can't be opened, or a pairing fails.
pub fn devices(count: usize, models: &[Model], seed: u64) -> Result<Vec<TestDevice>> {
    let mut devices: Vec<TestDevice> = Vec::new();
    for n in 0..count {
        let clock = ManualClock::at(START_MS);
        let host = Host::simulated(clock.clone(), seed.wrapping_mul(1000).wrapping_add(n as u64));
        let db = Db::options().host(host.clone()).device_name(format!("device {n}")).open_in_memory(models)?;
        if let Some(first) = devices.first() {
            pair(&first.db, &db, &host)?;
        }
        devices.push(TestDevice { db, clock, host });
    }
    // Those that joined early hear of those that came later.
    for device in devices.iter().skip(1) {
        sync(&devices[0].db, &device.db)?;
    }
    Ok(devices)
}

/// Makes the database of `joiner` a device of the user of `inviter`: the real pairing, with the digits
/// typed at once. `host` is where the joiner's time and randomness come from.
///
/// # Errors
/// When one side refuses.
pub fn pair(inviter: &Db, joiner: &Db, host: &Host) -> Result<()> {
    let (inviting, joining) = (inviter.device_keys()?, joiner.device_keys()?);
    let invitation = Invitation::create(host, inviter.user()?.id, &inviting.public(), []);
    let mut authorised = Inviter::new(host.clone(), invitation.clone());
    let mut new = Joiner::new(host.clone(), invitation, joining.clone(), "new device")?;
    let request = new.start(&inviting.public().transport)?;
    if let InviterEvent::Consume(pairing) = authorised.receive(&joining.public().transport, &request)? {
        inviter.consume_pairing(pairing)?;
    }
    let JoinerEvent::ShowDigits(digits) = new.receive(&authorised.consumed()?)? else {
        return Err(Error::abort("the joining device showed no digits"));
    };
    let admitted = inviter.admit(authorised.confirm(&digits.to_string())?)?;
    let keys: Vec<_> = admitted.space_keys.iter().map(|(space, key)| (*space, key)).collect();
    for message in authorised.admit(&admitted.log, &keys)? {
        if let JoinerEvent::Joined(joined) = new.receive(&message)? {
            joiner.become_device(&joined)?;
        }
    }
    Ok(())
}

/// Runs one session between two devices, after which both hold the same.
///
/// # Errors
/// When the session ends before that.
pub fn sync(dialer: &Db, listener: &Db) -> Result<()> {
    let mut pipe = Pipe::connect(dialer.replica()?, listener.replica()?, START_MS).map_err(Error::abort)?;
    pipe.run();
    for end in End::BOTH {
        for event in pipe.take_events(end) {
            if let Event::Closed { reason, .. } = event {
                return Err(Error::abort(format!("{end:?} closed: {reason:?}")));
            }
        }
    }
    Ok(())
}
