use std::time::Instant;

use proptest::prelude::*;

use super::host;
use crate::identity::{IdentityError, LoginAttempts, MasterKey, PasswordCost, Vault, check_password};

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

/// Promise: a password that is short, or among the first that a program tries, is refused when it is chosen,
/// with what to do. A good one need not have digits or signs.
#[test]
fn weak_passwords_are_refused_with_a_hint() {
    for password in ["", "short", "1234567", "äöüßñçé", "e\u{301}e\u{301}e\u{301}e\u{301}"] {
        let refused = error(Vault::create(&host(1), cheap(), EMAIL, password));
        assert_eq!(refused, Some(IdentityError::WeakPassword { chars_min: 8 }), "{password:?}");
    }
    for (password, hint) in [
        ("password1", "This is a very common password."),
        ("P4ssw0rd", "similar to a commonly used password"),
        ("qwertyuiop", "top-100 common password"),
        ("aaaaaaaaaaaa", "Repeats like"),
        ("abcdefghij", "Sequences"),
        ("21.03.1987", "Dates are often easy to guess"),
        ("Elizabeth", "Names and surnames"),
        ("ana@example.org", "Add another word or two"),
        ("anaexample", "Add another word or two"),
    ] {
        let refused = error(Vault::create(&host(1), cheap(), EMAIL, password));
        let Some(IdentityError::GuessablePassword { hint: given }) = refused else { panic!("{password}: {refused:?}") };
        assert!(given.contains(hint), "{password}: {given}");
        assert!(!given.contains(password) && given.ends_with('.'), "{given}");
    }
    for password in ["correct horse", "quiet lemon harbour", "пасмурный кролик", "正确的马电池订书钉", "🐴🔋📎✅ pferd"]
    {
        check_password(password, &[EMAIL, "Ana"]).unwrap_or_else(|error| panic!("{password}: {error}"));
    }
    for (password, what) in [("quiet\u{7}lemon harbour", "control"), ("quiet lemon \u{378}", "not in Unicode")] {
        let refused = check_password(password, &[]).expect_err("no such character");
        assert!(matches!(refused, IdentityError::Text { field: "the password", problem } if problem.contains(what)));
    }
    let endless = "x".repeat(5000);
    let refused = error(Vault::create(&host(1), cheap(), EMAIL, &endless));
    assert_eq!(refused, Some(IdentityError::PasswordTooLong { bytes_max: 4096 }));
    let no_address = error(Vault::create(&host(1), cheap(), "ana", PASSWORD));
    assert!(matches!(no_address, Some(IdentityError::Text { field: "e-mail address", .. })));
}

/// Promise: judging a password takes no noticeable time, however it is made; the bound is loose.
#[test]
fn no_password_takes_long_to_judge() {
    let substitutions: String = "4@8({[<369#!1/|0$5+7%2".chars().cycle().take(4000).collect();
    for password in [substitutions, "1".repeat(4000), "ab1!".repeat(1000)] {
        let start = Instant::now();
        let _either = check_password(&password, &[EMAIL]);
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }
}

/// Promise: two keyboards that type one password differently open the same vault; what merely looks alike
/// does not.
#[test]
fn a_password_is_the_same_on_every_keyboard() {
    let (vault, master) = Vault::create(&host(1), cheap(), EMAIL, "Caf\u{e9} am Fluss 한").expect("a good password");
    for typed in ["Cafe\u{301} am Fluss 한", "Caf\u{e9}\u{a0}am\u{2003}Fluss\u{3000}\u{1112}\u{1161}\u{11ab}"] {
        let unlocked = vault.unlock(EMAIL, typed).expect("the same password");
        assert_eq!(unlocked.as_bytes(), master.as_bytes());
    }
    let (ligature, _) = Vault::create(&host(1), cheap(), EMAIL, "\u{fb01}ne weather today").expect("a good password");
    assert_eq!(error(ligature.unlock(EMAIL, "fine weather today")), Some(IdentityError::WrongCredentials));
    assert_eq!(error(vault.unlock(EMAIL, "café am fluss 한")), Some(IdentityError::WrongCredentials));
    let (accented, _) = Vault::create(&host(1), cheap(), "jose\u{301}@example.org", PASSWORD).expect("an address");
    accented.unlock("Jos\u{e9}@Example.org", PASSWORD).expect("the same address");
}

/// A vault of the first format, as the first release wrote it; its password, as it was typed.
const FIRST_FORMAT: &str = "01012000000001000000040000001f475c662d5af4c49debea6053494a4b0569adc5d4e1a15b603da52ca36533\
                            208d3b443c62247aa796980f3595c4661265326dcffc99f67ea7d94717b68f73e158e51cccd355a9d15faea539\
                            8cec29798d05f0f8cec1bf2ec593607b6cccf74cc61d40853e82b40214c759c11d03a23cc4cc8cc723761d79";
const AS_TYPED: &str = "cafe\u{301} \u{2003}horses";

/// Promise: a vault of the first format opens with its password as it was typed then, and is brought up to date
/// by that: from then on any keyboard will do.
#[test]
fn a_vault_of_the_first_format_opens_and_is_upgraded() {
    let bytes: Vec<u8> = (0..FIRST_FORMAT.len() / 2)
        .map(|at| u8::from_str_radix(&FIRST_FORMAT[2 * at..2 * at + 2], 16).expect("hex"))
        .collect();
    let vault = Vault::from_bytes(&bytes).expect("still read");
    assert_eq!(vault.to_bytes().as_slice(), bytes);
    assert_eq!(error(vault.unlock(EMAIL, "caf\u{e9} \u{2003}horses")), Some(IdentityError::WrongCredentials));
    let master = vault.unlock(EMAIL, AS_TYPED).expect("as it was typed");
    assert_eq!(master.as_bytes()[..4], [0x74, 0x50, 0x06, 0x97]);

    let upgraded = vault.upgraded(&host(2), cheap(), EMAIL, AS_TYPED, &master).expect("enough memory");
    let upgraded = Vault::from_bytes(&upgraded.expect("the format is old").to_bytes()).expect("as it was stored");
    for typed in [AS_TYPED, "caf\u{e9}  horses"] {
        assert_eq!(upgraded.unlock(EMAIL, typed).expect("one password").as_bytes(), master.as_bytes());
    }
    assert_eq!(upgraded.upgraded(&host(3), cheap(), EMAIL, AS_TYPED, &master), Ok(None), "once");
    let newer = [&[3], &bytes[1..]].concat();
    assert_eq!(
        error(Vault::from_bytes(&newer)),
        Some(IdentityError::Version { what: "vault", found: 3, supported: 2 })
    );
}

/// Promise: a vault is raised to a higher cost, part by part, and never lowered; a password that would be
/// refused today can still be used.
#[test]
fn a_weaker_vault_is_raised_and_a_stronger_one_kept() {
    let cost = |memory_kib, passes, lanes| PasswordCost::new(memory_kib, passes, lanes).expect("within the limits");
    let upgrade = |from, to| {
        let (vault, master) = Vault::create(&host(1), from, EMAIL, PASSWORD).expect("a good password");
        let upgraded = vault.upgraded(&host(2), to, EMAIL, PASSWORD, &master).expect("enough memory")?;
        assert_eq!(upgraded.unlock(EMAIL, PASSWORD).expect("the same password").as_bytes(), master.as_bytes());
        assert_ne!(upgraded.to_bytes()[14..], vault.to_bytes()[14..], "salt and nonce are new");
        Some(upgraded.cost())
    };
    assert_eq!(upgrade(cost(64, 1, 1), cost(128, 2, 4)), Some(cost(128, 2, 4)));
    assert_eq!(upgrade(cost(64, 3, 1), cost(128, 2, 4)), Some(cost(128, 3, 4)));
    assert_eq!(upgrade(cost(256, 1, 4), cost(128, 2, 1)), Some(cost(256, 2, 1)));
    assert_eq!(upgrade(cost(128, 2, 4), cost(128, 2, 4)), None);
    assert_eq!(upgrade(cost(256, 3, 1), cost(128, 2, 4)), None);
    let (vault, master) = vault();
    let weak = vault.upgraded(&host(2), cost(128, 2, 4), EMAIL, "abc", &master).expect("it is not judged again");
    weak.expect("raised").unlock(EMAIL, "abc").expect("as it was");
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
            bytes[..2].copy_from_slice(&[2, 1]);
        }
        // Whatever passes the checks is no more than a vault with another key.
        if let Ok(vault) = Vault::from_bytes(&bytes) {
            prop_assert_eq!(vault.to_bytes().to_vec(), bytes.clone());
        }
        let _either = LoginAttempts::from_bytes(&bytes);
        prop_assert!(vault().1.unwrap("x", &bytes).is_err());
    }

    /// Promise: any text is judged, without a panic, and any that is accepted opens what it locked.
    #[test]
    fn any_text_is_judged(password in any::<String>(), about in any::<String>()) {
        let _either = check_password(&password, &[&about]);
        if let Ok((vault, master)) = Vault::create(&host(1), cheap(), EMAIL, &password) {
            let unlocked = vault.unlock(EMAIL, &password).expect("the same password");
            prop_assert_eq!(unlocked.as_bytes(), master.as_bytes());
        }
    }
}
