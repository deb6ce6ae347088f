//! Targets for the decoders of pairing: the codes, and what either side hears from the other.

use std::sync::{Arc, LazyLock};

use cfost_runtime::clock::Timestamp;
use cfost_runtime::host::{Host, ManualClock};
use cfost_runtime::identity::pairing::{
    BearerEvent, Card, CardBearer, CardReader, Greeting, GuestEvent, Invitation, Inviter, InviterEvent, Joiner,
    JoinerEvent, ReaderEvent, ShareGuest, ShareInvitation, Sharer, SharerEvent, SpokenCode, SpokenInviter,
    SpokenJoiner,
};
use cfost_runtime::identity::{
    Body, DeviceKeys, Frontiers, IdentityLog, RecoveryPhrase, Role, RootKey, SpaceBody, SpaceLog, Users,
};
use cfost_runtime::oplog::{EpochKey, SpaceId};
use zeroize::Zeroizing;

use super::identity::{NOW_MS, USER};

/// A pairing that went well: the phone invites a tablet. The same seeds give the same bytes again.
struct Pairing {
    invitation: String,
    start: Vec<u8>,
    challenge: Vec<u8>,
    admission: Vec<Vec<u8>>,
    done: Vec<u8>,
}

static PAIRING: LazyLock<Pairing> = LazyLock::new(|| {
    let (mut inviter, mut joiner) = (inviter(), joiner());
    let tablet = tablet().public().transport;
    let start = joiner.start(&USER.phone.public().transport).expect("the phone is who it dials");
    let event = inviter.receive(&tablet, &start).expect("a seed is valid");
    assert_eq!(event, InviterEvent::Consume(invitation().pairing()));
    let challenge = inviter.consumed().expect("the pairing is recorded");
    let Ok(JoinerEvent::ShowDigits(digits)) = joiner.receive(&challenge) else { panic!("a seed is valid") };
    let request = inviter.confirm(&digits.to_string()).expect("the digits are right");
    let mut log = USER.log.clone();
    let entry = log.author(&USER.phone, Body::AddDevice(request), Timestamp::from_ms(NOW_MS)).expect("it may");
    log.insert(entry.as_bytes()).expect("a seed is valid");
    let admission = admit(&mut inviter, &log);
    for message in &admission {
        joiner.receive(message).expect("a seed is valid");
    }
    let done = joiner.done().expect("all of the admission arrived");
    Pairing { invitation: invitation().to_text(), start, challenge, admission, done }
});

fn admit(inviter: &mut Inviter, log: &IdentityLog) -> Vec<Vec<u8>> {
    let key = EpochKey::new(1, Zeroizing::new([4; 32]));
    inviter.admit(log, &[(SpaceId::home_of(log.user_id()), &key)]).expect("the device is in the log")
}

fn host(seed: u64) -> Host {
    Host::simulated(ManualClock::at(NOW_MS), seed)
}

fn tablet() -> DeviceKeys {
    DeviceKeys::generate(&host(10))
}

fn invitation() -> Invitation {
    let hints = ["/ip4/192.0.2.1/tcp/4001".to_owned()];
    Invitation::create(&host(11), USER.log.user_id(), &USER.phone.public(), hints)
}

fn inviter() -> Inviter {
    Inviter::new(host(12), invitation())
}

fn joiner() -> Joiner {
    Joiner::new(host(13), invitation(), tablet(), "tablet").expect("it has not expired")
}

/// An invitation that is accepted means the same in its own spelling.
pub(super) fn invitation_text(bytes: &[u8]) -> bool {
    let Some(invitation) = std::str::from_utf8(bytes).ok().and_then(|text| Invitation::from_text(text).ok()) else {
        return false;
    };
    let text = invitation.to_text();
    assert_eq!(Invitation::from_text(&text).expect("its own text is an invitation").to_text(), text);
    true
}

pub(super) fn invitation_text_seeds() -> Vec<Vec<u8>> {
    let text = PAIRING.invitation.clone();
    vec![text.to_lowercase().into_bytes(), text.into_bytes()]
}

/// The inviter goes on with nobody but the device that it heard first: the first byte says whether the
/// others are a start, or what follows one.
pub(super) fn inviter_hears(bytes: &[u8]) -> bool {
    let Some((&stage, message)) = bytes.split_first() else { return false };
    let peer = tablet().public().transport;
    let mut inviter = inviter();
    if stage % 2 == 0 {
        let good = inviter.receive(&peer, message).is_ok();
        assert!(!good || message == PAIRING.start, "someone who doesn't know the secret was heard");
        return good;
    }
    inviter.receive(&peer, &PAIRING.start).expect("a seed is valid");
    inviter.consumed().expect("the pairing is recorded");
    // Too early: nobody has typed the digits.
    assert!(inviter.receive(&peer, message).is_err());
    assert!(inviter.is_closed());
    message == PAIRING.done
}

pub(super) fn inviter_hears_seeds() -> Vec<Vec<u8>> {
    vec![staged(0, &PAIRING.start), staged(1, &PAIRING.done)]
}

/// The joiner believes nobody but the device that invited it: the first byte says whether the others are
/// a challenge, or an admission.
pub(super) fn joiner_hears(bytes: &[u8]) -> bool {
    let Some((&stage, message)) = bytes.split_first() else { return false };
    let mut joiner = joiner();
    joiner.start(&USER.phone.public().transport).expect("the phone is who it dials");
    let expected = if stage % 2 == 0 {
        &PAIRING.challenge
    } else {
        joiner.receive(&PAIRING.challenge).expect("a seed is valid");
        &PAIRING.admission[0]
    };
    let good = joiner.receive(message).is_ok();
    assert!(!good || message == expected, "someone else than the inviter was believed");
    good
}

pub(super) fn joiner_hears_seeds() -> Vec<Vec<u8>> {
    vec![staged(0, &PAIRING.challenge), staged(1, &PAIRING.admission[0])]
}

/// What was said in a pairing by voice, up to the proof.
struct Spoken {
    greet: Vec<u8>,
    offer: Vec<u8>,
    proof: Vec<u8>,
}

static SPOKEN: LazyLock<Spoken> = LazyLock::new(|| {
    let (_, _, offer) = greeted();
    let (_, proof) = spoken_joiner().prove(&USER.phone.public().transport, &offer).expect("a seed is valid");
    Spoken { greet: spoken_joiner().greet(), offer, proof }
});

fn spoken_inviter() -> SpokenInviter {
    SpokenInviter::new(host(14), USER.log.user_id(), &USER.phone.public())
}

/// A pairing by voice with its offer made.
fn greeted() -> (SpokenInviter, Greeting, Vec<u8>) {
    let inviter = spoken_inviter();
    let greet = spoken_joiner().greet();
    let (greeting, offer) = inviter.greet(&tablet().public().transport, &greet).expect("a seed is valid");
    (inviter, greeting, offer)
}

fn spoken_joiner() -> SpokenJoiner {
    let code = SpokenCode::parse(&spoken_inviter().code().to_string()).expect("its own code");
    SpokenJoiner::new(host(15), code, tablet(), "tablet").expect("a good name")
}

/// By voice, nobody gets in but by the one proof that the code gives: the first byte says whether the others are a
/// greeting, a proof or an offer.
pub(super) fn spoken_hears(bytes: &[u8]) -> bool {
    let Some((&stage, message)) = bytes.split_first() else { return false };
    let (mut inviter, greeting, _) = greeted();
    match stage % 3 {
        0 => {
            let good = inviter.greet(&tablet().public().transport, message).is_ok();
            assert!(!good || message == SPOKEN.greet);
            good
        }
        1 => {
            let good = inviter.prove(greeting, message).is_ok() && inviter.tried().is_ok();
            assert!(!good || message == SPOKEN.proof, "someone who doesn't know the code was heard");
            good
        }
        _ => {
            // Any offer is answered; but the answer to another one than the phone's is worth nothing to the phone.
            let Ok((_, proof)) = spoken_joiner().prove(&USER.phone.public().transport, message) else { return false };
            let good = inviter.prove(greeting, &proof).is_ok() && inviter.tried().is_ok();
            assert_eq!(good, message == SPOKEN.offer);
            good
        }
    }
}

pub(super) fn spoken_hears_seeds() -> Vec<Vec<u8>> {
    vec![staged(0, &SPOKEN.greet), staged(1, &SPOKEN.proof), staged(2, &SPOKEN.offer)]
}

/// What was said in a pairing by card, up to the proof.
struct Shown {
    text: String,
    call: Vec<u8>,
    ready: Vec<u8>,
    tried: Vec<u8>,
    proof: Vec<u8>,
}

static SHOWN: LazyLock<Shown> = LazyLock::new(|| {
    let (mut bearer, mut reader) = (bearer(), reader());
    let phone = USER.phone.public().transport;
    let call = reader.start(&tablet().public().transport).expect("the tablet is who it dials");
    let (digits, ready) = called(&mut bearer, &call);
    reader.receive(&ready).expect("a seed is valid");
    let tried = reader.confirm(&digits).expect("six digits");
    let Ok(BearerEvent::Answer(proof)) = bearer.receive(&phone, &tried) else { panic!("a seed is valid") };
    assert!(matches!(reader.receive(&proof), Ok(ReaderEvent::Confirmed(_))));
    Shown { text: bearer.card().to_text(), call, ready, tried, proof }
});

fn bearer() -> CardBearer {
    let hints = ["/ip4/192.0.2.2/tcp/4001".to_owned()];
    CardBearer::new(host(16), tablet(), "tablet", hints).expect("a good name")
}

fn reader() -> CardReader {
    let card = bearer().card().clone();
    CardReader::new(host(17), card, USER.log.user_id(), &USER.phone.public(), []).expect("it has not expired")
}

/// A bearer that shows its digits, and its answer.
fn called(bearer: &mut CardBearer, call: &[u8]) -> (String, Vec<u8>) {
    bearer.receive(&USER.phone.public().transport, call).expect("a seed is valid");
    let (digits, ready) = bearer.consumed().expect("the pairing is recorded");
    (digits.to_string(), ready)
}

/// A card that is accepted means the same in its own spelling.
pub(super) fn card_text(bytes: &[u8]) -> bool {
    let Some(card) = std::str::from_utf8(bytes).ok().and_then(|text| Card::from_text(text).ok()) else {
        return false;
    };
    let text = card.to_text();
    assert_eq!(Card::from_text(&text).expect("its own text is a card").to_text(), text);
    true
}

pub(super) fn card_text_seeds() -> Vec<Vec<u8>> {
    vec![SHOWN.text.to_lowercase().into_bytes(), SHOWN.text.clone().into_bytes()]
}

/// By card, neither side goes on with anybody but who was read and who has read it: the first byte says whether the
/// others are a call, its answer, a try or a proof.
pub(super) fn card_hears(bytes: &[u8]) -> bool {
    let Some((&stage, message)) = bytes.split_first() else { return false };
    let (phone, tablet) = (USER.phone.public().transport, tablet().public().transport);
    let (mut bearer, mut reader) = (bearer(), reader());
    if stage % 4 == 0 {
        let good = bearer.receive(&phone, message).is_ok();
        assert!(!good || message == SHOWN.call, "someone who hasn't seen the card was heard");
        return good;
    }
    reader.start(&tablet).expect("the tablet is who it dials");
    if stage % 4 == 1 {
        let good = reader.receive(message).is_ok();
        assert!(!good || message == SHOWN.ready, "someone who doesn't show the card was believed");
        return good;
    }
    let (digits, ready) = called(&mut bearer, &SHOWN.call);
    reader.receive(&ready).expect("a seed is valid");
    reader.confirm(&digits).expect("six digits");
    if stage % 4 == 2 {
        // Any element is answered; but the answer to another one than the phone's is worth nothing to the phone.
        let Ok(BearerEvent::Answer(proof)) = bearer.receive(&phone, message) else { return false };
        let good = reader.receive(&proof).is_ok();
        assert_eq!(good, message == SHOWN.tried);
        return good;
    }
    let good = reader.receive(message).is_ok();
    assert!(!good || message == SHOWN.proof, "someone who doesn't know the digits was let in");
    good
}

pub(super) fn card_hears_seeds() -> Vec<Vec<u8>> {
    vec![staged(0, &SHOWN.call), staged(1, &SHOWN.ready), staged(2, &SHOWN.tried), staged(3, &SHOWN.proof)]
}

/// What was said when another user was let into a space.
struct Shared {
    text: String,
    visit: Vec<u8>,
    challenge: Vec<u8>,
    introduction: Vec<u8>,
    admission: Vec<u8>,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let (mut sharer, mut guest) = (sharer(), guest());
    let (phone, laptop) = (USER.phone.public().transport, GUEST.keys.public().transport);
    let visit = guest.start(&phone).expect("the phone is who it dials");
    sharer.receive(&laptop, &visit).expect("a seed is valid");
    let challenge = sharer.consumed().expect("the pairing is recorded");
    let Ok(GuestEvent::ShowDigits(digits, mut introduction)) = guest.receive(&challenge) else {
        panic!("a seed is valid")
    };
    let introduction = introduction.remove(0);
    assert_eq!(sharer.receive(&laptop, &introduction), Ok(SharerEvent::AskDigits));
    let visitor = sharer.confirm(&digits.to_string()).expect("the digits are right");
    let mut users = Users::new(Arc::new(USER.log.clone()));
    let (mut log, root) = (SPACE.clone(), visitor.log.root());
    users.put(Arc::new(visitor.log));
    let body = SpaceBody::Member { root, role: Role::Writer, counted: Frontiers::new() };
    let entry = log.author(&users, &USER.phone, body, Timestamp::from_ms(NOW_MS)).expect("it may");
    log.insert(entry.as_bytes()).expect("a seed is valid");
    let admission = sharer.admit(&log, &users).expect("it is a member").remove(0);
    Shared { text: sharer.invitation().to_text(), visit, challenge, introduction, admission }
});

static SPACE: LazyLock<SpaceLog> = LazyLock::new(|| {
    let at = Timestamp::from_ms(NOW_MS);
    SpaceLog::found(&host(18), &USER.log, &USER.phone, at).expect("a device of the user").0
});

/// Another user.
struct Visiting {
    keys: DeviceKeys,
    log: Arc<IdentityLog>,
}

static GUEST: LazyLock<Visiting> = LazyLock::new(|| {
    let host = host(19);
    let (root, keys) = (RootKey::from_phrase(&RecoveryPhrase::generate(&host)), DeviceKeys::generate(&host));
    let log = IdentityLog::found(&root, &keys, "laptop", Timestamp::from_ms(NOW_MS)).expect("a good name");
    Visiting { keys, log: Arc::new(log) }
});

fn share_invitation() -> ShareInvitation {
    let hints = ["/ip4/192.0.2.1/tcp/4001".to_owned()];
    ShareInvitation::create(&host(20), (SPACE.space(), Role::Writer), USER.log.user_id(), &USER.phone.public(), hints)
}

fn sharer() -> Sharer {
    Sharer::new(host(21), share_invitation())
}

fn guest() -> ShareGuest {
    ShareGuest::new(host(22), share_invitation(), GUEST.keys.clone(), GUEST.log.clone()).expect("it has not expired")
}

/// An invitation to a space that is accepted means the same in its own spelling.
pub(super) fn share_text(bytes: &[u8]) -> bool {
    let read = std::str::from_utf8(bytes).ok().and_then(|text| ShareInvitation::from_text(text).ok());
    let Some(invitation) = read else { return false };
    let text = invitation.to_text();
    assert_eq!(ShareInvitation::from_text(&text).expect("its own text is an invitation").to_text(), text);
    true
}

pub(super) fn share_text_seeds() -> Vec<Vec<u8>> {
    vec![SHARED.text.to_lowercase().into_bytes(), SHARED.text.clone().into_bytes()]
}

/// Nobody is let into a space, or believed to let somebody in, but who has shown or seen the code: the first byte says
/// whether the others are a visit, a challenge, an introduction or an admission.
pub(super) fn share_hears(bytes: &[u8]) -> bool {
    let Some((&stage, message)) = bytes.split_first() else { return false };
    let (phone, laptop) = (USER.phone.public().transport, GUEST.keys.public().transport);
    let (mut sharer, mut guest) = (sharer(), guest());
    guest.start(&phone).expect("the phone is who it dials");
    let (good, expected) = match stage % 4 {
        0 => (sharer.receive(&laptop, message).is_ok(), &SHARED.visit),
        1 => (guest.receive(message).is_ok(), &SHARED.challenge),
        2 => {
            sharer.receive(&laptop, &SHARED.visit).expect("a seed is valid");
            sharer.consumed().expect("the pairing is recorded");
            let heard = sharer.receive(&laptop, message);
            // A part of it waits for the rest.
            (heard == Ok(SharerEvent::AskDigits), &SHARED.introduction)
        }
        _ => {
            guest.receive(&SHARED.challenge).expect("a seed is valid");
            (guest.receive(message).is_ok(), &SHARED.admission)
        }
    };
    assert!(!good || message == expected, "somebody was heard who has not seen the code");
    good
}

pub(super) fn share_hears_seeds() -> Vec<Vec<u8>> {
    let Shared { visit, challenge, introduction, admission, .. } = &*SHARED;
    vec![staged(0, visit), staged(1, challenge), staged(2, introduction), staged(3, admission)]
}

fn staged(stage: u8, message: &[u8]) -> Vec<u8> {
    [&[stage], message].concat()
}
