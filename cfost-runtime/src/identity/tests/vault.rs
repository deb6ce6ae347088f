use std::time::Instant;

use proptest::prelude::*;

use super::host;
use crate::identity::{IdentityError, LoginAttempts, MasterKey, PasswordCost, Vault};

const EMAIL: &str = "ana@example.org";
const PASSWORD: &str = "correct horse";

/// A cost at which a test takes no time; the real one has a test of its own.
fn cheap() -> PasswordCost {
    PasswordCost::new(32, 1, 4).expect("within the limits")
}

fn vault() -> (Vault, MasterKey) {
    Vault::create(&host(1), cheap(), EMAIL, PASSWORD).expect("a good password")
}

fn error<T>(result: Result<T, IdentityError>) -> Option<IdentityError> {
    result.err()
}

/// Promise: the right password gives back the key under which the secrets lie, also after a restart.
#[test]
fn the_right_password_unlocks() {
    let (vault, master) = vault();
    let wrapped = master.wrap(&host(2), "device keys", b"secret");
    let read = Vault::from_bytes(&vault.to_bytes()).expect("as it was stored");
    for email in [EMAIL, " Ana@Example.ORG "] {
        let unlocked = read.unlock(email, PASSWORD).expect("the right password");
        assert_eq!(**unlocked.unwrap("device keys", &wrapped).expect("the same key"), *b"secret");
    }
}

/// Promise: a wrong password and an unknown user are the same error, and both pay for Argon2id. Where
/// the address ends and the password begins matters as well.
#[test]
fn a_wrong_password_and_an_unknown_user_fail_alike() {
    let (vault, _) = vault();
    let wrong = Some(IdentityError::WrongCredentials);
    assert_eq!(error(vault.unlock(EMAIL, "correct horsf")), wrong);
    assert_eq!(error(vault.unlock("eve@example.org", PASSWORD)), wrong);
    assert_eq!(error(vault.unlock("", "")), wrong);
    assert_eq!(error(vault.unlock("ana@example.or", "gcorrect horse")), wrong);
    assert_eq!(error(vault.unlock(EMAIL, "Correct horse")), wrong);
}

/// Promise: the default is 64 MiB, 3 passes, 4 lanes, and a failure costs what a success costs,
/// whichever half is wrong. The bound is loose: the machine may be busy.
#[test]
fn every_attempt_costs_the_same_work() {
    let cost = PasswordCost::default();
    assert_eq!(PasswordCost::new(64 * 1024, 3, 4), Ok(cost));
    let (vault, _) = Vault::create(&host(1), cost, EMAIL, PASSWORD).expect("a good password");
    let time = |email: &str, password: &str| {
        let fastest = (0..2).map(|_| {
            let start = Instant::now();
            let _outcome = vault.unlock(email, password);
            start.elapsed()
        });
        fastest.min().expect("two runs")
    };
    let right = time(EMAIL, PASSWORD);
    for (email, password) in [(EMAIL, "wrong password"), ("eve@example.org", PASSWORD), ("eve@example.org", "x")] {
        let wrong = time(email, password);
        assert!(wrong > right / 10 && right > wrong / 10, "right {right:?}, {email} {wrong:?}");
    }
}

/// Promise: a hostile file cannot make the app allocate terabytes or work for hours.
#[test]
fn hostile_costs_are_refused_before_any_work() {
    let (vault, _) = vault();
    for (memory_kib, passes, lanes) in [
        (u32::MAX, 3, 4),
        (65_536, u32::MAX, 4),
        (65_536, 3, u32::MAX),
        (256 * 1024 + 1, 3, 4),
        (65_536, 11, 4),
        (65_536, 3, 17),
        (0, 3, 4),
        (31, 1, 4),
        (65_536, 0, 4),
        (65_536, 3, 0),
    ] {
        let mut bytes = vault.to_bytes();
        bytes[2..6].copy_from_slice(&memory_kib.to_le_bytes());
        bytes[6..10].copy_from_slice(&passes.to_le_bytes());
        bytes[10..14].copy_from_slice(&lanes.to_le_bytes());
        let start = Instant::now();
        let refused = Some(IdentityError::PasswordCost { memory_kib, passes, lanes });
        assert_eq!(error(Vault::from_bytes(&bytes)), refused);
        assert!(start.elapsed().as_millis() < 50);
    }
}

/// Promise: no bit of a stored vault can be altered and still give out a key.
#[test]
fn an_altered_vault_gives_out_nothing() {
    let bytes = vault().0.to_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes;
        altered[bit / 8] ^= 1 << (bit % 8);
        let Ok(vault) = Vault::from_bytes(&altered) else { continue };
        // A cost within the bounds may still take seconds: those bits are for the case below.
        if vault.cost() != cheap() {
            continue;
        }
        let outcome = vault.unlock(EMAIL, PASSWORD);
        assert!(outcome.is_err(), "bit {bit} was flipped unnoticed");
    }
    for length in 0..bytes.len() {
        assert!(Vault::from_bytes(&bytes[..length]).is_err(), "cut to {length} bytes unnoticed");
    }
    let mut cost = bytes;
    cost[2] += 4;
    let other_work = Vault::from_bytes(&cost).expect("within the bounds");
    assert_eq!(error(other_work.unlock(EMAIL, PASSWORD)), Some(IdentityError::WrongCredentials));
    let mut locked_key = bytes;
    locked_key[100] ^= 1;
    let damaged = Vault::from_bytes(&locked_key).expect("the format holds");
    assert_eq!(error(damaged.unlock(EMAIL, PASSWORD)), Some(IdentityError::VaultDamaged));
}

/// Promise: a password that anybody guesses is refused when it is chosen, with what to do.
#[test]
fn weak_passwords_are_refused() {
    for password in ["", "short", "1234567", "äöüßñçé"] {
        let refused = error(Vault::create(&host(1), cheap(), EMAIL, password));
        assert_eq!(refused, Some(IdentityError::WeakPassword { chars_min: 8 }), "{password:?}");
    }
    let endless = "x".repeat(5000);
    let refused = error(Vault::create(&host(1), cheap(), EMAIL, &endless));
    assert_eq!(refused, Some(IdentityError::PasswordTooLong { bytes_max: 4096 }));
    let no_address = error(Vault::create(&host(1), cheap(), "ana", PASSWORD));
    assert!(matches!(no_address, Some(IdentityError::Text { field: "e-mail address", .. })));
}

/// Promise: a new password opens the old secrets, and the old password opens nothing any more.
#[test]
fn a_new_password_keeps_the_secrets() {
    let (_, master) = vault();
    let wrapped = master.wrap(&host(2), "device keys", b"secret");
    let renewed = Vault::lock(&host(3), cheap(), EMAIL, "another password", &master).expect("a good password");
    let unlocked = renewed.unlock(EMAIL, "another password").expect("the new password");
    assert_eq!(**unlocked.unwrap("device keys", &wrapped).expect("the same key"), *b"secret");
    assert_eq!(error(renewed.unlock(EMAIL, PASSWORD)), Some(IdentityError::WrongCredentials));
}

/// Promise: a wrapped secret opens only in its own place, with its own key, unaltered.
#[test]
fn a_wrapped_secret_opens_only_where_it_belongs() {
    let (_, master) = vault();
    let (_, other) = Vault::create(&host(9), cheap(), EMAIL, PASSWORD).expect("a good password");
    let wrapped = master.wrap(&host(2), "device keys", b"secret");
    let refused = |context: &str| Some(IdentityError::Wrapped { context: context.to_owned() });
    assert_eq!(error(master.unwrap("epoch key", &wrapped)), refused("epoch key"));
    assert_eq!(error(other.unwrap("device keys", &wrapped)), refused("device keys"));
    for bit in 0..wrapped.len() * 8 {
        let mut altered = wrapped.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(master.unwrap("device keys", &altered).is_err(), "bit {bit} was flipped unnoticed");
    }
    for length in 0..wrapped.len() {
        assert!(master.unwrap("device keys", &wrapped[..length]).is_err());
    }
}

/// Promise: three mistakes are free, then one waits longer and longer, up to a quarter of an hour;
/// neither a restart nor a clock set back changes that.
#[test]
fn guessing_at_the_prompt_gets_slower() {
    let mut attempts = LoginAttempts::default();
    let mut now = super::START_MS;
    for _ in 0..3 {
        attempts.begin(now).expect("free");
    }
    attempts.begin(now).expect("the fourth begins at once, and is waited for");
    let mut waits = Vec::new();
    for _ in 0..13 {
        attempts = LoginAttempts::from_bytes(&attempts.to_bytes()).expect("as it was stored");
        let Some(IdentityError::TooManyAttempts { wait_ms }) = error(attempts.begin(now)) else {
            panic!("no wait after {} failures", attempts.failures());
        };
        waits.push(wait_ms / 1000);
        now += wait_ms;
        attempts.begin(now).expect("the wait is over");
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);

    let long_ago = now - 1_000_000_000;
    let set_back = error(attempts.begin(long_ago));
    assert_eq!(set_back, Some(IdentityError::TooManyAttempts { wait_ms: 900_000 }));
    attempts.begin(long_ago + 900_000).expect("waited for by the clock as it now is");

    attempts.succeed();
    assert_eq!(attempts, LoginAttempts::default());
    assert!(LoginAttempts::from_bytes(&attempts.to_bytes()[..12]).is_err());
}

proptest! {
    /// Promise: garbage is refused, by an error and not by a panic.
    #[test]
    fn garbage_is_not_a_vault(mut bytes in prop::collection::vec(any::<u8>(), 0..200), versioned in any::<bool>()) {
        if versioned && bytes.len() > 1 {
            bytes[..2].copy_from_slice(&[1, 1]);
        }
        // Whatever passes the checks is no more than a vault with another key.
        if let Ok(vault) = Vault::from_bytes(&bytes) {
            prop_assert_eq!(vault.to_bytes().to_vec(), bytes.clone());
        }
        let _either = LoginAttempts::from_bytes(&bytes);
        prop_assert!(vault().1.unwrap("x", &bytes).is_err());
    }
}
