//! The cryptography that identity stands on, held to the vectors of Project Wycheproof and to keys that no
//! honest device makes.

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use hkdf::Hkdf;
use sha2::Sha256;
use wycheproof::{TestResult, aead, eddsa, hkdf as hkdf_vectors, xdh};
use x25519_dalek::{PublicKey, StaticSecret};

use super::{at, host, phone_user};
use crate::host::{Entropy, Host, ManualClock};
use crate::identity::entry::{PROOF_DOMAIN, proof_statement};
use crate::identity::hpke::{self, SharedSecret};
use crate::identity::wire::Reader;
use crate::identity::{AddDevice, Body, DeviceKeys, DevicePublic, Entry, IdentityError, keys, master};

/// Every encoding of the points whose order divides 8, canonical or not, but for the sign bit.
const ED25519_SMALL_ORDER: [[u8; 32]; 7] = [
    with_ends(0, 0, 0),                                                          // y = 0, order 4
    with_ends(1, 0, 0),                                                          // y = 1, the identity
    decode(b"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), // order 8
    decode(b"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), // order 8
    with_ends(0xec, 0xff, 0x7f),                                                 // y = -1, order 2
    with_ends(0xed, 0xff, 0x7f),                                                 // y = p, that is 0
    with_ends(0xee, 0xff, 0x7f),                                                 // y = p + 1, that is 1
];

const fn with_ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

const fn decode(hex: &[u8; 64]) -> [u8; 32] {
    const fn digit(c: u8) -> u8 {
        if c <= b'9' { c - b'0' } else { c - b'a' + 10 }
    }
    let mut bytes = [0; 32];
    let mut i = 0;
    while i < 32 {
        bytes[i] = digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]);
        i += 1;
    }
    bytes
}

fn refuse_signature() -> Result<(), IdentityError> {
    Err(IdentityError::Signature { what: "a vector" })
}

/// Promise: a signature holds if and only if it should. The set leaves no case to taste: had it
/// 'acceptable' ones, they would be refused, for replicas must agree and the strict reading is one.
#[test]
fn every_ed25519_vector_is_judged_as_it_should_be() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("it comes with the crate");
    let mut judged = 0;
    for group in set.test_groups {
        let key = <[u8; 32]>::try_from(group.key.pk.as_slice()).expect("32 bytes");
        for test in group.tests {
            // The wire has 64 bytes for a signature; nothing longer or shorter gets this far.
            let verdict = match <[u8; 64]>::try_from(test.sig.as_slice()) {
                Ok(signature) => keys::verify("a vector", &key, b"", &test.msg, &signature),
                Err(_) => refuse_signature(),
            };
            let expected = if test.result == TestResult::Valid { Ok(()) } else { refuse_signature() };
            assert_eq!(verdict, expected, "{}: {}", test.tc_id, test.comment);
            judged += 1;
        }
    }
    assert_eq!(judged, set.number_of_tests);
}

/// Promise: a key of small order signs nothing, though the equation holds for each of them, for some of any
/// eight messages, with R the identity or the key itself and S zero.
#[test]
#[expect(clippy::disallowed_methods, reason = "shows what the loose check would accept")]
fn ed25519_keys_of_small_order_are_refused() {
    let mut lax = 0;
    for key in ED25519_SMALL_ORDER {
        for sign in [0, 0x80] {
            let mut key = key;
            key[31] |= sign;
            for r in [with_ends(1, 0, 0), key] {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&r);
                for number in 0..64_u8 {
                    assert_eq!(keys::verify("a vector", &key, b"domain\0", &[number], &signature), refuse_signature());
                    let loose = ed25519_dalek::VerifyingKey::from_bytes(&key).is_ok_and(|key| {
                        let signature = ed25519_dalek::Signature::from_bytes(&signature);
                        ed25519_dalek::Verifier::verify(&key, &[b"domain\0".as_slice(), &[number]].concat(), &signature)
                            .is_ok()
                    });
                    lax += usize::from(loose);
                }
            }
        }
    }
    assert!(lax > 100, "the check that this guards would have let {lax} through");
}

/// Promise: two devices agree on the secret that the standard says, for odd keys too (twisted ones, ones that
/// are not reduced); and with a key of small order on none: nothing is sealed to it or opened from it,
/// and no device with it is added.
#[test]
fn every_x25519_vector_agrees_or_is_refused() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).expect("it comes with the crate");
    let (mut agreed, mut refused) = (0, 0);
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let case = format!("{}: {}", test.tc_id, test.comment);
        let public = <[u8; 32]>::try_from(test.public_key.as_slice()).expect("32 bytes");
        let secret = <[u8; 32]>::try_from(test.private_key.as_slice()).expect("32 bytes");
        let shared = StaticSecret::from(secret).diffie_hellman(&PublicKey::from(public));
        assert_eq!(shared.as_bytes().as_slice(), test.shared_secret.as_slice(), "{case}");

        let psk = || SharedSecret { key: &[7; 32], id: &[1; 16] };
        let sealed = hpke::sealer(&host(1), &public, psk(), &[0; 32]).map(drop);
        let opened = hpke::opener(&secret, &public, psk(), &[0; 32]).map(drop);
        let zero = test.flags.contains(&xdh::TestFlag::ZeroSharedSecret);
        assert_eq!((sealed.is_err(), opened.is_err()), (zero, zero), "{case}");
        assert_eq!(keys::check_sealing(&public).is_err(), zero, "{case}");
        if zero {
            refused += 1;
        } else {
            agreed += 1;
        }
    }
    assert_eq!((agreed, refused), (487, 31));
}

/// Opens with the cipher under test; `None` if it refuses.
type Open = fn(key: &[u8; 32], nonce: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>>;
/// Seals with it.
type Seal = fn(key: &[u8; 32], nonce: &[u8], aad: &[u8], plain: &[u8]) -> Option<Vec<u8>>;

fn judge_aead(name: aead::TestName, seal: Seal, open: Open) {
    let set = aead::TestSet::load(name).expect("it comes with the crate");
    let mut judged = 0;
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let case = format!("{}: {}", test.tc_id, test.comment);
        let key = <[u8; 32]>::try_from(test.key.as_slice()).expect("32 bytes");
        let sealed = [test.ct.as_slice(), test.tag.as_slice()].concat();
        let opened = open(&key, &test.nonce, &test.aad, &sealed);
        let sealed_here = seal(&key, &test.nonce, &test.aad, &test.pt);
        match test.result {
            TestResult::Valid => {
                assert_eq!(opened.as_deref(), Some(test.pt.as_slice()), "{case}");
                assert_eq!(sealed_here, Some(sealed), "{case}");
            }
            TestResult::Invalid | TestResult::Acceptable => {
                assert_eq!(opened, None, "{case}");
                assert_ne!(sealed_here, Some(sealed), "{case}");
            }
        }
        judged += 1;
    }
    assert_eq!(judged, set.number_of_tests);
}

/// Promise: what HPKE seals with is the standard's cipher, and opens nothing that was altered.
#[test]
fn every_chacha20_poly1305_vector_is_judged_as_it_should_be() {
    judge_aead(
        aead::TestName::ChaCha20Poly1305,
        |key, nonce, aad, msg| {
            let nonce = <[u8; 12]>::try_from(nonce).ok()?;
            ChaCha20Poly1305::new(key.into()).encrypt((&nonce).into(), Payload { msg, aad }).ok()
        },
        |key, nonce, aad, msg| {
            let nonce = <[u8; 12]>::try_from(nonce).ok()?;
            ChaCha20Poly1305::new(key.into()).decrypt((&nonce).into(), Payload { msg, aad }).ok()
        },
    );
}

/// Promise: what the vault, wrapped secrets and changes are sealed with is the draft's cipher.
#[test]
fn every_xchacha20_poly1305_vector_is_judged_as_it_should_be() {
    judge_aead(
        aead::TestName::XChaCha20Poly1305,
        |key, nonce, aad, plain| Some(master::seal(key, nonce.try_into().ok()?, aad, plain)),
        |key, nonce, aad, sealed| Some(master::open(key, nonce.try_into().ok()?, aad, sealed)?.to_vec()),
    );
}

/// Promise: what a new device is sent is sealed as the standard says: RFC 9180, appendix A.2.2, in both directions.
#[test]
fn hpke_seals_and_opens_as_its_standard_does() {
    struct Ephemeral;
    impl Entropy for Ephemeral {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.copy_from_slice(&decode(b"35706a0b09fb26fb45c39c2f5079c709c7cf98e43afa973f14d88ece7e29c2e3"));
        }
    }
    const SEALED: [(usize, &str); 6] = [
        (0, "4a177f9c0d6f15cfdf533fb65bf84aecdc6ab16b8b85b4cf65a370e07fc1d78d28fb073214525276f4a89608ff"),
        (1, "5c3cabae2f0b3e124d8d864c116fd8f20f3f56fda988c3573b40b09997fd6c769e77c8eda6cda4f947f5b704a8"),
        (2, "14958900b44bdae9cbe5a528bf933c5c990dbb8e282e6e495adf8205d19da9eb270e3a6f1e0613ab7e757962a4"),
        (4, "c2a7bc09ddb853cf2effb6e8d058e346f7fe0fb3476528c80db6b698415c5f8c50b68a9a355609e96d2117f8d3"),
        (255, "2414d0788e4bc39a59a26d7bd5d78e111c317d44c37bd5a4c2a1235f2ddc2085c487d406490e75210c958724a7"),
        (256, "c567ae1c3f0f75abe1dd9e4532b422600ed4a6e5b9484dafb1e43ab9f5fd662b28c00e2e81d3cde955dae7e218"),
    ];
    let message = b"Beauty is truth, truth beauty";
    let psk = decode(b"0247fd33b913760fa1fa51e1892d9f307fbe65eb171e8132c2af18555a738b82");
    let shared = || SharedSecret { key: &psk, id: b"Ennyn Durin aran Moria" };
    let info = b"Ode on a Grecian Urn";
    let receiver = decode(b"77d114e0212be51cb1d76fa99dd41cfd4d0166b08caa09074430a6c59ef17879");
    let public = decode(b"13640af826b722fc04feaa4de2f28fbd5ecc03623b317834e7ff4120dbe73062");

    let host = Host::new(ManualClock::default(), Ephemeral);
    let (encapsulated, mut sealer) = hpke::sealer(&host, &public, shared(), info).expect("good keys");
    assert_eq!(encapsulated, decode(b"2261299c3f40a9afc133b969a97f05e95be2c514e54f3de26cbe5644ac735b04"));
    let mut opener = hpke::opener(&receiver, &encapsulated, shared(), info).expect("good keys");
    let mut expected = SEALED.iter().peekable();
    for number in 0..=256 {
        let aad = format!("Count-{number}");
        let sealed = sealer.seal(message, aad.as_bytes()).expect("seals");
        if let Some((_, bytes)) = expected.next_if(|(at, _)| *at == number) {
            let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, *bytes, "message {number}");
        }
        assert_eq!(opener.open(&sealed, aad.as_bytes()).expect("opens"), message);
    }
    assert_eq!(expected.next(), None, "all were met");
}

/// Promise: the key derivation under HPKE is the standard's, and gives no more than it may.
#[test]
fn every_hkdf_sha256_vector_is_judged_as_it_should_be() {
    let set = hkdf_vectors::TestSet::load(hkdf_vectors::TestName::HkdfSha256).expect("it comes with the crate");
    let mut judged = 0;
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let mut okm = vec![0; test.size];
        let expanded = Hkdf::<Sha256>::new(Some(&test.salt), &test.ikm).expand(&test.info, &mut okm);
        let derived = expanded.is_ok().then_some(okm);
        let expected = (test.result == TestResult::Valid).then(|| test.okm.to_vec());
        assert_eq!(derived, expected, "{}: {}", test.tc_id, test.comment);
        judged += 1;
    }
    assert_eq!(judged, set.number_of_tests);
}

/// Promise: a device with a key of small order is not added, whichever of its keys that is. A pairing asks
/// for the same request, and a certificate is made of such entries.
#[test]
fn a_device_with_a_key_of_small_order_is_refused() {
    let (_, phone, log) = phone_user(1);
    let keys = DeviceKeys::generate(&host(3));
    let proof = |key, public: &DevicePublic| keys::sign(key, PROOF_DOMAIN, &proof_statement(log.user_id(), public));
    let add = |public: DevicePublic, proofs: [[u8; 64]; 2]| {
        let bytes = [public.to_bytes().as_slice(), &proofs.concat(), &[6], b"laptop"].concat();
        let request = AddDevice::read(&mut Reader::new("a request", &bytes)).expect("the format holds");
        let verdict = request.verify(log.user_id());
        let body = Body::AddDevice(request);
        let entry = Entry::sign(phone.signing(), log.user_id(), at(1), log.heads().collect(), body).expect("signs");
        assert_eq!(Entry::decode(entry.as_bytes()).map(drop), verdict);
        verdict
    };
    let public = keys.public();
    assert_eq!(add(public, [proof(keys.signing(), &public), proof(keys.transport(), &public)]), Ok(()));

    // A proof for a key of small order takes no secret.
    let mut forged = [0; 64];
    forged[0] = 1;
    let refused = Err(IdentityError::Signature { what: "a device's proof of its keys" });
    for weak in ED25519_SMALL_ORDER {
        let signing = DevicePublic { signing: weak, ..public };
        assert_eq!(add(signing, [forged, proof(keys.transport(), &signing)]), refused);
        let transport = DevicePublic { transport: weak, ..public };
        assert_eq!(add(transport, [proof(keys.signing(), &transport), forged]), refused);
    }
    let sealing = DevicePublic { sealing: [0; 32], ..public };
    let refused = Err(IdentityError::SmallOrderKey { what: "the device's sealing key" });
    assert_eq!(add(sealing, [proof(keys.signing(), &sealing), proof(keys.transport(), &sealing)]), refused);
}
