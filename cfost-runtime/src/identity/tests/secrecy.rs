//! Secrets have no printable form, and do not outlive their owners.

use std::fmt::{Debug, Display};

use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::{host, phone_user};
use crate::identity::pairing::{
    Digits, Greeting, Invitation, Inviter, Joiner, JoinerEvent, SpokenCode, SpokenInviter, SpokenJoiner,
};
use crate::identity::{DeviceKeys, MasterKey, PasswordCost, RecoveryPhrase, RootKey, Vault};
use crate::oplog::{EpochKey, SpaceId};

/// Fails to compile if one of the types can be printed: then two of the impls fit, and none is chosen.
macro_rules! never_printed {
    ($($secret:ty: $how:path),* $(,)?) => {
        $(const _: fn() = || {
            trait Printed<A> { fn some() {} }
            impl<T: ?Sized> Printed<()> for T {}
            struct Can;
            impl<T: ?Sized + $how> Printed<Can> for T {}
            let _ = <$secret as Printed<_>>::some;
        };)*
    };
}

never_printed!(
    RootKey: Debug, RootKey: Display,
    DeviceKeys: Debug, DeviceKeys: Display,
    MasterKey: Debug, MasterKey: Display,
    RecoveryPhrase: Debug, RecoveryPhrase: Display,
    // What is shown on the screen where it belongs is not to come up in a log.
    Digits: Debug,
    SpokenCode: Debug,
    Greeting: Debug,
    SpokenInviter: Debug,
    SpokenJoiner: Debug,
    Invitation: Display,
    Inviter: Debug,
    Joiner: Debug,
    JoinerEvent: Debug,
);

/// Promise: what secrets are made of is erased when it is dropped.
#[test]
fn secrets_are_erased_on_drop() {
    fn erased<T: ZeroizeOnDrop>() {}
    erased::<ed25519_dalek::SigningKey>();
    erased::<x25519_dalek::StaticSecret>();
    erased::<Zeroizing<[u8; 32]>>();
    erased::<Zeroizing<Vec<u8>>>();
    erased::<Zeroizing<String>>();
    erased::<chacha20poly1305::XChaCha20Poly1305>();
}

/// All the ways in which bytes come out of a formatter.
fn ways_to_print(secret: &[u8]) -> Vec<String> {
    let join = |separator: &str, print: fn(&u8) -> String| {
        // Eight bytes in a row are no coincidence.
        secret.chunks_exact(8).map(|part| part.iter().map(print).collect::<Vec<_>>().join(separator)).collect()
    };
    let ways: [Vec<String>; 4] = [
        join(", ", u8::to_string),
        join("", |byte| format!("{byte:02x}")),
        join("", |byte| format!("{byte:02X}")),
        join(", ", |byte| format!("{byte:x}")),
    ];
    ways.concat()
}

/// Promise: what can be printed and has a secret in it prints all but the secret.
#[test]
fn debug_output_has_no_secret() {
    let (_, phone, log) = phone_user(1);
    let secret = [0xa5, 0x3c, 0x91, 0x0e, 0x77, 0xd2, 0x48, 0xf6];
    let key = EpochKey::new(1, Zeroizing::new([secret, secret, secret, secret].concat().try_into().expect("32")));
    let joined = super::super::pairing::Joined {
        inviter: log.device(phone.id()).expect("the first device"),
        space_keys: vec![(SpaceId::home_of(log.user_id()), key)],
        log,
    };
    let invitation = Invitation::create(&host(7), joined.log.user_id(), &phone.public(), []);
    let text = invitation.to_text();
    let cost = PasswordCost::new(32, 1, 4).expect("within the limits");
    let (vault, master) = Vault::create(&host(8), cost, "ana@example.org", "correct horse").expect("a good password");

    let mut printed = String::new();
    for pretty in [format!("{joined:?} {joined:#?}"), format!("{invitation:?} {invitation:#?}"), format!("{vault:?}")] {
        printed.push_str(&pretty);
    }
    let device = phone.to_secret_bytes();
    for way in [secret.as_slice(), master.as_bytes(), device.as_slice()].into_iter().flat_map(ways_to_print) {
        assert!(!printed.contains(&way), "{way} in {printed}");
    }
    assert!(!printed.contains(&text[6..40]) && !printed.contains("correct horse"));
}
