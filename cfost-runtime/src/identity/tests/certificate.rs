use super::{add, author, host, phone_user, rename};
use crate::identity::limits::CERTIFICATE_ENTRIES_MAX;
use crate::identity::{DeviceKeys, IdentityError, IdentityLog, verify_certificate};

/// Promise: a device three steps from the root key can prove itself to one who knows only that key.
#[test]
fn a_certificate_leads_from_the_root_key_to_the_device() {
    let (_, phone, mut log) = phone_user(1);
    let laptop = add(&mut log, &phone, 2, "laptop");
    let tablet = add(&mut log, &laptop, 3, "tablet");
    add(&mut log, &phone, 4, "watch");
    let certificate = log.certificate(tablet.id()).expect("a device of the user");
    assert_eq!(certificate.len(), 3, "phone, laptop, tablet; the watch has no part in it");

    let device = verify_certificate(log.root(), &certificate).expect("it holds");
    assert_eq!((device.id, device.keys, device.added_by), (tablet.id(), tablet.public(), Some(laptop.id())));

    let knows_nothing = IdentityLog::new(log.root());
    assert_eq!(knows_nothing.authenticate(&certificate, &tablet.public().transport), Ok(device));
}

/// Promise: a peer is who its certificate says, or nobody: a copied certificate is worth nothing
/// without the transport key that the connection was authenticated with.
#[test]
fn a_copied_certificate_is_worth_nothing() {
    let (_, phone, log) = phone_user(1);
    let certificate = log.certificate(phone.id()).expect("a device of the user");
    let thief = DeviceKeys::generate(&host(66)).public();
    assert_eq!(log.authenticate(&certificate, &thief.transport), Err(IdentityError::WrongPeer));
    let knows_nothing = IdentityLog::new(log.root());
    assert_eq!(knows_nothing.authenticate(&certificate, &thief.transport), Err(IdentityError::WrongPeer));
}

/// Promise: a known device is recognised under its present name.
#[test]
fn a_known_device_has_its_present_name() {
    let (_, phone, mut log) = phone_user(1);
    let certificate = log.certificate(phone.id()).expect("a device of the user");
    author(&mut log, &phone, rename(&phone, "old phone"), 5);
    let device = log.authenticate(&certificate, &phone.public().transport).expect("it holds");
    assert_eq!(device.name, "old phone");
}

/// Promise: every way of cutting a certificate differently is refused.
#[test]
fn a_broken_certificate_is_refused() {
    let (_, phone, mut log) = phone_user(1);
    let laptop = add(&mut log, &phone, 2, "laptop");
    let good = log.certificate(laptop.id()).expect("a device of the user");
    let refuse = |certificate: &[Vec<u8>]| verify_certificate(log.root(), certificate).expect_err("must not hold");

    let problem = "an entry was not made by the one before it";
    assert_eq!(refuse(&[]), IdentityError::Certificate { problem: "it is empty" });
    assert_eq!(refuse(&good[1..]), IdentityError::Certificate { problem }, "the root key's entry is missing");
    assert_eq!(refuse(&[good[1].clone(), good[0].clone()]), IdentityError::Certificate { problem });
    assert_eq!(refuse(&[good[0].clone(), good[0].clone()]), IdentityError::Certificate { problem });

    let too_long = vec![good[0].clone(); CERTIFICATE_ENTRIES_MAX + 1];
    assert_eq!(refuse(&too_long), IdentityError::Certificate { problem: "it has more than 256 entries" });

    let mut altered = good.clone();
    altered[1][40] ^= 1;
    refuse(&altered);

    let (other_root, other_phone, other_log) = phone_user(2);
    let foreign = other_log.certificate(other_phone.id()).expect("a device of the other user");
    let wrong_user = IdentityError::WrongUser { found: other_root.user_id(), expected: log.user_id() };
    assert_eq!(refuse(&foreign), wrong_user);
    assert_eq!(log.authenticate(&foreign, &other_phone.public().transport), Err(wrong_user));

    let by_root = verify_certificate(log.root(), &good[..1]).expect("the phone's own is the first part");
    assert_eq!(by_root.id, phone.id());
    let renaming = author(&mut log, &phone, rename(&laptop, "notebook"), 5);
    let with_rename = [good[0].clone(), renaming.as_bytes().to_vec()];
    assert_eq!(
        verify_certificate(log.root(), &with_rename),
        Err(IdentityError::Certificate { problem: "an entry adds no device" })
    );
}

/// Promise: asking for the certificate of somebody else's device is an error that says so.
#[test]
fn an_unknown_device_has_no_certificate() {
    let (_, _, log) = phone_user(1);
    let stranger = DeviceKeys::generate(&host(66)).id();
    assert_eq!(log.certificate(stranger), Err(IdentityError::UnknownDevice { device: stranger }));
}
