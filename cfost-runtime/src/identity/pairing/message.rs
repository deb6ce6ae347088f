//! The messages of a pairing as bytes. `docs/security.md` has them as a table.

use super::invitation::PairingId;
use super::pake::ELEMENT_BYTES;
use super::shown;
use super::transcript::MAC_BYTES;
use crate::identity::entry::AddDevice;
use crate::identity::error::{IdentityError, Result};
use crate::identity::hpke::TAG_BYTES;
use crate::identity::limits::{ADMISSION_BYTES_MAX, PAIRING_MESSAGE_BYTES_MAX};
use crate::identity::wire::Reader;
use crate::oplog::UserId;

const VERSION: u8 = 1;
const START: u8 = 1;
const CHALLENGE: u8 = 2;
const ADMIT: u8 = 3;
const ADMIT_MORE: u8 = 4;
const DONE: u8 = 5;
const GREET: u8 = 6;
const OFFER: u8 = 7;
const PROVE: u8 = 8;
const CALL: u8 = 9;
const READY: u8 = 10;
const TRY: u8 = 11;
const VISIT: u8 = 12;
const INTRODUCE: u8 = 13;
const REFUSED: u8 = 255;

/// What the first part of an admission needs beside its content, and the others have to spare.
const ADMIT_HEADER_BYTES: usize = 1 + 32 + 2;

/// How much of the admission goes into one message.
pub(super) const PART_BYTES: usize = PAIRING_MESSAGE_BYTES_MAX - ADMIT_HEADER_BYTES - TAG_BYTES;

/// How much of an introduction goes into one message.
pub(super) const INTRODUCTION_PART_BYTES: usize = PAIRING_MESSAGE_BYTES_MAX - 1;

/// Into how many messages the largest admission is split.
pub(super) const PARTS_MAX: usize = ADMISSION_BYTES_MAX.div_ceil(PART_BYTES);

/// The answer to a peer that is refused, whatever the reason.
pub fn refusal() -> Vec<u8> {
    vec![REFUSED]
}

/// A message, read strictly; what it claims is unchecked.
pub(super) enum Message<'a> {
    Start(Box<Start>),
    Challenge(Challenge),
    Admit { encapsulated: [u8; 32], parts: u16, sealed: &'a [u8] },
    AdmitMore { sealed: &'a [u8] },
    Done { mac: [u8; MAC_BYTES] },
    Greet,
    Offer(Offer),
    Prove { element: [u8; ELEMENT_BYTES], start: &'a [u8] },
    Call(Box<Call>),
    Ready { nonce: [u8; 32], mac: [u8; MAC_BYTES] },
    Try { element: [u8; ELEMENT_BYTES] },
    Visit(Visit),
    Introduce { part: &'a [u8] },
    Refused,
}

pub(super) struct Start {
    pub(super) pairing: PairingId,
    pub(super) nonce: [u8; 32],
    pub(super) request: AddDevice,
    pub(super) mac: [u8; MAC_BYTES],
}

impl Start {
    /// All but the MAC.
    pub(super) fn statement(&self) -> Vec<u8> {
        let mut bytes = vec![START, VERSION];
        bytes.extend_from_slice(self.pairing.as_bytes());
        bytes.extend_from_slice(&self.nonce);
        self.request.write(&mut bytes);
        bytes
    }
}

pub(super) struct Challenge {
    pub(super) nonce: [u8; 32],
    pub(super) mac: [u8; MAC_BYTES],
}

impl Challenge {
    /// All but the MAC.
    pub(super) fn statement(nonce: &[u8; 32]) -> Vec<u8> {
        [&[CHALLENGE], nonce.as_slice()].concat()
    }
}

/// What a new device that was told a code by voice has to know to prove that it was.
pub(super) struct Offer {
    pub(super) user: UserId,
    pub(super) pairing: PairingId,
    pub(super) expires_at_ms: u64,
    pub(super) element: [u8; ELEMENT_BYTES],
}

impl Offer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![OFFER, VERSION];
        bytes.extend_from_slice(self.user.as_bytes());
        bytes.extend_from_slice(self.pairing.as_bytes());
        bytes.extend_from_slice(&self.expires_at_ms.to_le_bytes());
        bytes.extend_from_slice(&self.element);
        bytes
    }
}

/// The first message of an authorised device to a new one whose card it has read.
pub(super) struct Call {
    pub(super) pairing: PairingId,
    pub(super) nonce: [u8; 32],
    pub(super) user: UserId,
    pub(super) hints: Vec<String>,
    pub(super) mac: [u8; MAC_BYTES],
}

impl Call {
    /// All but the MAC.
    pub(super) fn statement(&self) -> Vec<u8> {
        let mut bytes = vec![CALL, VERSION];
        bytes.extend_from_slice(self.pairing.as_bytes());
        bytes.extend_from_slice(&self.nonce);
        bytes.extend_from_slice(self.user.as_bytes());
        shown::put_hints(&mut bytes, &self.hints);
        bytes
    }
}

/// The first message of another user's device that follows an invitation to a space.
pub(super) struct Visit {
    pub(super) pairing: PairingId,
    pub(super) nonce: [u8; 32],
    /// How long the introduction is that follows, and its hash.
    pub(super) introduction_bytes: u32,
    pub(super) introduction: [u8; 32],
    pub(super) mac: [u8; MAC_BYTES],
}

impl Visit {
    /// All but the MAC.
    pub(super) fn statement(&self) -> Vec<u8> {
        let mut bytes = vec![VISIT, VERSION];
        bytes.extend_from_slice(self.pairing.as_bytes());
        bytes.extend_from_slice(&self.nonce);
        bytes.extend_from_slice(&self.introduction_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.introduction);
        bytes
    }
}

/// A part of who a guest is.
pub(super) fn introduce(part: &[u8]) -> Vec<u8> {
    [&[INTRODUCE], part].concat()
}

/// The answer to a call, without its MAC: the new device shows its digits.
pub(super) fn ready_statement(nonce: &[u8; 32]) -> Vec<u8> {
    [&[READY], nonce.as_slice()].concat()
}

/// Digits that were typed, as far as they may be shown to whoever doesn't know them.
pub(super) fn try_digits(element: &[u8; ELEMENT_BYTES]) -> Vec<u8> {
    [&[TRY], element.as_slice()].concat()
}

/// Asks for an offer.
pub(super) fn greet() -> Vec<u8> {
    vec![GREET, VERSION]
}

/// The answer to an offer: a [`Start`] under the key that both elements and the code give.
pub(super) fn prove(element: &[u8; ELEMENT_BYTES], start: &[u8]) -> Vec<u8> {
    [&[PROVE], element.as_slice(), start].concat()
}

/// The first message of an admission: how many there are, and what opens them.
pub(super) fn admit(encapsulated: &[u8; 32], parts: u16, sealed: &[u8]) -> Vec<u8> {
    [&[ADMIT], encapsulated.as_slice(), &parts.to_le_bytes(), sealed].concat()
}

pub(super) fn admit_more(sealed: &[u8]) -> Vec<u8> {
    [&[ADMIT_MORE], sealed].concat()
}

pub(super) fn done(mac: &[u8; MAC_BYTES]) -> Vec<u8> {
    [&[DONE], mac.as_slice()].concat()
}

impl<'a> Message<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new("pairing message", bytes);
        if bytes.len() > PAIRING_MESSAGE_BYTES_MAX {
            return Err(reader.malformed("it is longer than 64 KiB"));
        }
        let message = match reader.u8()? {
            START => {
                reader.version(VERSION)?;
                Self::Start(Box::new(Start {
                    pairing: PairingId::from_bytes(reader.array()?),
                    nonce: reader.array()?,
                    request: AddDevice::read(&mut reader)?,
                    mac: reader.array()?,
                }))
            }
            CHALLENGE => Self::Challenge(Challenge { nonce: reader.array()?, mac: reader.array()? }),
            ADMIT => {
                let (encapsulated, parts) = (reader.array()?, reader.u16()?);
                if parts == 0 || usize::from(parts) > PARTS_MAX {
                    return Err(reader.malformed("it announces no part, or too many"));
                }
                return Ok(Self::Admit { encapsulated, parts, sealed: reader.rest() });
            }
            ADMIT_MORE => return Ok(Self::AdmitMore { sealed: reader.rest() }),
            DONE => Self::Done { mac: reader.array()? },
            GREET => {
                reader.version(VERSION)?;
                Self::Greet
            }
            OFFER => {
                reader.version(VERSION)?;
                Self::Offer(Offer {
                    user: UserId::from_bytes(reader.array()?),
                    pairing: PairingId::from_bytes(reader.array()?),
                    expires_at_ms: reader.u64()?,
                    element: reader.array()?,
                })
            }
            PROVE => return Ok(Self::Prove { element: reader.array()?, start: reader.rest() }),
            CALL => {
                reader.version(VERSION)?;
                Self::Call(Box::new(Call {
                    pairing: PairingId::from_bytes(reader.array()?),
                    nonce: reader.array()?,
                    user: UserId::from_bytes(reader.array()?),
                    hints: shown::read_hints(&mut reader)?,
                    mac: reader.array()?,
                }))
            }
            READY => Self::Ready { nonce: reader.array()?, mac: reader.array()? },
            VISIT => {
                reader.version(VERSION)?;
                Self::Visit(Visit {
                    pairing: PairingId::from_bytes(reader.array()?),
                    nonce: reader.array()?,
                    introduction_bytes: reader.u32()?,
                    introduction: reader.array()?,
                    mac: reader.array()?,
                })
            }
            INTRODUCE => return Ok(Self::Introduce { part: reader.rest() }),
            TRY => Self::Try { element: reader.array()? },
            REFUSED => Self::Refused,
            _ => return Err(reader.malformed("there is no such message")),
        };
        reader.end()?;
        Ok(message)
    }

    pub(super) fn unexpected(&self) -> IdentityError {
        let message = match self {
            Self::Start(_) => "start",
            Self::Challenge(_) => "challenge",
            Self::Admit { .. } | Self::AdmitMore { .. } => "admit",
            Self::Done { .. } => "done",
            Self::Greet => "greet",
            Self::Offer(_) => "offer",
            Self::Prove { .. } => "prove",
            Self::Call(_) => "call",
            Self::Ready { .. } => "ready",
            Self::Try { .. } => "try",
            Self::Visit(_) => "visit",
            Self::Introduce { .. } => "introduce",
            Self::Refused => return IdentityError::PairingRefused,
        };
        IdentityError::UnexpectedMessage { message }
    }
}
